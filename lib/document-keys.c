/* SPDX-License-Identifier: Apache-2.0 */

#include "lib/document-keys.h"

#include <stdlib.h>
#include <string.h>

#include "lib/strmap.h"

/* A mapping in the making. */
struct pairs {
    struct node_pair *pairs;
    size_t n;
    size_t allocated;
    struct strmap keys;         /* Key to the node that has it. */
    struct diags *diags;
};

/* Adds a pair unless its key is there.  Returns the node that has the key. */
static const struct node *
pairs_add(struct pairs *pairs, const struct node *key,
          const struct node *value)
{
    struct strmap_entry *entry = strmap_add(&pairs->keys, key->scalar);

    if (!entry->value) {
        entry->value = key;
        pairs->pairs = lb_grow(pairs->pairs, pairs->n, &pairs->allocated,
                               sizeof *pairs->pairs);
        pairs->pairs[pairs->n].key = key;
        pairs->pairs[pairs->n].value = value;
        pairs->n++;
    }
    return entry->value;
}

/* Adds a pair that stands in the mapping itself. */
static void
pairs_add_own(struct pairs *pairs, const struct node *key,
              const struct node *value)
{
    const struct node *first = pairs_add(pairs, key, value);

    if (first != key) {
        diag_error(pairs->diags, &key->loc, "key %s is given twice",
                   DIAG_QUOTE(key->scalar));
        diag_note(pairs->diags, &first->loc, "it is first given here");
    }
}

/* Adds those pairs of 'mapping' whose keys are not there. */
static void
pairs_merge(struct pairs *pairs, const struct node *mapping)
{
    if (mapping->type != NODE_MAPPING) {
        diag_error(pairs->diags, &mapping->loc,
                   "\"<<\" takes a mapping or a list of mappings, not %s",
                   node_type_name(mapping));
        return;
    }
    for (size_t i = 0; i < mapping->n_pairs; i++) {
        pairs_add(pairs, mapping->pairs[i].key, mapping->pairs[i].value);
    }
}

static bool
is_merge_key(const struct node *key)
{
    return key->plain && !strcmp(key->scalar, "<<");
}

/* Adds what the mapping merges in, earlier mappings first because those win
 * over later ones. */
static void
pairs_add_merged(struct pairs *pairs, const struct node *value)
{
    if (value->type == NODE_SEQUENCE) {
        for (size_t i = 0; i < value->n_items; i++) {
            pairs_merge(pairs, value->items[i]);
        }
    } else {
        pairs_merge(pairs, value);
    }
}

/* Adds the pairs that stand in the mapping itself.  Returns the value of its
 * merge key or NULL. */
static const struct node *
pairs_add_children(struct pairs *pairs, struct node *const *children, size_t n)
{
    const struct node *merge_key = NULL;
    const struct node *merged = NULL;

    for (size_t i = 0; i < n; i += 2) {
        const struct node *key = children[i];

        if (key->type != NODE_SCALAR) {
            diag_error(pairs->diags, &key->loc, "a key must be text, not %s",
                       node_type_name(key));
        } else if (!is_merge_key(key)) {
            pairs_add_own(pairs, key, children[i + 1]);
        } else if (!merge_key) {
            merge_key = key;
            merged = children[i + 1];
        } else {
            diag_error(pairs->diags, &key->loc, "key \"<<\" is given twice; "
                       "to merge several mappings give it a list");
            diag_note(pairs->diags, &merge_key->loc, "it is first given here");
        }
    }
    return merged;
}

void
document_fill_mapping(struct node *mapping, struct node *const *children,
                      size_t n, struct arena *arena, struct diags *diags)
{
    struct pairs pairs = { .diags = diags };
    const struct node *merged = pairs_add_children(&pairs, children, n);
    size_t size;

    if (merged) {
        pairs_add_merged(&pairs, merged);
    }

    size = pairs.n * sizeof *pairs.pairs;
    mapping->n_pairs = pairs.n;
    mapping->pairs = arena_alloc(arena, size);
    if (size) {
        memcpy(mapping->pairs, pairs.pairs, size);
    }
    free(pairs.pairs);
    strmap_uninit(&pairs.keys);
}
