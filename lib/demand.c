/* SPDX-License-Identifier: Apache-2.0 */

#include "lib/demand.h"

#include <stdlib.h>

#include "lib/tiers.h"

void
pool_demand_init(const struct pool *pool, struct pool_demand *demand)
{
    pool_demand_init_tier(pool, tier_first(pool), demand);
}

void
pool_demand_init_tier(const struct pool *pool, size_t tier,
                      struct pool_demand *demand)
{
    struct distribution dist = {
        .shares = lb_xcalloc(pool->n_servers, sizeof *dist.shares)
    };

    demand->n_sharing = tier_n_taking(pool, tier, NULL);
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
        const struct server *server = &pool->servers[i];

        demand->servers[i] = (struct slot_server) {
            .name = server->name,
            .share = server->tier == tier ? dist.shares[i] : 0,
            .set = server->set,
        };
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
