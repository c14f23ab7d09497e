/* SPDX-License-Identifier: Apache-2.0 */

/* Failover
 * ========
 *
 * The elements of the list of servers take each other's place, in the order of
 * the file: all new connections go to the first one that is alive.  An element
 * is a server or a set; within a set connections spread by weight, as with
 * "wrr".
 *
 * "preempt" says what happens when one comes back that others stood in for:
 * with true it gets the new connections again; with false they stay where they
 * are for as long as that one is alive. */

#include "lib/util.h"
#include "policies/policy.h"

static const struct policy_param failover_params[] = {
    [FAILOVER_PREEMPT] = {
        .name = "preempt", .is_flag = true, .min = 0, .max = 1, .value = 1
    },
};

static void
failover_distribute(const struct policy_server *servers, size_t n,
                    const long *params LB_UNUSED, struct distribution *dist)
{
    for (size_t i = 0; i < n; i++) {
        dist->shares[i] = servers[i].weight;
    }
    dist->selection = POLICY_BY_CONNECTION;
    dist->client_prefix = 0;
    dist->client_prefix6 = 0;
}

const struct policy failover_policy = {
    .name = "failover",
    .params = failover_params,
    .n_params = LB_ARRAY_SIZE(failover_params),
    .in_order = true,
    .distribute = failover_distribute,
};
