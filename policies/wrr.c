/* SPDX-License-Identifier: Apache-2.0 */

/* Weighted round robin
 * ====================
 *
 * Each server's share of the new connections is its weight over the sum of all
 * weights.  The switch picks a slot by a hash of the connection, so shares
 * hold over many connections and not one after another: three connections need
 * not reach three servers.
 *
 * The weights go through as they are.  What they come to in whole slots is the
 * slot table's business (lib/slots.h). */

#include "lib/util.h"
#include "policies/policy.h"

static void
wrr_distribute(const struct policy_server *servers, size_t n,
               const long *params LB_UNUSED, struct distribution *dist)
{
    for (size_t i = 0; i < n; i++) {
        dist->shares[i] = servers[i].weight;
    }
    dist->selection = POLICY_BY_CONNECTION;
    dist->client_prefix = 0;
    dist->client_prefix6 = 0;
}

const struct policy wrr_policy = {
    .name = "wrr",
    .distribute = wrr_distribute,
};
