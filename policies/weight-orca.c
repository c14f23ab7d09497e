/* SPDX-License-Identifier: Apache-2.0 */

/* ORCA
 * ====
 *
 * gRPC's client-side weighted round robin (proposal A58): what a server gets
 * done for what it costs it,
 *
 *     qps / (utilization + penalty * eps / qps)
 *
 * where utilization is the application's own figure, or else that of the CPU.
 * It does not depend on the share that a server has at the moment, so it finds
 * how strong servers are without being told and does not oscillate.
 *
 * A server with no traffic or no load says nothing, and one that has just come
 * back says little for "blackout" seconds: they get what the others have on
 * average.  With fewer than two that say something, all get the same.  What
 * A58 calls expiration is "hold" rounds here. */

#include <math.h>

#include "lib/util.h"
#include "policies/weight.h"

enum {
    ORCA_PENALTY,
    ORCA_BLACKOUT,
    ORCA_MIN_QPS,
    ORCA_N_PARAMS
};

static const struct weight_param orca_params[ORCA_N_PARAMS] = {
    [ORCA_PENALTY] = { "penalty", WEIGHT_NUMBER, 0, 1000, 1 },
    [ORCA_BLACKOUT] = { "blackout", WEIGHT_SECONDS, 0, 86400, 10 },
    [ORCA_MIN_QPS] = { "min_qps", WEIGHT_NUMBER, 0, 1e9, 1 },
};

static double
utilization(const double *values)
{
    return (!isnan(values[METRIC_UTILIZATION]) ? values[METRIC_UTILIZATION]
            : values[METRIC_CPU]);
}

static bool
orca_usable(const double *values, const double *params LB_UNUSED)
{
    return !isnan(values[METRIC_QPS]) && !isnan(utilization(values));
}

/* What 'server' says of itself, 0 if that is nothing. */
static double
yield(const struct weight_server *server, const double *params)
{
    double qps = server->values[METRIC_QPS];
    double eps = server->values[METRIC_EPS];
    double load = utilization(server->values);

    if (!server->usable || server->age < params[ORCA_BLACKOUT]
        || !(qps > 0) || qps < params[ORCA_MIN_QPS] || !(load > 0)) {
        return 0;
    }
    return qps / (load + (isnan(eps) ? 0 : params[ORCA_PENALTY] * eps / qps));
}

static void
orca_compute(const struct weight_server *servers, size_t n,
             const double *params, double *wanted)
{
    size_t n_known = 0;
    double sum = 0;

    for (size_t i = 0; i < n; i++) {
        wanted[i] = yield(&servers[i], params);
        sum += wanted[i];
        n_known += wanted[i] > 0;
    }
    for (size_t i = 0; i < n; i++) {
        if (n_known < 2) {
            wanted[i] = servers[i].weight;
        } else if (!(wanted[i] > 0)) {
            wanted[i] = sum / n_known;
        }
    }
}

const struct weight_policy weight_orca = {
    .name = "orca",
    .params = orca_params,
    .n_params = ORCA_N_PARAMS,
    .usable = orca_usable,
    .needs = "qps, and utilization or cpu",
    .compute = orca_compute,
};
