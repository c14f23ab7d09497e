/* SPDX-License-Identifier: Apache-2.0 */

/* From metrics to the weights that servers are to have. */

#include <config.h>

#include "lib/refresh-internal.h"

#include <math.h>
#include <stdlib.h>

/* Whether what the policy does not want of a weight goes to the next tier. */
static bool
spills(const struct work *work)
{
    return work->weights->policy->spills && work->pool->policy->in_order;
}

/* What the policy is asked about a server.  'base' is the file's weight, times
 * the percentage of an agent. */
static void
fill_in(const struct work *work, const struct work_server *s, double base,
        struct weight_server *ws)
{
    const struct refreshed *r = s->server->refreshed;

    *ws = (struct weight_server) {
        .name = s->server->name,
        .weight = base,
        .capacity = s->capacity,
        .current = base * s->ratio,
        .set = s->server->set,
        .tier = spills(work) ? s->server->tier : 0,
        .age = r->since > 0 ? work->now - r->since : INFINITY,
        .usable = s->status == SAMPLE_OK && r->agent != AGENT_DRAIN,
    };
    for (size_t m = 0; m < N_METRICS; m++) {
        ws->values[m] = r->values[m];
    }
}

/* Gives what the policy wants the sum of the configured weights.  Only shares
 * count; but if all are busy and all weights go down, then one that falls
 * silent, and keeps its own, must not come out on top. */
static void
scale(const struct weight_server *servers, size_t n, double *wanted)
{
    double sum = 0, configured = 0;

    for (size_t i = 0; i < n; i++) {
        if (servers[i].usable) {
            sum += wanted[i];
            configured += servers[i].weight;
        }
    }
    for (size_t i = 0; i < n; i++) {
        wanted[i] = sum > 0 ? wanted[i] * configured / sum : servers[i].weight;
    }
}

/* Asks the policy about all active servers that have a weight, and stores what
 * it wants in 'target', as a ratio. */
static void
ask_policy(struct work *work)
{
    const struct weights *weights = work->weights;
    struct weight_server *servers = lb_xcalloc(work->n, sizeof *servers);
    size_t *index = lb_xcalloc(work->n, sizeof *index);
    double *wanted = lb_xcalloc(work->n, sizeof *wanted);
    size_t n = 0, n_usable = 0;

    for (size_t i = 0; i < work->n; i++) {
        struct work_server *s = &work->servers[i];

        if (s->is_active && s->server->refreshed->percent) {
            double base = (double) s->server->weight
                          * s->server->refreshed->percent / REFRESHED_WHOLE;

            fill_in(work, s, base, &servers[n]);
            n_usable += servers[n].usable;
            index[n++] = i;
        }
    }
    if (n_usable) {
        weights->policy->compute(servers, n, weights->params, wanted);
        for (size_t i = 0; i < n; i++) {
            work->servers[index[i]].report->wanted
                = servers[i].usable ? wanted[i] : NAN;
        }
        if (!spills(work)) {
            scale(servers, n, wanted);
        }
    }
    for (size_t i = 0; i < n; i++) {
        if (servers[i].usable) {
            struct work_server *s = &work->servers[index[i]];

            s->target = wanted[i] / servers[i].weight;
        }
    }
    free(wanted);
    free(index);
    free(servers);
}

/* 'target', or as much of the way to it as one step allows. */
static double
step(const struct work *work, double from, double target)
{
    double max_step = work->weights->common[WEIGHT_MAX_STEP];

    return fmin(fmax(target, from * (1 - max_step)), from * (1 + max_step));
}

/* A server that has begun to move goes on until it is that part of the
 * deadband away: else it would stop as soon as it is in it. */
#define MOVING_DEADBAND 0.25

/* Keeps the target of a server that was asked within all bounds. */
static void
bound(const struct work *work, struct work_server *s)
{
    const double *common = work->weights->common;
    struct refreshed *r = s->server->refreshed;
    double deadband = (common[WEIGHT_DEADBAND]
                       * (r->moving ? MOVING_DEADBAND : 1));
    double wanted = s->target;
    double reachable;

    s->report->why = REFRESH_FOLLOWS;
    s->target = fmin(fmax(wanted, common[WEIGHT_MIN]), common[WEIGHT_MAX]);
    if (s->target != wanted) {
        s->report->why = REFRESH_BOUND;
    }
    r->moving = fabs(s->target - s->ratio) > deadband * s->ratio;
    if (!r->moving) {
        s->target = s->ratio;
        s->report->why = REFRESH_SAME;
        return;
    }
    reachable = step(work, s->ratio, s->target);
    if (reachable != s->target) {
        s->target = reachable;
        s->report->why = REFRESH_STEP;
    }
}

/* A server that said nothing keeps what it has for a while, and then goes to
 * what the file says. */
static void
miss(const struct work *work, struct work_server *s)
{
    struct refreshed *r = s->server->refreshed;
    double percent;

    if (r->missed <= work->weights->common[WEIGHT_HOLD]) {
        s->target = s->ratio;
        s->report->why = REFRESH_HOLDS;
        return;
    }
    s->target = step(work, s->ratio, 1);
    /* A step up from nothing would be none. */
    percent = step(work, fmax(r->percent, REFRESHED_WHOLE / 10.0),
                   REFRESHED_WHOLE);
    r->percent = (uint16_t) lround(percent);
    s->report->why = REFRESH_DRIFTS;
}

/* Whether half of those asked said nothing. */
static bool
is_frozen(const struct work *work)
{
    size_t n_asked = 0, n_missing = 0;

    for (size_t i = 0; i < work->n; i++) {
        n_asked += work->servers[i].status != SAMPLE_NONE;
        n_missing += work->servers[i].status == SAMPLE_MISSING;
    }
    return n_missing && 2 * n_missing >= n_asked;
}

static void
find_target(const struct work *work, struct work_server *s)
{
    if (s->server->refreshed->agent == AGENT_DRAIN) {
        s->target = s->ratio;
        s->report->why = REFRESH_AGENT;
    } else if (s->status == SAMPLE_MISSING) {
        miss(work, s);
    } else if (s->status == SAMPLE_OK && s->server->refreshed->percent) {
        bound(work, s);
    } else if (s->status == SAMPLE_OK) {
        s->report->why = REFRESH_AGENT;
    } else if (s->status == SAMPLE_WAITS) {
        s->report->why = REFRESH_WAITS;
    } else {
        s->report->why = REFRESH_HOLDS;
    }
}

void
work_find_targets(struct work *work)
{
    const double *common = work->weights->common;

    ask_policy(work);
    work->report->frozen = is_frozen(work);
    for (size_t i = 0; i < work->n; i++) {
        struct work_server *s = &work->servers[i];
        struct refreshed *r = s->server->refreshed;

        if (!s->is_active) {
            continue;
        }
        if (s->status == SAMPLE_MISSING
            && r->missed <= common[WEIGHT_HOLD]) {
            r->missed++;
        }
        if (work->report->frozen) {
            s->target = s->ratio;
            s->report->why = (r->agent == AGENT_DRAIN ? REFRESH_AGENT
                              : REFRESH_FROZEN);
            continue;
        }
        find_target(work, s);
        if (r->since > 0) {
            s->start_target = weight_slow_start(work->now - r->since,
                                                common[WEIGHT_SLOW_START],
                                                common[WEIGHT_AGGRESSION]);
        } else {
            s->start_target = 1;
        }
    }
}
