/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "lib/refresh.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/refresh-internal.h"
#include "lib/slots.h"

/* How much a smoothed value may move, relative to itself and at least, before
 * it is worth remembering for that alone. */
#define TOLERANCE 0.05
#define LEAST_TOLERANCE 0.005

/* Whether 'server' has a weight that is refresh's to move. */
static bool
is_active(const struct server *server)
{
    return (server_effective_state(server) == SERVER_READY
            && !server->health.out && server->weight
            && !server->override.has_weight);
}

/* Adds the questions about server 'i'. */
static void
add_questions(struct refresh_round *round, struct round_pool *rp, size_t i)
{
    const struct weights *weights = &rp->pool->weights;
    struct round_server *rs = &rp->servers[i];

    rs->asked = true;
    for (size_t j = 0; j < weights->n_sources; j++) {
        const struct source *source = &weights->sources[j];
        size_t number;

        if (source->kind != SOURCE_SWITCH) {
            number = metrics_add(round->batch, source, &rp->pool->servers[i],
                                 weights->common[WEIGHT_TIMEOUT]);
            rs->first = rs->first == SIZE_MAX ? number : rs->first;
        }
    }
}

static void
add_pool(struct refresh_round *round, const struct pool *pool,
         const struct pool *current)
{
    struct round_pool *rp = &round->pools[round->n_pools++];

    rp->pool = pool;
    rp->refreshed_at = current->refreshed_at;
    rp->servers = lb_xcalloc(pool->n_servers, sizeof *rp->servers);
    for (size_t i = 0; i < pool->n_servers; i++) {
        size_t j = pool_find_server(current, pool->servers[i].name);

        rp->servers[i].first = SIZE_MAX;
        if (j != SIZE_MAX && is_active(&current->servers[j])) {
            add_questions(round, rp, i);
        }
    }
}

struct refresh_round *
refresh_create(const struct model *file, const struct model *model)
{
    struct refresh_round *round = lb_xcalloc(1, sizeof *round);

    round->batch = metrics_create();
    round->pools = lb_xcalloc(file->n_pools, sizeof *round->pools);
    for (size_t i = 0; i < file->n_pools; i++) {
        const struct pool *pool = file->pools[i];
        const struct pool *current = model_find_pool(model, pool->name);

        if (pool->weights.policy && current) {
            add_pool(round, pool, current);
        }
    }
    return round;
}

void
refresh_destroy(struct refresh_round *round)
{
    if (round) {
        for (size_t i = 0; i < round->n_pools; i++) {
            free(round->pools[i].servers);
        }
        free(round->pools);
        metrics_destroy(round->batch);
        free(round);
    }
}

struct metrics_batch *
refresh_batch(struct refresh_round *round)
{
    return round->batch;
}

/* Whether the pool asks the switch, for 'metric' unless that is N_METRICS. */
static bool
asks_switch(const struct weights *weights, enum metric metric)
{
    for (size_t i = 0; i < weights->n_sources; i++) {
        if (weights->sources[i].kind == SOURCE_SWITCH) {
            return metric == N_METRICS || weights_need(weights, metric);
        }
    }
    return false;
}

bool
refresh_needs_switch(const struct refresh_round *round)
{
    for (size_t i = 0; i < round->n_pools; i++) {
        if (asks_switch(&round->pools[i].pool->weights, N_METRICS)) {
            return true;
        }
    }
    return false;
}

bool
refresh_needs_connections(const struct refresh_round *round)
{
    for (size_t i = 0; i < round->n_pools; i++) {
        if (asks_switch(&round->pools[i].pool->weights, METRIC_CONNECTIONS)) {
            return true;
        }
    }
    return false;
}

static struct round_pool *
find_round_pool(const struct refresh_round *round, const char *name)
{
    for (size_t i = 0; i < round->n_pools; i++) {
        if (!strcmp(round->pools[i].pool->name, name)) {
            return &round->pools[i];
        }
    }
    return NULL;
}

void
refresh_set_switch(struct refresh_round *round, const char *pool,
                   const char *server, const struct refresh_switch *values)
{
    struct round_pool *rp = find_round_pool(round, pool);
    size_t i = rp ? pool_find_server(rp->pool, server) : SIZE_MAX;

    if (i != SIZE_MAX) {
        rp->servers[i].from_switch = *values;
    }
}

/* One pool's round, step by step. */

/* After so many intervals without a round nobody knows how much time has gone
 * by and how much the clock was set. */
#define MAX_PAUSE 3

/* Times since which servers are back are by a clock that may be set.  If it
 * seems to have been since the last round, a slow start goes on as if one
 * interval had passed: else it would end at once, or not for as long as the
 * clock went back. */
static void
keep_age(const struct work *work, struct refreshed *r)
{
    double interval = work->weights->common[WEIGHT_INTERVAL];
    int64_t last = work->pool->refreshed_at;
    double passed = work->now - last / 1000.0;

    if (last && r->start < REFRESHED_WHOLE && r->since * 1000 <= last
        && (passed < 0 || passed > MAX_PAUSE * interval)) {
        r->since += llround(passed - interval);
    }
    if (r->since > work->now) {
        r->since = (int64_t) work->now;
    }
}

/* A server that is ready again starts slowly. */
static void
note_presence(const struct work *work, struct work_server *s)
{
    struct refreshed *r;

    if (server_effective_state(s->server) != SERVER_READY
        || s->server->health.out) {
        r = refreshed_get(s->server);
        r->away = true;
        for (size_t m = 0; m < N_METRICS; m++) {
            r->values[m] = r->counters[m] = NAN;
        }
    } else if (s->server->refreshed && s->server->refreshed->away) {
        refreshed_came_back(work->round_pool->pool, s->server,
                            (int64_t) work->now);
    }
}

/* Rates are over the time since the last round, so counters of a round before
 * that are of no use: of a server that an operator gave a weight, say. */
static void
forget_counters(struct server *server)
{
    for (size_t m = 0; server->refreshed && m < N_METRICS; m++) {
        server->refreshed->counters[m] = NAN;
    }
}

static double
find_capacity(const struct server *server)
{
    return (server->capacity > 0 ? server->capacity
            : server->weight ? server->weight : 1);
}

static void
report_init(struct refresh_server *report, const struct server *server)
{
    report->name = server->name;
    report->wanted = NAN;
    for (size_t m = 0; m < N_METRICS; m++) {
        report->sample[m] = report->smoothed[m] = NAN;
    }
    report->old_weight = report->weight = server_thousandths(server) / 1000.0;
}

/* Begins the work on server 'i'. */
static void
work_begin_server(struct work *work, size_t i)
{
    const struct pool *conf = work->round_pool->pool;
    struct work_server *s = &work->servers[i];
    size_t j;

    s->server = &work->pool->servers[i];
    s->report = &work->report->servers[i];
    report_init(s->report, s->server);
    s->old = refreshed_clone(s->server->refreshed);
    if (s->server->refreshed) {
        keep_age(work, s->server->refreshed);
    }
    note_presence(work, s);

    j = pool_find_server(conf, s->server->name);
    s->round = j == SIZE_MAX ? NULL : &work->round_pool->servers[j];
    s->capacity = find_capacity(j == SIZE_MAX ? s->server
                                : &conf->servers[j]);
    s->is_active = is_active(s->server);
    s->report->why = (server_effective_weight(s->server)
                      && s->server->override.has_weight
                      ? REFRESH_OVERRIDDEN : REFRESH_NOT_READY);
    if (s->is_active) {
        const struct refreshed *r = refreshed_get(s->server);

        s->ratio = s->target = (double) r->ratio / REFRESHED_WHOLE;
        s->start = s->start_target = (double) r->start / REFRESHED_WHOLE;
    }
    s->report->asked = s->is_active && s->round && s->round->asked;
    if (!s->report->asked) {
        forget_counters(s->server);
    }
}

/* Whether going from 'old' to 'new' has to be remembered for its own sake.
 * Samples that say nothing new leave the bridge as it is. */
static bool
is_significant(const struct refreshed *old, const struct refreshed *new)
{
    if (!old || old->ratio != new->ratio || old->percent != new->percent
        || old->start != new->start || old->since != new->since
        || old->away != new->away || old->missed != new->missed
        || old->agent != new->agent || old->moving != new->moving) {
        return true;
    }
    for (size_t m = 0; m < N_METRICS; m++) {
        double a = old->values[m], b = new->values[m];

        if (isnan(a) != isnan(b) || !isnan(new->counters[m])
            || isnan(old->counters[m]) != isnan(new->counters[m])
            || fabs(b - a) > fmax(TOLERANCE * a, LEAST_TOLERANCE)) {
            return true;
        }
    }
    return false;
}

/* Says in the report what changed, and takes back what need not be
 * remembered. */
static void
work_settle(struct work *work)
{
    struct refresh_pool *report = work->report;

    /* A time in the future is put right, whatever else there is to say. */
    report->state_changed = work->pool->refreshed_at > work->now * 1000;
    for (size_t i = 0; i < work->n; i++) {
        const struct work_server *s = &work->servers[i];
        const struct refreshed *new = s->server->refreshed;

        report->state_changed |= new && is_significant(s->old, new);
    }
    for (size_t i = 0; i < work->n; i++) {
        struct work_server *s = &work->servers[i];

        s->report->weight = server_thousandths(s->server) / 1000.0;
        report->weights_changed |= s->report->weight != s->report->old_weight;
        if (!report->state_changed) {
            free(s->server->refreshed);
            s->server->refreshed = s->old;
        } else {
            free(s->old);
        }
    }
    if (report->state_changed) {
        work->pool->refreshed_at = (int64_t) (work->now * 1000);
    }
}

/* Warns of a server that said nothing, when it begins and when it counts. */
static void
warn_missing(const struct work *work, const struct work_server *s)
{
    double hold = work->weights->common[WEIGHT_HOLD];
    unsigned int missed = s->server->refreshed->missed;
    const char *complaint = s->report->complaint;

    if (s->status != SAMPLE_MISSING || work->report->frozen
        || (s->old && s->old->missed == missed)) {
        return;
    }
    if (missed > hold) {
        diag_warning(work->diags, NULL, "pool \"%s\": server \"%s\" has said "
                     "nothing for %u rounds and goes to its weight in the "
                     "file: %s", work->pool->name, s->server->name, missed,
                     complaint ? complaint : "no sample");
    } else if (missed == 1) {
        diag_warning(work->diags, NULL, "pool \"%s\": server \"%s\" says "
                     "nothing and keeps its weight for %g rounds: %s",
                     work->pool->name, s->server->name, hold,
                     complaint ? complaint : "no sample");
    }
}

/* Warns that no weight moves, and names those who say nothing. */
static void
warn_frozen(const struct work *work)
{
    char *names;
    size_t size;
    const char *complaint = NULL;
    FILE *stream = open_memstream(&names, &size);
    const char *separator = "";

    if (!stream) {
        abort();
    }
    for (size_t i = 0; i < work->n; i++) {
        const struct work_server *s = &work->servers[i];

        if (s->status == SAMPLE_MISSING) {
            fprintf(stream, "%s%s", separator, s->server->name);
            separator = ", ";
            complaint = complaint ? complaint : s->report->complaint;
        }
    }
    fclose(stream);
    diag_warning(work->diags, &work->weights->loc, "pool \"%s\" keeps all its "
                 "weights, because half of its servers say nothing: %s (%s)",
                 work->pool->name, names, complaint ? complaint : "no sample");
    free(names);
}

static void
work_warn(const struct work *work)
{
    if (work->report->frozen) {
        warn_frozen(work);
    }
    for (size_t i = 0; i < work->n; i++) {
        warn_missing(work, &work->servers[i]);
    }
}

static void
work_run(struct work *work)
{
    for (size_t i = 0; i < work->n; i++) {
        work_begin_server(work, i);
    }
    for (size_t i = 0; i < work->n; i++) {
        if (work->servers[i].report->asked) {
            work_take_sample(work, i);
        }
    }
    work_find_targets(work);
    work_move(work);
    for (size_t i = 0; i < work->n; i++) {
        struct work_server *s = &work->servers[i];

        s->report->missing = s->status == SAMPLE_MISSING;
        s->report->starting = s->is_active && s->start_target < 1;
    }
    work_warn(work);
    work_settle(work);
}

/* Seconds since the last round, NAN if there was none.  A clock that went back
 * is as good as none. */
static double
find_since_last(const struct pool *pool, double now, struct diags *diags)
{
    double since_last = now - pool->refreshed_at / 1000.0;

    if (!pool->refreshed_at) {
        return NAN;
    }
    if (since_last < 0) {
        diag_warning(diags, NULL, "pool \"%s\": its last round was %.0f s in "
                     "the future: the clock went back; counters start anew",
                     pool->name, -since_last);
        return NAN;
    }
    return since_last;
}

static void
compute_pool(struct refresh_round *round, const struct round_pool *rp,
             struct pool *pool, const struct assignment *installed,
             double now, struct refresh_pool *report, struct diags *diags)
{
    uint16_t *owners = assignment_owners(pool, installed);
    struct work work = {
        .round = round,
        .round_pool = rp,
        .weights = &rp->pool->weights,
        .pool = pool,
        .servers = lb_xcalloc(pool->n_servers, sizeof *work.servers),
        .n = pool->n_servers,
        .now = now,
        .since_last = find_since_last(pool, now, diags),
        .owners = owners,
        .report = report,
        .diags = diags,
    };

    report->name = rp->pool->name;
    report->weights = work.weights;
    report->n_servers = pool->n_servers;
    report->servers = lb_xcalloc(pool->n_servers, sizeof *report->servers);
    for (size_t i = 0; owners && i < pool->n_slots; i++) {
        if (owners[i] != SLOT_NONE) {
            report->servers[owners[i]].old_slots++;
        }
    }
    work_run(&work);
    free(work.servers);
    free(owners);
}

void
refresh_compute(struct refresh_round *round, struct model *model,
                const struct assignments *installed, double now,
                struct refresh_report *report, struct diags *diags)
{
    report->pools = lb_xcalloc(round->n_pools, sizeof *report->pools);
    report->n_pools = 0;
    for (size_t i = 0; i < round->n_pools; i++) {
        const struct round_pool *rp = &round->pools[i];
        struct pool *pool = model_find_pool(model, rp->pool->name);

        if (pool && pool->refreshed_at == rp->refreshed_at) {
            compute_pool(round, rp, pool,
                         assignments_find(installed, pool->name), now,
                         &report->pools[report->n_pools++], diags);
        }
    }
}

void
refresh_report_uninit(struct refresh_report *report)
{
    for (size_t i = 0; i < report->n_pools; i++) {
        for (size_t j = 0; j < report->pools[i].n_servers; j++) {
            free(report->pools[i].servers[j].complaint);
        }
        free(report->pools[i].servers);
    }
    free(report->pools);
    report->pools = NULL;
    report->n_pools = 0;
}

bool
refresh_any_frozen(const struct refresh_report *report)
{
    for (size_t i = 0; i < report->n_pools; i++) {
        if (report->pools[i].frozen) {
            return true;
        }
    }
    return false;
}

bool
refresh_any_change(const struct refresh_report *report)
{
    for (size_t i = 0; i < report->n_pools; i++) {
        if (report->pools[i].state_changed) {
            return true;
        }
    }
    return false;
}

const char *
refresh_why_name(enum refresh_why why)
{
    static const char *const names[] = {
        [REFRESH_NOT_READY] = "takes no connections",
        [REFRESH_OVERRIDDEN] = "an operator set its weight",
        [REFRESH_WAITS] = "counters need a second round",
        [REFRESH_HOLDS] = "says nothing, keeps its weight",
        [REFRESH_DRIFTS] = "says nothing, goes to the file's weight",
        [REFRESH_FROZEN] = "half of the pool says nothing",
        [REFRESH_AGENT] = "its agent takes it out",
        [REFRESH_SAME] = "within the deadband",
        [REFRESH_SLOTS] = "too little for a slot",
        [REFRESH_FOLLOWS] = "as wanted",
        [REFRESH_BOUND] = "bound by min or max",
        [REFRESH_STEP] = "bound by max_step",
        [REFRESH_MOVE] = "bound by max_move",
    };

    return names[why];
}
