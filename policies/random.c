/* SPDX-License-Identifier: Apache-2.0 */

/* Random
 * ======
 *
 * Each new connection goes to any server with equal chance.  Weights say only
 * who takes part: 0 means no new connections, everything else is the same.
 *
 * The dice are the switch's hash of the connection: fair over many
 * connections, and nothing to remember. */

#include "lib/util.h"
#include "policies/policy.h"

static void
random_distribute(const struct policy_server *servers, size_t n,
                  const long *params LB_UNUSED, struct distribution *dist)
{
    for (size_t i = 0; i < n; i++) {
        dist->shares[i] = servers[i].weight > 0;
    }
    dist->selection = POLICY_BY_CONNECTION;
    dist->client_prefix = 0;
    dist->client_prefix6 = 0;
}

const struct policy random_policy = {
    .name = "random",
    .ignores_weights = true,
    .distribute = random_distribute,
};
