/* SPDX-License-Identifier: Apache-2.0 */

#include "lib/model-internal.h"

#include <stdlib.h>
#include <string.h>

#include "lib/target.h"

/* lbgen uses this many tables from 'table_base' on. */
#define N_TABLES 16

/* Tables 254 and 255 are the switch's own. */
#define MAX_TABLE 253

/* Top-level keys that begin so are the user's, to keep anchors in. */
#define FREE_PREFIX "x-"

/* Settings. */

static bool
read_entry_table(const struct reader *r, const struct node *node,
                 void *settings_)
{
    struct settings *settings = settings_;
    long number;

    if (!value_number(r, node, 0, MAX_TABLE, &number)) {
        return false;
    }
    settings->entry_table = number;
    return true;
}

static bool
read_table_base(const struct reader *r, const struct node *node,
                void *settings_)
{
    struct settings *settings = settings_;
    long number;

    if (!value_number(r, node, 1, MAX_TABLE - N_TABLES + 1, &number)) {
        return false;
    }
    settings->table_base = number;
    return true;
}

static bool
read_priority(const struct reader *r, const struct node *node, void *settings_)
{
    struct settings *settings = settings_;

    /* Above that of "fallback: normal". */
    return value_u16(r, node, 2, 65000, &settings->priority);
}

static bool
read_zone(const struct reader *r, const struct node *node, void *settings_)
{
    struct settings *settings = settings_;

    return value_u16(r, node, 1, UINT16_MAX, &settings->zone);
}

static bool
read_fallback(const struct reader *r, const struct node *node, void *settings_)
{
    struct settings *settings = settings_;
    int value;

    if (!value_word(r, node, fallback_words, &value)) {
        return false;
    }
    settings->fallback = value;
    return true;
}

static const struct field settings_fields[] = {
    { "entry_table", read_entry_table, NULL },
    { "table_base", read_table_base, NULL },
    { "priority", read_priority, NULL },
    { "zone", read_zone, NULL },
    { "fallback", read_fallback, NULL },
    { NULL, NULL, NULL }
};

/* The place of the value of 'key' in 'node', or of 'node'. */
static const struct source_loc *
locate(const struct node *node, const char *key)
{
    const struct node *value = node_get(node, key);

    return value ? &value->loc : &node->loc;
}

bool
settings_read(const struct node *node, struct settings *settings,
              struct diags *diags)
{
    size_t n_errors = diags_n_errors(diags);
    struct reader r = { .diags = diags };

    *settings = (struct settings) {
        .entry_table = 0,
        .table_base = 200,
        .priority = 40000,
        .zone = 27746,
        .fallback = FALLBACK_NONE,
    };
    fields_read(&r, node, settings_fields, settings);

    /* Packets only go from a table to a later one. */
    if (settings->entry_table >= settings->table_base) {
        diag_error(diags, locate(node, node_get(node, "table_base")
                                       ? "table_base" : "entry_table"),
                   "table_base must be above entry_table, and %d is not "
                   "above %d", settings->table_base, settings->entry_table);
    }
    return diags_n_errors(diags) == n_errors;
}

/* The file as a whole. */

static bool
read_bridge(const struct reader *r, const struct node *node, void *model_)
{
    struct model *model = model_;
    const char *text;
    bool valid;

    if (!value_text(r, node, &text)) {
        return false;
    }
    valid = target_is_valid(text);
    for (const char *s = text; *s; s++) {
        valid &= *s > ' ' && *s <= '~';
    }
    if (!valid) {
        reader_error(r, &node->loc, "bridge must be " TARGET_FORMS ", not %s",
                     DIAG_QUOTE(text));
        return false;
    }
    model->bridge = lb_xstrdup(text);
    return true;
}

static bool
read_pools(const struct reader *r, const struct node *node, void *model_)
{
    struct model *model = model_;

    if (!value_check_type(r, node, NODE_SEQUENCE, "a list of pools")) {
        return false;
    }
    if (node->n_items > MODEL_MAX_POOLS) {
        reader_error(r, &node->loc, "pools must have at most %d elements, "
                     "not %zu", MODEL_MAX_POOLS, node->n_items);
        return false;
    }
    model->pools = lb_xcalloc(node->n_items, sizeof *model->pools);
    for (size_t i = 0; i < node->n_items; i++) {
        model->pools[i] = pool_read_partly(node->items[i], r->diags);
        model->n_pools++;
    }
    model_index_vips(model);
    model_check(model, node, r->diags);
    return true;
}

static const struct field model_fields[] = {
    { "bridge", read_bridge, NULL },
    { "pools", read_pools, "pools is missing" },
    { NULL, NULL, NULL }
};

/* Reads the whole file as far as it can be read. */
static void
read_root(const struct node *root, struct model *model, struct diags *diags)
{
    const char *known[LB_ARRAY_SIZE(model_fields)
                      + LB_ARRAY_SIZE(settings_fields)] = { NULL };
    struct reader r = { .diags = diags };
    size_t n;

    if (root->type != NODE_MAPPING) {
        diag_error(diags, &root->loc,
                   "the file must be a mapping with the key \"pools\", not %s",
                   node_type_name(root));
        return;
    }
    n = fields_names(model_fields, known, 0);
    fields_names(settings_fields, known, n);
    fields_check_known(&r, root, known, FREE_PREFIX);
    fields_read(&r, root, model_fields, model);
    settings_read(root, &model->settings, diags);
}

struct model *
model_read(const struct document *document, struct diags *diags)
{
    struct model *model = lb_xcalloc(1, sizeof *model);

    model->file_name = document_name(document);
    read_root(document_root(document), model, diags);
    if (diags_n_errors(diags)) {
        model_destroy(model);
        return NULL;
    }
    for (size_t i = 0; i < model->n_pools; i++) {
        pool_check_shares(model->pools[i], diags);
        model_warn_of_fragments(model, model->pools[i], diags);
        pool_warn_of_copies(model->pools[i], diags);
    }
    return model;
}
