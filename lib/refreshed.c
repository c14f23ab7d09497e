/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "lib/refreshed.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/model-internal.h"

struct refreshed *
refreshed_get(struct server *server)
{
    struct refreshed *r = server->refreshed;

    if (!r) {
        r = server->refreshed = lb_xcalloc(1, sizeof *r);
        r->ratio = r->percent = r->start = REFRESHED_WHOLE;
        for (size_t i = 0; i < N_METRICS; i++) {
            r->values[i] = r->counters[i] = NAN;
        }
    }
    return r;
}

struct refreshed *
refreshed_clone(const struct refreshed *r)
{
    struct refreshed *clone = NULL;

    if (r) {
        clone = lb_xmalloc(sizeof *clone);
        *clone = *r;
    }
    return clone;
}

uint32_t
refreshed_factor(const struct server *server)
{
    const struct refreshed *r = server->refreshed;
    uint64_t factor;

    if (!r) {
        return REFRESHED_WHOLE;
    } else if (r->agent == AGENT_DRAIN) {
        return 0;
    }
    factor = (uint64_t) r->ratio * r->percent * r->start;
    factor /= REFRESHED_WHOLE * REFRESHED_WHOLE;
    if (!factor && r->ratio && r->percent && r->start) {
        return 1;
    }
    return factor < REFRESHED_MAX ? (uint32_t) factor : REFRESHED_MAX;
}

bool
pool_is_refreshed(const struct pool *pool)
{
    for (size_t i = 0; i < pool->n_servers; i++) {
        if (refreshed_factor(&pool->servers[i]) != REFRESHED_WHOLE) {
            return true;
        }
    }
    return false;
}

void
refreshed_came_back(const struct pool *pool, struct server *server,
                    int64_t now)
{
    const double *common = pool->weights.common;
    struct refreshed *r;

    if (!pool->weights.policy) {
        return;
    }
    r = refreshed_get(server);
    r->away = false;
    r->since = now;
    r->missed = 0;
    for (size_t i = 0; i < N_METRICS; i++) {
        r->values[i] = r->counters[i] = NAN;
    }
    r->start = lround(REFRESHED_WHOLE
                      * weight_slow_start(0, common[WEIGHT_SLOW_START],
                                          common[WEIGHT_AGGRESSION]));
}

bool
refreshed_exists(const struct pool *pool)
{
    for (size_t i = 0; i < pool->n_servers; i++) {
        if (pool->servers[i].refreshed) {
            return true;
        }
    }
    return false;
}

/* Writes those of the 'values' that are known. */
static void
write_values(const char *key, const double *values, FILE *stream)
{
    const char *separator = "";

    fprintf(stream, ",\"%s\":{", key);
    for (size_t i = 0; i < N_METRICS; i++) {
        if (!isnan(values[i])) {
            fprintf(stream, "%s\"%s\":%.10g", separator, metrics[i].name,
                    values[i]);
            separator = ",";
        }
    }
    putc('}', stream);
}

static void
write_one(const struct server *server, FILE *stream)
{
    const struct refreshed *r = server->refreshed;

    fprintf(stream, "\"%s\":{\"ratio\":%"PRIu16",\"percent\":%"PRIu16
            ",\"start\":%"PRIu16",\"since\":%"PRId64",\"away\":%d,"
            "\"moving\":%d,\"missed\":%"PRIu16",\"agent\":%d", server->name,
            r->ratio, r->percent, r->start, r->since, r->away, r->moving,
            r->missed, (int) r->agent);
    write_values("values", r->values, stream);
    write_values("counters", r->counters, stream);
    putc('}', stream);
}

void
refreshed_write(const struct pool *pool, FILE *stream)
{
    const char *separator = "";

    fprintf(stream, "{\"at\":%"PRId64",\"servers\":{", pool->refreshed_at);
    for (size_t i = 0; i < pool->n_servers; i++) {
        if (pool->servers[i].refreshed) {
            fputs(separator, stream);
            write_one(&pool->servers[i], stream);
            separator = ",";
        }
    }
    fputs("}}", stream);
}

static bool
read_values(const struct node *node, const char *key, double *values)
{
    const struct node *mapping = node_get(node, key);

    if (!mapping || mapping->type != NODE_MAPPING) {
        return false;
    }
    for (size_t i = 0; i < mapping->n_pairs; i++) {
        const struct node *value = mapping->pairs[i].value;
        enum metric m = metric_find(mapping->pairs[i].key->scalar);

        if (value->type != NODE_SCALAR) {
            return false;
        }
        if (m < N_METRICS
            && (!answer_number(value->scalar, &values[m])
                || !isfinite(values[m]))) {
            return false;
        }
    }
    return true;
}

static bool
read_one(const struct node *node, struct server *server)
{
    struct refreshed *r = refreshed_get(server);
    int64_t ratio, percent, start, since, away, moving, missed, agent;

    if (node->type != NODE_MAPPING
        || !node_get_number(node, "ratio", UINT16_MAX, &ratio)
        || !node_get_number(node, "percent", UINT16_MAX, &percent)
        || !node_get_number(node, "start", REFRESHED_WHOLE, &start)
        || !node_get_number(node, "since", INT64_MAX, &since)
        || !node_get_number(node, "away", 1, &away)
        || !node_get_number(node, "moving", 1, &moving)
        || !node_get_number(node, "missed", UINT16_MAX, &missed)
        || !node_get_number(node, "agent", AGENT_DRAIN, &agent)) {
        return false;
    }
    r->ratio = ratio;
    r->percent = percent;
    r->start = start;
    r->since = since;
    r->away = away;
    r->moving = moving;
    r->missed = missed;
    r->agent = agent;
    return (read_values(node, "values", r->values)
            && read_values(node, "counters", r->counters));
}

bool
refreshed_read(const struct node *node, struct pool *pool)
{
    const struct node *servers;

    if (!node) {
        return true;
    } else if (node->type != NODE_MAPPING
               || !node_get_number(node, "at", INT64_MAX,
                                   &pool->refreshed_at)) {
        return false;
    }
    servers = node_get(node, "servers");
    if (!servers || servers->type != NODE_MAPPING) {
        return false;
    }
    for (size_t i = 0; i < servers->n_pairs; i++) {
        size_t j = pool_find_server(pool, servers->pairs[i].key->scalar);

        if (j == SIZE_MAX
            || !read_one(servers->pairs[i].value, &pool->servers[j])) {
            return false;
        }
    }
    return true;
}

/* Takes over the layer of 'old', a pool of the same name. */
static void
carry_pool(const struct pool *old, struct pool *pool)
{
    pool->refreshed_at = old->refreshed_at;
    for (size_t i = 0; i < old->n_servers; i++) {
        const struct server *server = &old->servers[i];
        size_t j = pool_find_server(pool, server->name);

        if (j != SIZE_MAX && server->refreshed) {
            free(pool->servers[j].refreshed);
            pool->servers[j].refreshed = refreshed_clone(server->refreshed);
        }
    }
}

void
refreshed_carry(const struct assignments *installed, struct model *model)
{
    struct strmap index = { NULL, 0, 0 };

    assignments_index(installed, &index);
    for (size_t i = 0; i < model->n_pools; i++) {
        struct pool *pool = model->pools[i];
        const struct assignment *a = strmap_get(&index, pool->name);

        if (a && pool->weights.policy) {
            carry_pool(a->pool, pool);
        }
    }
    strmap_uninit(&index);
}

const char *
refreshed_format(const struct server *server, char buf[REFRESHED_STRLEN])
{
    const struct refreshed *r = server->refreshed;
    uint32_t factor = refreshed_factor(server);

    buf[0] = '\0';
    if (factor != REFRESHED_WHOLE) {
        snprintf(buf, REFRESHED_STRLEN, "%.4g%s",
                 (double) server->weight * factor / REFRESHED_WHOLE,
                 (r->agent == AGENT_DRAIN ? ", its agent says drain"
                  : r->start != REFRESHED_WHOLE ? ", slow start" : ""));
    }
    return buf;
}
