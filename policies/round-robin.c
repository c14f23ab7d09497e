/* SPDX-License-Identifier: Apache-2.0 */

/* Round robin
 * ===========
 *
 * New connections, from whichever clients, go to one server after the other in
 * the order of the file, and then from the first on.  Unlike "wrr", which
 * picks by a hash, three connections one after another do reach three servers.
 *
 * Weights are numbers of turns.  The turns of a server with several of them
 * are spread over the sequence: weights 3:2:2 make a b c a b c a.  That is
 * smooth weighted round robin, due to Igor Sysoev (nginx, 2012): in each turn
 * every server's credit grows by its weight, the one with the most credit is
 * taken, and pays the sum of all weights.  After as many turns as that sum all
 * credit is 0 again, so the sequence repeats, and each server has had exactly
 * its weight in turns. */

#include <stdlib.h>

#include "lib/util.h"
#include "policies/policy.h"

static void
round_robin_distribute(const struct policy_server *servers, size_t n,
                       const long *params LB_UNUSED,
                       struct distribution *dist)
{
    for (size_t i = 0; i < n; i++) {
        dist->shares[i] = servers[i].weight;
    }
    dist->selection = POLICY_BY_TURN;
    dist->client_prefix = 0;
    dist->client_prefix6 = 0;
}

static void
round_robin_order(const uint16_t *quotas, size_t n, uint16_t *turns)
{
    int32_t *credit = lb_xcalloc(n, sizeof *credit);
    size_t n_turns = 0;

    for (size_t i = 0; i < n; i++) {
        n_turns += quotas[i];
    }
    for (size_t turn = 0; turn < n_turns; turn++) {
        size_t best = 0;

        for (size_t i = 0; i < n; i++) {
            credit[i] += quotas[i];
            if (credit[i] > credit[best]) {
                best = i;
            }
        }
        credit[best] -= n_turns;
        turns[turn] = best;
    }
    free(credit);
}

const struct policy round_robin_policy = {
    .name = "round-robin",
    .distribute = round_robin_distribute,
    .order = round_robin_order,
};
