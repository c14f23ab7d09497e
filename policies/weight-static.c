/* SPDX-License-Identifier: Apache-2.0 */

/* Static
 * ======
 *
 * The weights of the file.  With an HAProxy agent among the sources it is the
 * agent that says how much of its weight a server gets, as it would with
 * HAProxy: that goes for every policy, and needs none beyond this one. */

#include "lib/util.h"
#include "policies/weight.h"

static void
static_compute(const struct weight_server *servers, size_t n,
               const double *params LB_UNUSED, double *wanted)
{
    for (size_t i = 0; i < n; i++) {
        wanted[i] = servers[i].weight;
    }
}

const struct weight_policy weight_static = {
    .name = "static",
    .compute = static_compute,
};
