/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LB_DOCUMENT_H
#define LB_DOCUMENT_H 1

/* YAML text to a tree of nodes that know their place
 * ==================================================
 *
 * The only includer of <yaml.h>.  Reads exactly one YAML 1.1 document.
 * Anchors, aliases and merge keys ("<<") are resolved here: the reader of the
 * tree never meets them.  A node reached through an alias keeps the place
 * where it was written.
 *
 * Bounded: a file over DOCUMENT_MAX_SIZE bytes, a tree deeper than
 * DOCUMENT_MAX_DEPTH or one that aliases blow up past DOCUMENT_MAX_NODES is an
 * error, found before the memory is spent.  There is no "include", no tag that
 * runs code, and the environment is not consulted. */

#include <stdbool.h>
#include <stddef.h>

#include "lib/diag.h"

#define DOCUMENT_MAX_SIZE (8 * 1024 * 1024)
#define DOCUMENT_MAX_DEPTH 32
#define DOCUMENT_MAX_NODES (2 * 1000 * 1000)

enum node_type { NODE_SCALAR, NODE_SEQUENCE, NODE_MAPPING };

/* One node.  Owned by its document, constant once read.  Only the members of
 * its type mean anything. */
struct node {
    enum node_type type;
    bool plain;                 /* A scalar that was written without quotes. */
    struct source_loc loc;
    union {
        /* NODE_SCALAR. */
        char *scalar;           /* Null-terminated, without quotes. */

        /* NODE_SEQUENCE. */
        struct {
            struct node **items;
            size_t n_items;
        };

        /* NODE_MAPPING, in file order, merged keys last. */
        struct {
            struct node_pair *pairs;
            size_t n_pairs;
        };
    };
};

/* One key of a mapping. */
struct node_pair {
    const struct node *key;     /* Always a scalar. */
    const struct node *value;
};

struct document;

/* Reads the file 'file_name', "-" for standard input.  On error queues at
 * least one diag error and returns NULL; but if all that is wrong is with
 * keys, such as one given twice, it returns the rest for further checking. */
struct document *document_read_file(const char *file_name, struct diags *);

/* Reads 'size' bytes of 'text'; 'name' stands for the file in messages. */
struct document *document_read_memory(const char *name, const char *text,
                                      size_t size, struct diags *);

/* Likewise, for text that lbgen wrote itself: faster, if it is as that is
 * written (lib/document-json.h). */
struct document *document_read_record(const char *name, const char *text,
                                      size_t size, struct diags *);
void document_destroy(struct document *);

/* The name given to document_read_*(), owned by the document.  Standard input
 * is called "<stdin>". */
const char *document_name(const struct document *);

/* The top node, never NULL.  (An empty document is an error.) */
const struct node *document_root(const struct document *);

/* The value of 'key' in mapping 'node', or NULL. */
const struct node *node_get(const struct node *node, const char *key);

/* "a mapping", "a list", "text": for messages. */
const char *node_type_name(const struct node *node);

#endif /* lib/document.h */
