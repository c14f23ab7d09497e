/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "lib/summary.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/demand.h"
#include "lib/found.h"
#include "lib/health.h"
#include "lib/leaving.h"
#include "lib/override.h"
#include "lib/path.h"
#include "lib/refreshed.h"

static void
format_vip(const void *pool_, char *buf, size_t size)
{
    const struct pool *pool = pool_;
    int n = 0;

    for (size_t i = 0; i < pool->vips.n && n >= 0 && (size_t) n < size; i++) {
        char claim[CLAIM_STRLEN];

        n += snprintf(buf + n, size - n, "%s%s", i ? ", " : "",
                      claim_format(&pool->vips.ip[i], &pool->ports,
                                   pool->protocol, claim));
    }
}

static void
format_vip_mac(const void *pool_, char *buf, size_t size)
{
    const struct pool *pool = pool_;
    char mac[MAC_STRLEN];

    snprintf(buf, size, "%s", mac_format(&pool->vip_mac, mac));
}

static void
format_policy(const void *pool_, char *buf, size_t size)
{
    const struct pool *pool = pool_;
    const struct policy *policy = pool->policy;
    int n = snprintf(buf, size, "%s", policy->name);

    for (size_t i = 0; i < policy->n_params && n > 0 && (size_t) n < size;
         i++) {
        if (pool_has_param(pool, i)) {
            char value[PARAM_STRLEN];

            n += snprintf(buf + n, size - n, " %s %s", policy->params[i].name,
                          pool_format_param(pool, i, value));
        }
    }
}

static void
format_connections(const void *pool_, char *buf, size_t size)
{
    const struct pool *pool = pool_;

    snprintf(buf, size, "%s", connections_name(pool->connections));
}

static void
format_slots(const void *pool_, char *buf, size_t size)
{
    const struct pool *pool = pool_;

    snprintf(buf, size, "%"PRIu16, pool->n_slots);
}

static void
format_affinity(const void *pool_, char *buf, size_t size)
{
    const struct pool *pool = pool_;

    if (pool->affinity.by == AFFINITY_NONE) {
        snprintf(buf, size, "none");
    } else {
        snprintf(buf, size, "client %"PRIu16" s limit %"PRIu16,
                 pool->affinity.timeout, pool->affinity.limit);
    }
}

static void
format_on_removal(const void *pool_, char *buf, size_t size)
{
    const struct pool *pool = pool_;

    snprintf(buf, size, "%s", (pool->connections == CONNECTIONS_TRACKED
                               ? on_removal_name(pool->on_removal) : "none"));
}

static void
format_weights(const void *pool_, char *buf, size_t size)
{
    const struct pool *pool = pool_;

    snprintf(buf, size, "%s", (pool->weights.policy
                               ? pool->weights.policy->name : "none"));
}

static void
format_path(const void *pool, char *buf, size_t size)
{
    path_format(pool, buf, size);
}

static void
format_on_empty(const void *pool_, char *buf, size_t size)
{
    const struct pool *pool = pool_;

    snprintf(buf, size, "%s", on_empty_name(pool->on_empty));
}

static void
format_pool_watch(const void *pool_, char *buf, size_t size)
{
    const struct pool *pool = pool_;

    snprintf(buf, size, "%s", watch_name(pool->watch));
}

const struct property pool_properties[] = {
    { "vip", format_vip },
    { "vip_mac", format_vip_mac },
    { "policy", format_policy },
    { "connections", format_connections },
    { "affinity", format_affinity },
    { "on_removal", format_on_removal },
    { "on_empty", format_on_empty },
    { "watch", format_pool_watch },
    { "slots", format_slots },
    { "weights", format_weights },
    { "path", format_path },
    { NULL, NULL },
};

static void
format_weight(const void *server_, char *buf, size_t size)
{
    const struct server *server = server_;

    snprintf(buf, size, "%"PRIu16, server->weight);
}

static void
format_state(const void *server_, char *buf, size_t size)
{
    const struct server *server = server_;

    snprintf(buf, size, "%s", server_state_name(server->state));
}

static void
format_override(const void *server, char *buf, size_t size)
{
    char text[OVERRIDE_STRLEN];

    override_format(server, -1, text);
    snprintf(buf, size, "%s", *text ? text : "none");
}

static void
format_address(const void *server_, char *buf, size_t size)
{
    const struct server *server = server_;
    int n = 0;

    for (size_t i = 0; i < server->ips.n && n >= 0 && (size_t) n < size;
         i++) {
        char endpoint[ENDPOINT_STRLEN];

        n += snprintf(buf + n, size - n, "%s%s", i ? ", " : "",
                      endpoint_format(&server->ips.ip[i], server->port,
                                      endpoint));
    }
}

static void
format_mac(const void *server_, char *buf, size_t size)
{
    const struct mac *mac = server_mac(server_);
    char text[MAC_STRLEN];

    snprintf(buf, size, "%s", mac ? mac_format(mac, text) : "unknown");
}

static void
format_interface(const void *server_, char *buf, size_t size)
{
    const char *interface = server_interface(server_);

    snprintf(buf, size, "%s", interface ? interface : "unknown");
}

static void
format_found(const void *server, char *buf, size_t size)
{
    snprintf(buf, size, "%s", found_name(server));
}

/* Without the error, which may be another one each time. */
static void
format_health(const void *server_, char *buf, size_t size)
{
    const struct server *server = server_;

    snprintf(buf, size, "%s", health_state_name(server->health.state));
}

static void
format_refreshed(const void *server, char *buf, size_t size)
{
    char text[REFRESHED_STRLEN];

    refreshed_format(server, text);
    snprintf(buf, size, "%s", *text ? text : "none");
}

static void
format_server_path(const void *server, char *buf, size_t size)
{
    path_format_server(server, buf, size);
}

static void
format_watch(const void *server_, char *buf, size_t size)
{
    const struct server *server = server_;

    snprintf(buf, size, "%s", watch_name(server->watch));
}

static void
format_backup(const void *server_, char *buf, size_t size)
{
    const struct server *server = server_;

    snprintf(buf, size, "%s", server->backup ? "true" : "false");
}

const struct property server_properties[] = {
    { "address", format_address },
    { "mac", format_mac },
    { "interface", format_interface },
    { "found", format_found },
    { "state", format_state },
    { "weight", format_weight },
    { "watch", format_watch },
    { "backup", format_backup },
    { "override", format_override },
    { "health", format_health },
    { "refreshed", format_refreshed },
    { "path", format_server_path },
    { NULL, NULL },
};

bool
property_differs(const struct property *property, const void *a,
                 const void *b, char old[PROPERTY_STRLEN],
                 char new[PROPERTY_STRLEN])
{
    property->format(a, old, PROPERTY_STRLEN);
    property->format(b, new, PROPERTY_STRLEN);
    return strcmp(old, new);
}

void
pool_asked_shares(const struct pool *pool, double *shares)
{
    struct pool_demand demand;

    pool_demand_init(pool, &demand);
    slots_fractions(&demand.slots, shares);
    pool_demand_uninit(&demand);
}

size_t
assignment_set_slots(const struct assignment *a, size_t set,
                     const double *shares, double *asked)
{
    size_t n_slots = 0;

    *asked = 0;
    for (size_t i = 0; i < a->pool->n_servers; i++) {
        if (pool_set_is_in(a->pool, a->pool->servers[i].set, set)) {
            *asked += shares[i];
            n_slots += assignment_n_slots(a, i);
        }
    }
    return n_slots;
}

/* Fills in the half of 'servers' that tells of 'a': the old one if 'is_new' is
 * false.  'index[i]' is the element for server i of the pool. */
static void
fill_servers(const struct assignment *a, const size_t *index, bool is_new,
             struct server_summary *servers)
{
    double *shares = lb_xcalloc(a->pool->n_servers, sizeof *shares);
    uint16_t *counts = lb_xcalloc(a->pool->n_servers, sizeof *counts);

    pool_asked_shares(a->pool, shares);
    assignment_count_slots(a, counts);
    for (size_t i = 0; i < a->pool->n_servers; i++) {
        struct server_summary *server = &servers[index[i]];

        server->name = a->pool->servers[i].name;
        if (is_new) {
            server->new = &a->pool->servers[i];
            server->new_slots = counts[i];
            server->new_asked = shares[i];
        } else {
            server->old = &a->pool->servers[i];
            server->old_slots = counts[i];
            server->old_asked = shares[i];
        }
    }
    free(counts);
    free(shares);
}

/* Pairs the servers of both sides by name. */
static void
compute_servers(struct pool_summary *pool)
{
    size_t n_new = pool->new ? pool->new->pool->n_servers : 0;
    size_t n_old = pool->old ? pool->old->pool->n_servers : 0;
    size_t *index = lb_xcalloc(n_new + n_old, sizeof *index);

    pool->servers = lb_xcalloc(n_new + n_old, sizeof *pool->servers);
    pool->n_servers = n_new;
    if (pool->new) {
        for (size_t i = 0; i < n_new; i++) {
            index[i] = i;
        }
        fill_servers(pool->new, index, true, pool->servers);
    }
    if (pool->old) {
        for (size_t i = 0; i < n_old; i++) {
            size_t j = pool->new
                ? pool_find_server(pool->new->pool,
                                   pool->old->pool->servers[i].name)
                : SIZE_MAX;

            index[i] = j != SIZE_MAX ? j : pool->n_servers++;
        }
        fill_servers(pool->old, index, false, pool->servers);
    }
    free(index);
}

/* True if two pools are written alike. */
static bool
pools_alike(const struct pool *a, const struct pool *b)
{
    const struct pool *pools[2] = { a, b };
    char *texts[2];
    bool alike;

    for (int i = 0; i < 2; i++) {
        size_t size;
        FILE *stream = open_memstream(&texts[i], &size);

        if (!stream) {
            abort();
        }
        pool_write(pools[i], stream);
        override_write(pools[i], stream);
        found_write(pools[i], stream);
        refreshed_write(pools[i], stream);
        fclose(stream);
    }
    alike = !strcmp(texts[0], texts[1]);
    free(texts[0]);
    free(texts[1]);
    return alike;
}

/* True if the same servers are leaving in both. */
static bool
leaving_alike(const struct assignment *a, const struct assignment *b)
{
    for (size_t i = 0; i < a->n_leaving; i++) {
        if (!leaving_find(b, a->leaving[i].member)) {
            return false;
        }
    }
    return a->n_leaving == b->n_leaving;
}

static void
compute_pool(struct pool_summary *pool, const struct assignment *old,
             const struct assignment *new)
{
    pool->name = new ? new->pool->name : old->pool->name;
    pool->old = old;
    pool->new = new;
    if (old && new) {
        pool->n_moved = assignment_moved(old, new);
    }
    pool->changed = (!old || !new || pool->n_moved
                     || !pools_alike(old->pool, new->pool)
                     || !leaving_alike(old, new));
    compute_servers(pool);
}

void
summary_compute(const struct assignments *old, const struct assignments *new,
                struct summary *summary)
{
    struct strmap old_index = { NULL, 0, 0 };
    struct strmap new_index = { NULL, 0, 0 };

    assignments_index(old, &old_index);
    assignments_index(new, &new_index);
    summary->pools = lb_xcalloc(old->n_pools + new->n_pools,
                                sizeof *summary->pools);
    summary->n_pools = 0;
    for (size_t i = 0; i < new->n_pools; i++) {
        const struct assignment *a = &new->pools[i];

        compute_pool(&summary->pools[summary->n_pools++],
                     strmap_get(&old_index, a->pool->name), a);
    }
    for (size_t i = 0; i < old->n_pools; i++) {
        const struct assignment *a = &old->pools[i];

        if (!strmap_get(&new_index, a->pool->name)) {
            compute_pool(&summary->pools[summary->n_pools++], a, NULL);
        }
    }
    strmap_uninit(&old_index);
    strmap_uninit(&new_index);
}

void
summary_uninit(struct summary *summary)
{
    for (size_t i = 0; i < summary->n_pools; i++) {
        free(summary->pools[i].servers);
    }
    free(summary->pools);
}
