/* SPDX-License-Identifier: Apache-2.0 */

#include "lib/health.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "lib/check.h"
#include "lib/model-internal.h"

static const struct word state_words[] = {
    { "unknown", HEALTH_UNKNOWN },
    { "starting", HEALTH_STARTING },
    { "up", HEALTH_UP },
    { "down", HEALTH_DOWN },
    { NULL, 0 }
};

const char *
health_state_name(enum health_state state)
{
    return word_name(state_words, state);
}

/* A copy of 'error' that is fit for a record: short, and one line of ASCII. */
static char *
clean_error(const char *error)
{
    char *copy = lb_xmemdup0(error, strnlen(error, HEALTH_MAX_ERROR));

    for (char *s = copy; *s; s++) {
        if (*s < ' ' || *s > '~') {
            *s = '?';
        }
    }
    return copy;
}

void
health_set(struct server *server, enum health_state state, const char *error,
           int64_t now)
{
    struct health *h = &server->health;
    char *copy = error ? clean_error(error) : NULL;

    if (h->state != state || !h->since) {
        h->since = now;
    }
    h->state = state;
    free(h->error);
    h->error = copy;
}

/* Whether 'server' takes part if it is up and those before it are down. */
static bool
is_wanted(const struct server *server)
{
    return (server_effective_state(server) == SERVER_READY
            && server_operator_weight(server));
}

bool
health_panics(const struct pool *pool)
{
    size_t *n_down = lb_xcalloc(pool->n_tiers, sizeof *n_down);
    size_t *n = lb_xcalloc(pool->n_tiers, sizeof *n);
    size_t n_calm = 0;
    size_t n_panicking = 0;

    for (size_t i = 0; pool->panic && i < pool->n_servers; i++) {
        const struct server *server = &pool->servers[i];

        if (is_wanted(server) && server_check(pool, server)) {
            n_down[server->tier] += server->health.state == HEALTH_DOWN;
            n[server->tier]++;
        }
    }
    for (size_t tier = 0; tier < pool->n_tiers; tier++) {
        if (n_down[tier] * 100 > n[tier] * pool->panic) {
            n_panicking++;
        } else {
            n_calm += n[tier] > 0;
        }
    }
    free(n_down);
    free(n);
    return n_panicking && !n_calm;
}

void
health_settle(struct pool *pool)
{
    bool panics = health_panics(pool);

    for (size_t i = 0; i < pool->n_servers; i++) {
        struct server *server = &pool->servers[i];
        struct health *h = &server->health;

        if (!server_check(pool, server)) {
            free(h->error);
            memset(h, 0, sizeof *h);
        }
        h->out = (h->state == HEALTH_STARTING
                  || (h->state == HEALTH_DOWN && !panics));
    }
}

bool
health_exists(const struct pool *pool)
{
    for (size_t i = 0; i < pool->n_servers; i++) {
        if (pool->servers[i].health.state != HEALTH_UNKNOWN) {
            return true;
        }
    }
    return false;
}

static void
write_one(const struct server *server, FILE *stream)
{
    const struct health *h = &server->health;

    fprintf(stream, "\"%s\":{\"state\":\"%s\",\"since\":%"PRId64,
            server->name, health_state_name(h->state), h->since);
    if (h->flaps) {
        fprintf(stream, ",\"flaps\":%"PRIu16, h->flaps);
    }
    if (h->error) {
        fputs(",\"error\":", stream);
        model_write_string(h->error, stream);
    }
    putc('}', stream);
}

void
health_write(const struct pool *pool, FILE *stream)
{
    const char *separator = "";

    putc('{', stream);
    for (size_t i = 0; i < pool->n_servers; i++) {
        if (pool->servers[i].health.state != HEALTH_UNKNOWN) {
            fputs(separator, stream);
            write_one(&pool->servers[i], stream);
            separator = ",";
        }
    }
    putc('}', stream);
}

/* Reads the number that 'key' of 'node' has, 0 if it has none. */
static bool
read_number(const struct node *node, const char *key, int64_t max,
            int64_t *value)
{
    const struct node *number = node_get(node, key);
    char *end;

    *value = 0;
    if (!number) {
        return true;
    } else if (number->type != NODE_SCALAR) {
        return false;
    }
    *value = strtoll(number->scalar, &end, 10);
    return end != number->scalar && !*end && *value >= 0 && *value <= max;
}

bool
health_read_server(const struct node *node, struct health *h)
{
    const struct node *state = node_get(node, "state");
    const struct node *error = node_get(node, "error");
    int64_t flaps;

    if (!state || state->type != NODE_SCALAR
        || (error && error->type != NODE_SCALAR)
        || !read_number(node, "since", INT64_MAX, &h->since)
        || !read_number(node, "flaps", UINT16_MAX, &flaps)) {
        return false;
    }
    h->flaps = flaps;
    h->error = error ? clean_error(error->scalar) : NULL;
    for (const struct word *word = state_words; word->name; word++) {
        if (!strcmp(state->scalar, word->name)) {
            h->state = word->value;
            return true;
        }
    }
    return false;
}

bool
health_read(const struct node *node, struct pool *pool)
{
    if (node && node->type != NODE_MAPPING) {
        return false;
    }
    for (size_t i = 0; node && i < node->n_pairs; i++) {
        const struct node *value = node->pairs[i].value;
        size_t j = pool_find_server(pool, node->pairs[i].key->scalar);

        if (j == SIZE_MAX || value->type != NODE_MAPPING
            || !health_read_server(value, &pool->servers[j].health)) {
            return false;
        }
    }
    health_settle(pool);
    return true;
}

static void
copy_health(struct health *new, const struct health *old)
{
    free(new->error);
    *new = *old;
    new->error = old->error ? lb_xstrdup(old->error) : NULL;
}

void
health_take_over(struct pool *pool, const struct pool *old)
{
    for (size_t i = 0; old && i < old->n_servers; i++) {
        size_t j = pool_find_server(pool, old->servers[i].name);

        if (j != SIZE_MAX) {
            copy_health(&pool->servers[j].health, &old->servers[i].health);
        }
    }
    health_settle(pool);
}

void
health_carry(const struct assignments *installed, struct model *model)
{
    struct strmap index = { NULL, 0, 0 };

    assignments_index(installed, &index);
    for (size_t i = 0; i < model->n_pools; i++) {
        struct pool *pool = model->pools[i];
        const struct assignment *a = strmap_get(&index, pool->name);

        health_take_over(pool, a ? a->pool : NULL);
    }
    strmap_uninit(&index);
}

void
health_adopt(const struct assignments *installed, struct model *model,
             int64_t now)
{
    struct strmap index = { NULL, 0, 0 };

    assignments_index(installed, &index);
    for (size_t i = 0; i < model->n_pools; i++) {
        struct pool *pool = model->pools[i];
        const struct assignment *a = strmap_get(&index, pool->name);

        for (size_t j = 0; j < pool->n_servers; j++) {
            struct server *server = &pool->servers[j];
            size_t k = (a ? pool_find_server(a->pool, server->name)
                        : SIZE_MAX);

            if (server->health.state != HEALTH_UNKNOWN) {
                continue;
            } else if (k != SIZE_MAX) {
                copy_health(&server->health, &a->pool->servers[k].health);
            } else {
                health_set(server, HEALTH_STARTING, NULL, now);
            }
        }
        health_settle(pool);
    }
    strmap_uninit(&index);
}

const char *
health_format(const struct server *server, int64_t now,
              char buf[HEALTH_STRLEN])
{
    const struct health *h = &server->health;
    char age[LB_AGE_STRLEN];

    if (h->state == HEALTH_UNKNOWN) {
        return strcpy(buf, "none");
    }
    snprintf(buf, HEALTH_STRLEN, "%s%s%s%s", health_state_name(h->state),
             lb_format_age(h->since, now, age), h->error ? ": " : "",
             h->error ? h->error : "");
    return buf;
}
