/* SPDX-License-Identifier: Apache-2.0 */

/* Least connections
 * =================
 *
 * A server's weight is divided by the connections that it has open,
 *
 *     weight / (connections + 1) ** bias
 *
 * as Envoy does for servers of different weights.  A server that answers
 * slowly keeps its connections longer and so gets fewer new ones.  The switch
 * knows the number; no server has to be asked. */

#include <math.h>

#include "lib/util.h"
#include "policies/weight.h"

enum {
    LEAST_BIAS,
    LEAST_N_PARAMS
};

static const struct weight_param least_params[LEAST_N_PARAMS] = {
    [LEAST_BIAS] = { "bias", WEIGHT_NUMBER, 0, 2, 1 },
};

static bool
least_usable(const double *values, const double *params LB_UNUSED)
{
    return !isnan(values[METRIC_CONNECTIONS]);
}

static void
least_compute(const struct weight_server *servers, size_t n,
              const double *params, double *wanted)
{
    for (size_t i = 0; i < n; i++) {
        wanted[i] = (servers[i].weight
                     / pow(servers[i].values[METRIC_CONNECTIONS] + 1,
                           params[LEAST_BIAS]));
    }
}

const struct weight_policy weight_least_connections = {
    .name = "least-connections",
    .params = least_params,
    .n_params = LEAST_N_PARAMS,
    .usable = least_usable,
    .needs = "connections",
    .asks_switch = true,
    .compute = least_compute,
};
