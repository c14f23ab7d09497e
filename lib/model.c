/* SPDX-License-Identifier: Apache-2.0 */

#include "lib/model-internal.h"

#include <stdlib.h>
#include <string.h>

#include "lib/check.h"
#include "lib/refreshed.h"
#include "lib/slots.h"

const struct word protocol_words[] = {
    { "tcp", PROTOCOL_TCP },
    { "udp", PROTOCOL_UDP },
    { "sctp", PROTOCOL_SCTP },
    { "any", PROTOCOL_ANY },
    { NULL, 0 }
};

const struct word flag_words[] = {
    { "false", 0 },
    { "true", 1 },
    { NULL, 0 }
};

const struct word guard_words[] = {
    { "false", GUARD_OFF },
    { "true", GUARD_ON },
    { NULL, 0 }
};

const struct word connections_words[] = {
    { "tracked", CONNECTIONS_TRACKED },
    { "stateless", CONNECTIONS_STATELESS },
    { "direct", CONNECTIONS_DIRECT },
    { NULL, 0 }
};

const struct word server_state_words[] = {
    { "ready", SERVER_READY },
    { "drain", SERVER_DRAIN },
    { "maint", SERVER_MAINT },
    { NULL, 0 }
};

const struct word fallback_words[] = {
    { "none", FALLBACK_NONE },
    { "normal", FALLBACK_NORMAL },
    { NULL, 0 }
};

const struct word on_removal_words[] = {
    { "cut", ON_REMOVAL_CUT },
    { "keep", ON_REMOVAL_KEEP },
    { NULL, 0 }
};

const struct word on_down_words[] = {
    { "cut", ON_DOWN_CUT },
    { "keep", ON_DOWN_KEEP },
    { NULL, 0 }
};

const struct word on_empty_words[] = {
    { "drop", ON_EMPTY_DROP },
    { "pass", ON_EMPTY_PASS },
    { NULL, 0 }
};

const struct word watch_words[] = {
    { "auto", WATCH_AUTO },
    { "none", WATCH_NONE },
    { "link", WATCH_LINK },
    { NULL, 0 }
};

/* A server that says nothing goes by its pool. */
const struct word *const server_watch_words = &watch_words[1];

const char *
word_name(const struct word *words, int value)
{
    while (words->name && words->value != value) {
        words++;
    }
    return words->name;
}

const char *
protocol_name(enum protocol protocol)
{
    return word_name(protocol_words, protocol);
}

const char *
connections_name(enum connections connections)
{
    return word_name(connections_words, connections);
}

const char *
server_state_name(enum server_state state)
{
    return word_name(server_state_words, state);
}

const char *
fallback_name(enum fallback fallback)
{
    return word_name(fallback_words, fallback);
}

const char *
on_removal_name(enum on_removal on_removal)
{
    return word_name(on_removal_words, on_removal);
}

const char *
on_down_name(enum on_down on_down)
{
    return word_name(on_down_words, on_down);
}

const char *
on_empty_name(enum on_empty on_empty)
{
    return word_name(on_empty_words, on_empty);
}

const char *
watch_name(enum link_watch watch)
{
    return word_name(watch_words, watch);
}

const char *
owner_format(const char *what, const char *name, char buf[OWNER_SIZE])
{
    snprintf(buf, OWNER_SIZE, "%s%s%s", what, name ? " " : "",
             name ? DIAG_QUOTE(name) : "");
    return buf;
}

const char *
part_format(const struct reader *parent, const char *part,
            char buf[PART_SIZE])
{
    snprintf(buf, PART_SIZE, "%s%s%s", parent->owner ? parent->owner : "",
             parent->owner ? ": " : "", part);
    return buf;
}

void
server_uninit(struct server *server)
{
    free(server->name);
    free(server->interface);
    free(server->found_interface);
    check_destroy(server->check);
    free(server->health.error);
    free(server->refreshed);
}

void
pool_destroy(struct pool *pool)
{
    if (pool) {
        for (size_t i = 0; i < pool->n_servers; i++) {
            server_uninit(&pool->servers[i]);
        }
        for (size_t i = 0; i < pool->n_sets; i++) {
            free(pool->sets[i].name);
        }
        free(pool->sets);
        path_uninit(&pool->path);
        free(pool->servers);
        check_destroy(pool->check);
        weights_uninit(&pool->weights);
        free(pool->name);
        free(pool);
    }
}

void
model_destroy(struct model *model)
{
    if (model) {
        for (size_t i = 0; i < model->n_pools; i++) {
            pool_destroy(model->pools[i]);
        }
        free(model->pools);
        free(model->vips);
        free(model->bridge);
        free(model);
    }
}

struct pool *
model_find_pool(const struct model *model, const char *name)
{
    for (size_t i = 0; i < model->n_pools; i++) {
        if (!strcmp(model->pools[i]->name, name)) {
            return model->pools[i];
        }
    }
    return NULL;
}

size_t
pool_find_server(const struct pool *pool, const char *name)
{
    for (size_t i = 0; i < pool->n_servers; i++) {
        if (!strcmp(pool->servers[i].name, name)) {
            return i;
        }
    }
    return SIZE_MAX;
}

size_t
pool_find_set(const struct pool *pool, const char *name)
{
    for (size_t i = 0; i < pool->n_sets; i++) {
        if (!strcmp(pool->sets[i].name, name)) {
            return i + 1;
        }
    }
    return 0;
}

bool
pool_set_is_in(const struct pool *pool, size_t set, size_t outer)
{
    while (set > outer) {
        set = pool->sets[set - 1].parent;
    }
    return set == outer;
}

enum server_state
server_effective_state(const struct server *server)
{
    return (server->missing ? SERVER_MAINT
            : server->override.has_state ? server->override.state
            : server->state);
}

uint32_t
server_operator_weight(const struct server *server)
{
    const struct override *o = &server->override;
    uint32_t weight;

    if (!o->has_weight) {
        return server->weight;
    } else if (!o->is_percent) {
        return o->weight;
    }
    weight = ((uint32_t) server->weight * o->weight + 50) / 100;
    if (!weight && server->weight && o->weight) {
        return 1;
    }
    return weight > MODEL_MAX_WEIGHT ? MODEL_MAX_WEIGHT : weight;
}

uint32_t
server_thousandths(const struct server *server)
{
    return (server->override.has_weight
            ? server_operator_weight(server) * REFRESHED_WHOLE
            : server->weight * refreshed_factor(server));
}

uint32_t
server_effective_thousandths(const struct server *server)
{
    return (server_effective_state(server) == SERVER_READY
            && !server->health.out
            ? server_thousandths(server) : 0);
}

uint32_t
server_effective_weight(const struct server *server)
{
    uint32_t weight = server_effective_thousandths(server);

    return weight && weight < 500 ? 1 : (weight + 500) / 1000;
}

enum pool_scope
pool_scope(const struct pool *pool)
{
    return (pool->protocol == PROTOCOL_ANY ? POOL_SCOPE_ALL
            : port_set_is_every(&pool->ports) ? POOL_SCOPE_PROTOCOL
            : POOL_SCOPE_PORTS);
}

struct port_set
server_ports(const struct pool *pool, const struct server *server)
{
    struct port_set ports = pool->ports;

    if (server->port) {
        ports.n = 1;
        ports.ranges[0].first = ports.ranges[0].last = server->port;
    }
    return ports;
}

bool
pool_has_param(const struct pool *pool, size_t index)
{
    int version = pool->policy->params[index].ip_version;

    return (!version || !pool->vips.n
            || ips_find(&pool->vips, version == 4 ? FAMILY_V4 : FAMILY_V6));
}

const char *
pool_format_param(const struct pool *pool, size_t index,
                  char buf[PARAM_STRLEN])
{
    long value = pool->params[index];

    if (pool->policy->params[index].is_flag) {
        return value ? "true" : "false";
    }
    snprintf(buf, PARAM_STRLEN, "%ld", value);
    return buf;
}

enum policy_selection
pool_selection(const struct pool *pool)
{
    struct distribution dist;

    pool->policy->distribute(NULL, 0, pool->params, &dist);
    return dist.selection;
}

bool
pool_goes_by_client(const struct pool *pool)
{
    enum policy_selection selection = pool_selection(pool);

    return (selection == POLICY_BY_CLIENT
            || selection == POLICY_BY_LOW_BITS);
}

bool
pool_has_slot_flows(const struct pool *pool)
{
    enum policy_selection selection = pool_selection(pool);

    return (!pool->policy->in_order
            && (selection == POLICY_BY_LOW_BITS
                || (selection != POLICY_BY_TURN
                    && pool->n_slots > SLOTS_DEFAULT)));
}

int
pool_client_prefix(const struct pool *pool, enum family family)
{
    struct distribution dist;

    if (pool->affinity.by == AFFINITY_CLIENT) {
        return family == FAMILY_V4 ? 32 : 128;
    }
    pool->policy->distribute(NULL, 0, pool->params, &dist);
    return (!pool_goes_by_client(pool) ? 0
            : family == FAMILY_V4 ? dist.client_prefix : dist.client_prefix6);
}

void
pool_distribute(const struct pool *pool, struct distribution *dist)
{
    struct policy_server *servers = lb_xcalloc(pool->n_servers,
                                               sizeof *servers);
    bool is_refreshed = pool_is_refreshed(pool);

    for (size_t i = 0; i < pool->n_servers; i++) {
        servers[i].name = pool->servers[i].name;
        servers[i].weight
            = (is_refreshed ? server_effective_thousandths(&pool->servers[i])
               : server_effective_weight(&pool->servers[i]));
    }
    pool->policy->distribute(servers, pool->n_servers, pool->params, dist);
    free(servers);
}
