/* SPDX-License-Identifier: Apache-2.0 */

/* Feedback
 * ========
 *
 * The Linux Virtual Server's dynamic feedback: with the load L of a server, a
 * weighted sum as in sblb, its weight is
 *
 *     weight * (1 + gain * cbrt(expect - L))
 *
 * The cube root answers small distances from what is expected strongly and
 * large ones mildly.  Its slope is infinite where the load is just as
 * expected, so this policy lives by the deadband.
 *
 * The incremental form, which adds to the last weight instead of the
 * configured one, goes on adding for as long as servers are idle or
 * overloaded, and is not used. */

#include <math.h>

#include "lib/util.h"
#include "policies/weight.h"

enum {
    FEEDBACK_EXPECT = WEIGHT_N_RATIOS,
    FEEDBACK_GAIN,
    FEEDBACK_N_PARAMS
};

static const struct weight_param feedback_params[FEEDBACK_N_PARAMS] = {
    WEIGHT_RATIOS(0.7, 0.3, 0),
    [FEEDBACK_EXPECT] = { "expect", WEIGHT_FRACTION, 0.01, 1, 0.95 },
    [FEEDBACK_GAIN] = { "gain", WEIGHT_NUMBER, 0.01, 10, 1 },
};

static void
feedback_compute(const struct weight_server *servers, size_t n,
                 const double *params, double *wanted)
{
    for (size_t i = 0; i < n; i++) {
        double distance = (params[FEEDBACK_EXPECT]
                           - weight_ratios_load(servers[i].values, params));

        wanted[i] = fmax(0, servers[i].weight
                            * (1 + params[FEEDBACK_GAIN] * cbrt(distance)));
    }
}

const struct weight_policy weight_feedback = {
    .name = "feedback",
    .params = feedback_params,
    .n_params = FEEDBACK_N_PARAMS,
    .check = weight_ratios_check,
    .usable = weight_ratios_usable,
    .needs = WEIGHT_RATIOS_NEEDS,
    .compute = feedback_compute,
};
