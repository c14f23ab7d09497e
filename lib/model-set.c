/* SPDX-License-Identifier: Apache-2.0 */

/* Reading the list of servers, which may hold sets of servers. */

#include "lib/model-internal.h"

/* What is being read of a pool, from the list of its servers. */
struct list_reader {
    struct pool *pool;
    size_t set;                 /* Number of the set whose list it is. */
    bool backup;                /* That set, or one around it, is a backup. */
    int level;                  /* Sets around it. */
};

static bool
is_set(const struct node *node)
{
    return node->type == NODE_MAPPING && node_get(node, "set");
}

/* Adds up the servers and sets below 'list'. */
static void
count_list(const struct node *list, int level, size_t *n_servers,
           size_t *n_sets)
{
    if (!list || list->type != NODE_SEQUENCE) {
        return;
    }
    for (size_t i = 0; i < list->n_items; i++) {
        if (!is_set(list->items[i])) {
            ++*n_servers;
        } else if (level < MODEL_MAX_SET_LEVELS) {
            ++*n_sets;
            count_list(node_get(list->items[i], "servers"), level + 1,
                       n_servers, n_sets);
        }
    }
}

static void read_list(const struct reader *, const struct node *,
                      const struct list_reader *);

/* One set. */
struct set_reader {
    struct server_set *set;
    struct list_reader list;
};

static bool
read_set_name(const struct reader *r, const struct node *node, void *reader_)
{
    struct set_reader *reader = reader_;

    return value_name(r, node, &reader->set->name);
}

static bool
read_set_weight(const struct reader *r, const struct node *node, void *reader_)
{
    struct set_reader *reader = reader_;

    return value_u16(r, node, 0, MODEL_MAX_WEIGHT, &reader->set->weight);
}

static bool
read_set_backup(const struct reader *r, const struct node *node, void *reader_)
{
    struct set_reader *reader = reader_;

    return value_flag(r, node, &reader->list.backup);
}

static bool
read_set_servers(const struct reader *r, const struct node *node,
                 void *reader_)
{
    struct set_reader *reader = reader_;

    if (!value_check_type(r, node, NODE_SEQUENCE, "a list of servers")) {
        return false;
    } else if (!node->n_items) {
        reader_error(r, &node->loc, "servers must have at least one element");
        return false;
    }
    read_list(r, node, &reader->list);
    return true;
}

static const struct field set_fields[] = {
    { "set", read_set_name, NULL },
    { "weight", read_set_weight, NULL },
    { "backup", read_set_backup, NULL },
    { "servers", read_set_servers, "servers is missing" },
    { NULL, NULL, NULL }
};

static void
read_set(const struct reader *parent, const struct node *node,
         const struct list_reader *around)
{
    struct pool *pool = around->pool;
    const struct node *name = node_get(node, "set");
    struct set_reader reader;
    struct reader r = { .diags = parent->diags };
    const char *known[MAX_KEYS] = { NULL };
    char owner[OWNER_SIZE];

    if (around->level == MODEL_MAX_SET_LEVELS) {
        reader_error(parent, &node->loc, "sets may be in sets, up to %d "
                     "levels of them", MODEL_MAX_SET_LEVELS);
        return;
    }
    reader.set = &pool->sets[pool->n_sets++];
    *reader.set = (struct server_set) {
        .loc = node->loc, .node = node, .weight = 1, .parent = around->set,
    };
    reader.list = (struct list_reader) {
        .pool = pool, .set = pool->n_sets, .level = around->level + 1,
        .backup = around->backup,
    };
    r.owner = owner_format("set", name->type == NODE_SCALAR ? name->scalar
                                                            : NULL, owner);
    fields_names(set_fields, known, 0);
    fields_check_known(&r, node, known, NULL);
    fields_read(&r, node, set_fields, &reader);
}

static void
read_list(const struct reader *r, const struct node *list,
          const struct list_reader *reader)
{
    struct pool *pool = reader->pool;

    for (size_t i = 0; i < list->n_items; i++) {
        const struct node *node = list->items[i];

        if (is_set(node)) {
            read_set(r, node, reader);
        } else {
            struct server *server = &pool->servers[pool->n_servers++];

            server_read(r, node, server);
            server->set = reader->set;
            server->backup |= reader->backup;
        }
    }
}

bool
servers_read(const struct reader *r, const struct node *node,
             struct pool *pool)
{
    const struct list_reader reader = { .pool = pool };
    size_t n_servers = 0;
    size_t n_sets = 0;

    if (!value_check_type(r, node, NODE_SEQUENCE, "a list of servers")) {
        return false;
    }
    count_list(node, 0, &n_servers, &n_sets);
    if ((!n_servers && !n_sets) || n_servers > MODEL_MAX_SERVERS
        || n_sets > MODEL_MAX_SERVERS) {
        reader_error(r, &node->loc, "servers must have 1 to %d elements, "
                     "not %zu", MODEL_MAX_SERVERS,
                     n_sets > n_servers ? n_sets : n_servers);
        return false;
    }
    pool->servers = lb_xcalloc(n_servers, sizeof *pool->servers);
    pool->sets = lb_xcalloc(n_sets, sizeof *pool->sets);
    read_list(r, node, &reader);
    return true;
}
