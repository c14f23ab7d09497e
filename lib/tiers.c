/* SPDX-License-Identifier: Apache-2.0 */

#include "lib/tiers.h"

/* The number of the set at the top of the list that server 'index' is in, 0 if
 * it is in none. */
static size_t
top_set(const struct pool *pool, size_t index)
{
    size_t set = pool->servers[index].set;

    while (set && pool->sets[set - 1].parent) {
        set = pool->sets[set - 1].parent;
    }
    return set;
}

/* Whether servers 'a' and 'b', both backups or both not, belong to one
 * tier. */
static bool
is_same_tier(const struct pool *pool, size_t a, size_t b)
{
    size_t set = top_set(pool, a);

    return !pool->policy->in_order || (set && set == top_set(pool, b));
}

void
tiers_compute(struct pool *pool)
{
    pool->n_tiers = 0;
    for (int backup = 0; backup < 2; backup++) {
        size_t last = SIZE_MAX;

        for (size_t i = 0; i < pool->n_servers; i++) {
            if (pool->servers[i].backup != backup) {
                continue;
            }
            if (last == SIZE_MAX || !is_same_tier(pool, last, i)) {
                pool->n_tiers++;
            }
            pool->servers[i].tier = pool->n_tiers - 1;
            last = i;
        }
    }
}

/* Whether the file lets the set, and those that it is in, have any slot. */
static bool
set_is_on(const struct pool *pool, size_t set)
{
    while (set && pool->sets[set - 1].weight) {
        set = pool->sets[set - 1].parent;
    }
    return !set;
}

bool
server_takes(const struct pool *pool, size_t index)
{
    const struct server *server = &pool->servers[index];

    return (server_effective_thousandths(server)
            && set_is_on(pool, server->set));
}

size_t
tier_n_taking(const struct pool *pool, size_t tier, size_t *first)
{
    size_t n = 0;

    for (size_t i = 0; i < pool->n_servers; i++) {
        if (pool->servers[i].tier == tier && server_takes(pool, i)) {
            if (!n++ && first) {
                *first = i;
            }
        }
    }
    return n;
}

size_t
tier_first(const struct pool *pool)
{
    size_t tier = SIZE_MAX;

    for (size_t i = 0; i < pool->n_servers; i++) {
        if (pool->servers[i].tier < tier && server_takes(pool, i)) {
            tier = pool->servers[i].tier;
        }
    }
    return tier == SIZE_MAX ? 0 : tier;
}
