/* SPDX-License-Identifier: Apache-2.0 */

#include "lib/demand.h"

#include <stdlib.h>

#include "lib/tiers.h"

void
pool_demand_init(const struct pool *pool, struct pool_demand *demand)
{
    pool_demand_init_tier(pool, tier_first(pool), demand);
}

/* Has the element at the top of the list of servers that server 'index' is, or
 * is in, get 'share', as its tier spills or is spilled to. */
static void
spread(const struct pool *pool, size_t index, uint16_t share,
       struct pool_demand *demand)
{
    size_t set = tier_top_set(pool, index);

    if (set) {
        demand->sets[set - 1].share = share;
    } else {
        demand->servers[index].share = share;
    }
}

void
pool_demand_init_tier(const struct pool *pool, size_t tier,
                      struct pool_demand *demand)
{
    struct distribution dist = {
        .shares = lb_xcalloc(pool->n_servers, sizeof *dist.shares)
    };

    uint16_t *spill = NULL;
    bool spills = (tier == tier_first(pool) && tiers_spill(pool, &spill));

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
        const struct server *server = &pool->servers[i];

        demand->servers[i] = (struct slot_server) {
            .name = server->name,
            .share = (server->tier == tier || (spills && spill[server->tier])
                      ? dist.shares[i] : 0),
            .set = server->set,
        };
        demand->n_sharing += demand->servers[i].share && server_takes(pool, i);
        if (spills && demand->servers[i].share) {
            spread(pool, i, spill[server->tier], demand);
        }
    }
    free(spill);
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
