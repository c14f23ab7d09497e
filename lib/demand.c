/* SPDX-License-Identifier: Apache-2.0 */

#include "lib/demand.h"

#include <stdlib.h>

/* Whether the file lets the set, and those that it is in, have any slot. */
static bool
set_is_on(const struct pool *pool, size_t set)
{
    while (set && pool->sets[set - 1].weight) {
        set = pool->sets[set - 1].parent;
    }
    return !set;
}

void
pool_demand_init(const struct pool *pool, struct pool_demand *demand)
{
    struct distribution dist = {
        .shares = lb_xcalloc(pool->n_servers, sizeof *dist.shares)
    };

    demand->n_sharing = 0;
    demand->sets = lb_xcalloc(pool->n_sets, sizeof *demand->sets);
    for (size_t i = 0; i < pool->n_sets; i++) {
        demand->sets[i] = (struct slot_set) {
            .name = pool->sets[i].name,
            .share = pool->sets[i].weight,
            .parent = pool->sets[i].parent,
        };
    }
    pool_distribute(pool, &dist);
    demand->servers = lb_xcalloc(pool->n_servers, sizeof *demand->servers);
    for (size_t i = 0; i < pool->n_servers; i++) {
        demand->servers[i] = (struct slot_server) {
            .name = pool->servers[i].name,
            .share = dist.shares[i],
            .set = pool->servers[i].set,
        };
        demand->n_sharing += (dist.shares[i] > 0
                              && set_is_on(pool, pool->servers[i].set));
    }
    demand->slots = (struct slot_demand) {
        .servers = demand->servers,
        .n = pool->n_servers,
        .sets = demand->sets,
        .n_sets = pool->n_sets,
    };
    free(dist.shares);
}

void
pool_demand_uninit(struct pool_demand *demand)
{
    free(demand->servers);
    free(demand->sets);
}
