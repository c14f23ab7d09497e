/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LB_DEMAND_H
#define LB_DEMAND_H 1

/* What the servers of a pool ask for of its slots
 * ===============================================
 *
 * From a pool, in the words of the file, to shares, in those of lib/slots.h:
 * the policy says what a server's weight comes to, sets have their weights.
 * Pure. */

#include "lib/model.h"
#include "lib/slots.h"

/* 'slots' points into the rest. */
struct pool_demand {
    struct slot_demand slots;
    struct slot_server *servers;    /* As 'pool->servers'. */
    struct slot_set *sets;          /* As 'pool->sets'. */
    size_t n_sharing;               /* Servers that ask for anything. */
};

/* Fills in '*demand', which borrows names from 'pool', with what the servers
 * of 'tier', or of the first tier that takes connections, ask for; those of
 * other tiers only if that one spills to them (lib/tiers.h). */
void pool_demand_init_tier(const struct pool *pool, size_t tier,
                           struct pool_demand *demand);
void pool_demand_init(const struct pool *pool, struct pool_demand *demand);
void pool_demand_uninit(struct pool_demand *);

#endif /* lib/demand.h */
