/* SPDX-License-Identifier: Apache-2.0 */

/* Warnings about weights that do not do what they seem to say. */

#include "lib/model-internal.h"

#include <inttypes.h>
#include <stdlib.h>

#include "lib/demand.h"
#include "lib/tiers.h"

/* How far a server's share may be from what its weight asks for, relative to
 * that. */
#define TOLERANCE 0.20

/* Servers of one pool that are named one by one. */
#define MAX_NAMED 3

/* How one pool divides its slots. */
struct division {
    const struct pool *pool;
    size_t tier;
    struct pool_demand demand;  /* Of servers of 'tier'. */
    double *asked;              /* One for each server, from 0 to 1. */
    uint16_t *quotas;           /* Likewise, in slots. */
    uint64_t *totals;           /* Of the shares in each set. */
};

static void
division_init(struct division *d, const struct pool *pool, size_t tier)
{
    size_t n = pool->n_servers;

    *d = (struct division) {
        .pool = pool,
        .tier = tier,
        .asked = lb_xcalloc(n, sizeof *d->asked),
        .quotas = lb_xcalloc(n, sizeof *d->quotas),
        .totals = lb_xcalloc(pool->n_sets + 1, sizeof *d->totals),
    };
    pool_demand_init_tier(pool, tier, &d->demand);
    for (size_t i = 0; i < n; i++) {
        const struct slot_server *server = &d->demand.servers[i];

        d->totals[server->set] += server->share;
    }
    slots_fractions(&d->demand.slots, d->asked);
    slots_apportion(&d->demand.slots, NULL, pool->n_slots, d->quotas);
}

static void
division_uninit(struct division *d)
{
    pool_demand_uninit(&d->demand);
    free(d->asked);
    free(d->quotas);
    free(d->totals);
}

static void
warn_too_many(const struct division *d, struct diags *diags)
{
    const struct pool *pool = d->pool;
    size_t n_sharing = d->demand.n_sharing;
    size_t n_without = n_sharing - pool->n_slots;

    diag_warning(diags, &pool->loc, "pool \"%s\": %zu servers for %"PRIu16
                 " slots: %zu of them get%s none", pool->name, n_sharing,
                 pool->n_slots, n_without, n_without == 1 ? "s" : "");
}

/* Whether server number 'i' gets a share that is far from what it asks for. */
static bool
is_off(const struct division *d, size_t i)
{
    double asked = d->asked[i];
    double achieved = (double) d->quotas[i] / d->pool->n_slots;

    return (achieved < asked * (1 - TOLERANCE)
            || achieved > asked * (1 + TOLERANCE));
}

static void
warn_off(const struct division *d, size_t i, struct diags *diags)
{
    const struct pool *pool = d->pool;
    const struct server *server = &pool->servers[i];
    const struct slot_server *asks = &d->demand.servers[i];

    diag_warning(diags, &server->loc, "pool \"%s\": server \"%s\": %s %"PRIu32
                 " of %"PRIu64"%s asks for %.2f %%, gets %.2f %% (%"PRIu16
                 " of %"PRIu16" slots)", pool->name, server->name,
                 pool->policy->ignores_weights ? "share" : "weight",
                 asks->share, d->totals[asks->set],
                 asks->set ? " in its set" : "", 100.0 * d->asked[i],
                 100.0 * d->quotas[i] / pool->n_slots, d->quotas[i],
                 pool->n_slots);
}

static void
check_rounding(const struct division *d, struct diags *diags)
{
    const struct server *servers = d->pool->servers;
    size_t unnamed = 0;
    size_t n_off = 0;

    for (size_t i = 0; i < d->pool->n_servers; i++) {
        if (!is_off(d, i)) {
            continue;
        }
        if (n_off < MAX_NAMED) {
            warn_off(d, i, diags);
        } else if (n_off == MAX_NAMED) {
            unnamed = i;
        }
        n_off++;
    }
    if (n_off > MAX_NAMED) {
        n_off -= MAX_NAMED;
        diag_warning(diags, &servers[unnamed].loc, "pool \"%s\": %zu more "
                     "server%s more than %.0f %% off what %s for",
                     d->pool->name, n_off, n_off == 1 ? " is" : "s are",
                     100 * TOLERANCE, n_off == 1 ? "it asks" : "they ask");
    }
}

/* Warns of weights that differ under a policy that does not look at them. */
static void
check_ignored_weights(const struct pool *pool, struct diags *diags)
{
    uint32_t first = 0;

    for (size_t i = 0; i < pool->n_servers; i++) {
        uint32_t weight = server_effective_weight(&pool->servers[i]);

        if (first && weight && weight != first) {
            diag_warning(diags, &pool->loc, "pool \"%s\": policy \"%s\" "
                         "ignores weights, except for 0", pool->name,
                         pool->policy->name);
            return;
        }
        first = first ? first : weight;
    }
}

/* Likewise, where elements of the list of servers take each other's place. */
static void
check_ignored_order(const struct pool *pool, struct diags *diags)
{
    uint32_t first = 0;
    bool differ = false;

    for (size_t i = 0; i < pool->n_servers; i++) {
        const struct server *server = &pool->servers[i];
        uint32_t weight = (server->set ? 0 : server_effective_weight(server));

        differ |= first && weight && weight != first;
        first = first ? first : weight;
    }
    for (size_t i = 0; i < pool->n_sets; i++) {
        const struct server_set *set = &pool->sets[i];
        uint32_t weight = set->parent ? 0 : set->weight;

        differ |= first && weight && weight != first;
        first = first ? first : weight;
    }
    if (differ) {
        diag_warning(diags, &pool->loc, "pool \"%s\": policy \"%s\" goes by "
                     "the order of the file and ignores weights, except for 0 "
                     "and within a set", pool->name, pool->policy->name);
    }
}

/* Warns of what nobody expects who talks to servers directly. */
static void
check_taken_ports(const struct pool *pool, struct diags *diags)
{
    if (pool->connections == CONNECTIONS_STATELESS
        && pool->guard == GUARD_UNSAID) {
        diag_warning(diags, &pool->loc, "pool \"%s\": whatever leaves its "
                     "servers' ports is rewritten to come from the vip, so "
                     "they cannot be used directly; \"guard: true\" spares "
                     "those who do not use the vip, \"guard: false\" accepts "
                     "it", pool->name);
    }
}

static void
check_tier(const struct pool *pool, size_t tier, struct diags *diags)
{
    struct division d;

    division_init(&d, pool, tier);
    if (d.demand.n_sharing > pool->n_slots) {
        warn_too_many(&d, diags);
    } else {
        check_rounding(&d, diags);
    }
    division_uninit(&d);
}

void
pool_check_shares(const struct pool *pool, struct diags *diags)
{
    if (!tier_n_taking(pool, tier_first(pool), NULL)) {
        diag_warning(diags, &pool->loc, "pool \"%s\" takes no connections: "
                     "no server is ready and has a weight", pool->name);
    }
    for (size_t tier = 0; tier < pool->n_tiers; tier++) {
        if (tier_n_taking(pool, tier, NULL) > 1) {
            check_tier(pool, tier, diags);
        }
    }
    if (pool->policy->ignores_weights) {
        check_ignored_weights(pool, diags);
    } else if (pool->policy->in_order) {
        check_ignored_order(pool, diags);
    }
    check_taken_ports(pool, diags);
}
