/* SPDX-License-Identifier: Apache-2.0 */

/* Adaptive
 * ========
 *
 * Adaptive weighted round robin: a server's weight is divided by 1 + stress,
 *
 *     max(floor, weight / (1 + stress)),   stress = (cpu + memory) / 2
 *
 * with fractions of CPU and memory, unless the server reports its stress
 * itself.  Each server by its own stress: one number for all of them would
 * leave every share as it is.
 *
 * At most half of a weight goes, so this is the mildest of the policies. */

#include <math.h>

#include "lib/util.h"
#include "policies/weight.h"

enum {
    ADAPTIVE_FLOOR,
    ADAPTIVE_N_PARAMS
};

static const struct weight_param adaptive_params[ADAPTIVE_N_PARAMS] = {
    [ADAPTIVE_FLOOR] = { "floor", WEIGHT_NUMBER, 0.001, 65535, 0.1 },
};

static double
stress(const double *values)
{
    return (!isnan(values[METRIC_STRESS]) ? values[METRIC_STRESS]
            : (values[METRIC_CPU] + values[METRIC_MEMORY]) / 2);
}

static bool
adaptive_usable(const double *values, const double *params LB_UNUSED)
{
    return !isnan(stress(values));
}

static void
adaptive_compute(const struct weight_server *servers, size_t n,
                 const double *params, double *wanted)
{
    for (size_t i = 0; i < n; i++) {
        wanted[i] = fmax(params[ADAPTIVE_FLOOR],
                         servers[i].weight / (1 + stress(servers[i].values)));
    }
}

const struct weight_policy weight_adaptive = {
    .name = "adaptive",
    .params = adaptive_params,
    .n_params = ADAPTIVE_N_PARAMS,
    .usable = adaptive_usable,
    .needs = "stress, or cpu and memory",
    .compute = adaptive_compute,
};
