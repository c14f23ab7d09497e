/* SPDX-License-Identifier: Apache-2.0 */

#include "lib/tiers.h"

#include "lib/refreshed.h"
#include "lib/util.h"

size_t
tier_top_set(const struct pool *pool, size_t index)
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
    size_t set = tier_top_set(pool, a);

    return !pool->policy->in_order || (set && set == tier_top_set(pool, b));
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

/* Whether nobody of another tier is in the set at the top that servers of
 * 'tier' are in, so that the set as a whole can have a share. */
static bool
is_alone(const struct pool *pool, size_t tier)
{
    size_t set = 0;

    for (size_t i = 0; i < pool->n_servers && !set; i++) {
        set = pool->servers[i].tier == tier ? tier_top_set(pool, i) : 0;
    }
    for (size_t i = 0; i < pool->n_servers && set; i++) {
        if (pool->servers[i].tier != tier && tier_top_set(pool, i) == set) {
            return false;
        }
    }
    return true;
}

/* The first tier behind 'tier' that can take what that spills, or SIZE_MAX. */
static size_t
next_tier(const struct pool *pool, size_t tier)
{
    do {
        tier++;
    } while (tier < pool->n_tiers && !(tier_n_taking(pool, tier, NULL)
                                       && is_alone(pool, tier)));
    return tier < pool->n_tiers ? tier : SIZE_MAX;
}

/* The part, in thousandths, of its weight that 'tier' has left. */
static unsigned int
tier_kept(const struct pool *pool, size_t tier)
{
    uint64_t weight = 0;
    uint64_t kept = 0;

    for (size_t i = 0; i < pool->n_servers; i++) {
        const struct server *server = &pool->servers[i];

        if (server->tier == tier && server_takes(pool, i)) {
            weight += server->weight;
            kept += (uint64_t) server->weight
                    * (server->refreshed && !server->override.has_weight
                       ? server->refreshed->ratio : REFRESHED_WHOLE);
        }
    }
    return kept < weight * REFRESHED_WHOLE ? kept / weight : REFRESHED_WHOLE;
}

bool
tiers_spill(const struct pool *pool, uint16_t **shares)
{
    size_t first = tier_first(pool);
    unsigned int rest = TIERS_WHOLE;

    *shares = lb_xcalloc(pool->n_tiers, sizeof **shares);
    if (!pool->policy->in_order || !pool->weights.policy
        || !pool->weights.policy->spills || !is_alone(pool, first)) {
        return false;
    }
    for (size_t tier = first; rest && tier != SIZE_MAX; ) {
        size_t next = next_tier(pool, tier);

        (*shares)[tier] = (next == SIZE_MAX ? rest
                           : rest * tier_kept(pool, tier) / REFRESHED_WHOLE);
        rest -= (*shares)[tier];
        tier = next;
    }
    return (*shares)[first] < TIERS_WHOLE;
}

const char *
tier_name(const struct pool *pool, size_t tier)
{
    size_t set, i = 0;

    while (pool->servers[i].tier != tier) {
        i++;
    }
    set = pool->policy->in_order ? tier_top_set(pool, i) : 0;
    return set ? pool->sets[set - 1].name : pool->servers[i].name;
}
