/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "lib/override.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "lib/model-internal.h"

bool
override_exists(const struct server *server)
{
    return server->override.has_state || server->override.has_weight;
}

void
override_set_state(struct server *server, enum server_state state,
                   int64_t now)
{
    struct override *o = &server->override;

    if (!o->has_state || o->state != state) {
        o->has_state = true;
        o->state = state;
        o->state_since = now;
    }
}

void
override_set_weight(struct server *server, uint16_t weight, bool is_percent,
                    int64_t now)
{
    struct override *o = &server->override;

    if (is_percent && weight == 100) {
        o->has_weight = false;
    } else if (!o->has_weight || o->weight != weight
               || o->is_percent != is_percent) {
        o->has_weight = true;
        o->weight = weight;
        o->is_percent = is_percent;
        o->weight_since = now;
    }
}

void
override_make_ready(struct server *server, int64_t now)
{
    struct override *o = &server->override;

    o->has_weight = false;
    if (server->state == SERVER_READY) {
        o->has_state = false;
    } else {
        override_set_state(server, SERVER_READY, now);
    }
}

const char *
override_parse_weight(const char *s, uint16_t *weight, bool *is_percent)
{
    size_t n_digits = strspn(s, "0123456789");
    unsigned long value;

    if (!n_digits || n_digits > 5 || (*s == '0' && n_digits > 1)
        || (s[n_digits] && strcmp(&s[n_digits], "%"))) {
        return "must be a number from 0 to 65535, or a percentage of the "
               "weight in the file, as in 50%";
    }
    value = strtoul(s, NULL, 10);
    *is_percent = s[n_digits] == '%';
    if (*is_percent && value > OVERRIDE_MAX_PERCENT) {
        return "must be at most 1000%";
    } else if (value > MODEL_MAX_WEIGHT) {
        return "must be at most 65535";
    }
    *weight = value;
    return NULL;
}

static void
write_one(const struct server *server, FILE *stream)
{
    const struct override *o = &server->override;

    fprintf(stream, "\"%s\":{", server->name);
    if (o->has_state) {
        fprintf(stream, "\"state\":\"%s\",\"state_since\":%"PRId64,
                server_state_name(o->state), o->state_since);
    }
    if (o->has_weight) {
        fprintf(stream, "%s\"%s\":%"PRIu16",\"weight_since\":%"PRId64,
                o->has_state ? "," : "",
                o->is_percent ? "percent" : "weight",
                o->weight, o->weight_since);
    }
    putc('}', stream);
}

void
override_write(const struct pool *pool, FILE *stream)
{
    const char *separator = "";

    putc('{', stream);
    for (size_t i = 0; i < pool->n_servers; i++) {
        if (override_exists(&pool->servers[i])) {
            fputs(separator, stream);
            write_one(&pool->servers[i], stream);
            separator = ",";
        }
    }
    putc('}', stream);
}

static bool
read_state(const struct node *node, struct override *o)
{
    const struct node *state = node_get(node, "state");

    if (!state) {
        return true;
    } else if (state->type != NODE_SCALAR) {
        return false;
    }
    for (const struct word *word = server_state_words; word->name; word++) {
        if (!strcmp(state->scalar, word->name)) {
            o->has_state = true;
            o->state = word->value;
            return node_get_number(node, "state_since", INT64_MAX,
                                   &o->state_since);
        }
    }
    return false;
}

static bool
read_weight(const struct node *node, struct override *o)
{
    int64_t value;

    if (!node_get(node, "percent") && !node_get(node, "weight")) {
        return true;
    } else if (node_get_number(node, "percent", OVERRIDE_MAX_PERCENT,
                               &value)) {
        o->is_percent = true;
    } else if (!node_get_number(node, "weight", MODEL_MAX_WEIGHT, &value)) {
        return false;
    }
    o->has_weight = true;
    o->weight = value;
    return node_get_number(node, "weight_since", INT64_MAX, &o->weight_since);
}

bool
override_read(const struct node *node, struct pool *pool)
{
    if (!node) {
        return true;
    } else if (node->type != NODE_MAPPING) {
        return false;
    }
    for (size_t i = 0; i < node->n_pairs; i++) {
        const struct node *value = node->pairs[i].value;
        size_t j = pool_find_server(pool, node->pairs[i].key->scalar);

        if (j == SIZE_MAX || value->type != NODE_MAPPING
            || !read_state(value, &pool->servers[j].override)
            || !read_weight(value, &pool->servers[j].override)) {
            return false;
        }
    }
    return true;
}

const char *
override_format(const struct server *server, int64_t now,
                char buf[OVERRIDE_STRLEN])
{
    const struct override *o = &server->override;
    char age[LB_AGE_STRLEN];
    int n = 0;

    buf[0] = '\0';
    if (o->has_state) {
        n = snprintf(buf, OVERRIDE_STRLEN, "%s%s",
                     server_state_name(o->state),
                     lb_format_age(o->state_since, now, age));
    }
    if (o->has_weight) {
        snprintf(buf + n, OVERRIDE_STRLEN - n, "%sweight %"PRIu16"%s%s",
                 n ? ", " : "", o->weight, o->is_percent ? "%" : "",
                 lb_format_age(o->weight_since, now, age));
    }
    return buf;
}

/* Says that the file is not what counts, if it is not. */
static void
note_disagreement(const struct pool *pool, const struct server *server,
                  int64_t now, struct diags *diags)
{
    char buf[OVERRIDE_STRLEN];

    if (override_exists(server)) {
        diag_note(diags, &server->loc, "pool \"%s\": server \"%s\": the file "
                  "says %s and weight %"PRIu16", an operator's override stays "
                  "in force: %s", pool->name, server->name,
                  server_state_name(server->state), server->weight,
                  override_format(server, now, buf));
    }
}

void
override_carry(const struct assignments *installed, struct model *model,
               int64_t now, struct diags *diags)
{
    struct strmap index = { NULL, 0, 0 };

    assignments_index(installed, &index);
    for (size_t i = 0; i < model->n_pools; i++) {
        struct pool *pool = model->pools[i];
        const struct assignment *a = strmap_get(&index, pool->name);

        for (size_t j = 0; a && j < a->pool->n_servers; j++) {
            const struct server *old = &a->pool->servers[j];
            size_t k = pool_find_server(pool, old->name);

            if (k != SIZE_MAX) {
                pool->servers[k].override = old->override;
                note_disagreement(pool, &pool->servers[k], now, diags);
            }
        }
    }
    strmap_uninit(&index);
}
