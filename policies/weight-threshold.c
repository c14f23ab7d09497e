/* SPDX-License-Identifier: Apache-2.0 */

/* Threshold
 * =========
 *
 * A server over a limit, of packets per second, of open connections or of CPU,
 * gives a part of its weight to the next server of its set that is under its
 * own limits, the first following the last.  When there is none, it does not
 * begin to; one that gives already goes on even so, because what it gives may
 * be what brings the others over their limits, and taking it back would make
 * load swing.
 *
 * Where servers take each other's place, those of a tier that is over a limit
 * on average give that part to the tiers behind it, on the same terms: the
 * service of one site is redirected to the next.
 *
 * It gets its weight back when it would be under "release" times every limit
 * with all of it, which is told by what it has with the weight in force: what
 * it has now says nothing, as giving away half of it brings that down. */

#include <math.h>

#include "lib/util.h"
#include "policies/weight.h"

enum {
    THRESHOLD_PACKETS,
    THRESHOLD_CONNECTIONS,
    THRESHOLD_CPU,
    THRESHOLD_MOVE,
    THRESHOLD_RELEASE,
    THRESHOLD_N_PARAMS
};

static const struct weight_param threshold_params[THRESHOLD_N_PARAMS] = {
    [THRESHOLD_PACKETS] = { "packets", WEIGHT_NUMBER, 0, 1e12, 0 },
    [THRESHOLD_CONNECTIONS] = { "connections", WEIGHT_NUMBER, 0, 1e9, 0 },
    [THRESHOLD_CPU] = { "cpu", WEIGHT_FRACTION, 0, 4, 0 },
    [THRESHOLD_MOVE] = { "move", WEIGHT_FRACTION, 0.01, 1, 0.5 },
    [THRESHOLD_RELEASE] = { "release", WEIGHT_FRACTION, 0.01, 1, 0.8 },
};

/* Which metric each limit is of. */
static const enum metric limit_metrics[] = {
    [THRESHOLD_PACKETS] = METRIC_PACKETS,
    [THRESHOLD_CONNECTIONS] = METRIC_CONNECTIONS,
    [THRESHOLD_CPU] = METRIC_CPU,
};

static const char *
threshold_check(const double *params)
{
    for (size_t i = 0; i < LB_ARRAY_SIZE(limit_metrics); i++) {
        if (params[i] > 0) {
            return NULL;
        }
    }
    return "policy \"threshold\" needs a limit: packets, connections or cpu";
}

static bool
threshold_usable(const double *values, const double *params)
{
    for (size_t i = 0; i < LB_ARRAY_SIZE(limit_metrics); i++) {
        if (params[i] > 0 && isnan(values[limit_metrics[i]])) {
            return false;
        }
    }
    return true;
}

/* Whether who has 'current' of 'weight' gives some of it already. */
static bool
gives_now(double current, double weight)
{
    return current < 0.99 * weight;
}

/* The limits in force for that one, as a factor.  It goes on until it is well
 * below. */
static double
find_factor(double current, double weight, const double *params)
{
    return (gives_now(current, weight)
            ? current / weight * params[THRESHOLD_RELEASE] : 1);
}

static bool
gives(const struct weight_server *server, const double *params)
{
    double factor = find_factor(server->current, server->weight, params);

    for (size_t i = 0; server->usable && i < LB_ARRAY_SIZE(limit_metrics);
         i++) {
        if (params[i] > 0
            && server->values[limit_metrics[i]] > params[i] * factor) {
            return true;
        }
    }
    return false;
}

/* The next server after 'i' of its set, under its limits unless 'any' will do;
 * or 'i'. */
static size_t
find_next(const struct weight_server *servers, size_t n, size_t i,
          const double *params, bool any)
{
    size_t next = i;

    do {
        next = (next + 1) % n;
    } while (next != i && (!servers[next].usable
                           || servers[next].set != servers[i].set
                           || (!any && gives(&servers[next], params))));
    return next;
}

/* Each server to the next one of its set. */
static void
move_to_servers(const struct weight_server *servers, size_t n,
                const double *params, double *wanted)
{
    for (size_t i = 0; i < n; i++) {
        double moved = servers[i].weight * params[THRESHOLD_MOVE];
        size_t next;

        if (!gives(&servers[i], params)) {
            continue;
        }
        next = find_next(servers, n, i, params, false);
        if (next == i && gives_now(servers[i].current, servers[i].weight)) {
            next = find_next(servers, n, i, params, true);
        }
        if (next != i) {
            wanted[i] -= moved;
            wanted[next] += moved;
        }
    }
}

/* What is known of the usable servers of a tier. */
struct tier_load {
    size_t n;
    double weight, current;     /* Sums. */
    double values[N_METRICS];   /* Averages, of those that have a limit. */
    bool is_over;               /* A limit. */
};

static void
tier_load_init(const struct weight_server *servers, size_t n, size_t tier,
               const double *params, struct tier_load *load)
{
    *load = (struct tier_load) { .n = 0 };
    for (size_t i = 0; i < n; i++) {
        if (servers[i].tier == tier && servers[i].usable) {
            load->n++;
            load->weight += servers[i].weight;
            load->current += servers[i].current;
            for (size_t j = 0; j < LB_ARRAY_SIZE(limit_metrics); j++) {
                enum metric m = limit_metrics[j];

                load->values[m] += ((servers[i].values[m] - load->values[m])
                                    / load->n);
            }
        }
    }
    for (size_t i = 0; load->n && i < LB_ARRAY_SIZE(limit_metrics); i++) {
        double factor = find_factor(load->current, load->weight, params);

        load->is_over |= (params[i] > 0 && (load->values[limit_metrics[i]]
                                            > params[i] * factor));
    }
}

/* Each tier to those behind it. */
static void
move_to_tiers(const struct weight_server *servers, size_t n, size_t n_tiers,
              const double *params, double *wanted)
{
    bool any_behind = false, any_idle_behind = false;

    for (size_t tier = n_tiers; tier-- > 0; ) {
        struct tier_load load;
        bool can_give;

        tier_load_init(servers, n, tier, params, &load);
        can_give = (gives_now(load.current, load.weight) ? any_behind
                    : any_idle_behind);
        for (size_t i = 0; i < n && load.is_over && can_give; i++) {
            if (servers[i].tier == tier) {
                wanted[i] *= 1 - params[THRESHOLD_MOVE];
            }
        }
        any_behind = any_behind || load.n;
        any_idle_behind = any_idle_behind || (load.n && !load.is_over);
    }
}

static void
threshold_compute(const struct weight_server *servers, size_t n,
                  const double *params, double *wanted)
{
    size_t n_tiers = 1;

    for (size_t i = 0; i < n; i++) {
        wanted[i] = servers[i].weight;
        n_tiers = servers[i].tier < n_tiers ? n_tiers : servers[i].tier + 1;
    }
    if (n_tiers > 1) {
        move_to_tiers(servers, n, n_tiers, params, wanted);
    } else {
        move_to_servers(servers, n, params, wanted);
    }
}

const struct weight_policy weight_threshold = {
    .name = "threshold",
    .params = threshold_params,
    .n_params = THRESHOLD_N_PARAMS,
    .asks_switch = true,
    .spills = true,
    .check = threshold_check,
    .usable = threshold_usable,
    .needs = "packets, connections and cpu, as far as they have a limit",
    .compute = threshold_compute,
};
