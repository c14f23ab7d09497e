/* SPDX-License-Identifier: Apache-2.0 */

/* Threshold
 * =========
 *
 * A server over a limit, of packets per second, of open connections or of CPU,
 * gives a part of its weight to the next server in the file that is under its
 * own limits, the first following the last.  When there is none, nobody does.
 *
 * It gets its weight back when it is under "release" times every limit: in
 * between, a server stays as it is, which is told by the weight in force. */

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

/* Whether 'server' is over any of its limits times 'factor'. */
static bool
is_over(const struct weight_server *server, const double *params,
        double factor)
{
    for (size_t i = 0; i < LB_ARRAY_SIZE(limit_metrics); i++) {
        if (params[i] > 0
            && server->values[limit_metrics[i]] > params[i] * factor) {
            return true;
        }
    }
    return false;
}

/* Whether 'server' is to give away some of its weight.  One that does so
 * already goes on until it is well below. */
static bool
gives(const struct weight_server *server, const double *params)
{
    bool gives_now = server->current < 0.99 * server->weight;

    return (server->usable
            && is_over(server, params,
                       gives_now ? params[THRESHOLD_RELEASE] : 1));
}

static void
threshold_compute(const struct weight_server *servers, size_t n,
                  const double *params, double *wanted)
{
    for (size_t i = 0; i < n; i++) {
        wanted[i] = servers[i].weight;
    }
    for (size_t i = 0; i < n; i++) {
        double moved = servers[i].weight * params[THRESHOLD_MOVE];
        size_t next = i;

        if (!gives(&servers[i], params)) {
            continue;
        }
        do {
            next = (next + 1) % n;
        } while (next != i && (!servers[next].usable
                               || gives(&servers[next], params)));
        if (next != i) {
            wanted[i] -= moved;
            wanted[next] += moved;
        }
    }
}

const struct weight_policy weight_threshold = {
    .name = "threshold",
    .params = threshold_params,
    .n_params = THRESHOLD_N_PARAMS,
    .asks_switch = true,
    .check = threshold_check,
    .usable = threshold_usable,
    .needs = "packets, connections and cpu, as far as they have a limit",
    .compute = threshold_compute,
};
