/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LB_FIELDS_H
#define LB_FIELDS_H 1

/* Reading mappings by tables of their keys
 * ========================================
 *
 * The reader of a kind of mapping is a table: for each key, a function that
 * reads the value into a struct.  To add a key is to add a row and, unless one
 * of the value_*() functions below does all, a small function.
 *
 * A function that returns bool returns false if the value is wrong and has
 * queued an error that says so. */

#include <stdbool.h>
#include <stddef.h>

#include "lib/document.h"

/* What is being read: for messages. */
struct reader {
    struct diags *diags;
    const char *owner;          /* Begins messages: "pool \"web\"", or NULL. */
    const char *key;            /* Whose value is being read. */
};

/* One key of a kind of mapping. */
struct field {
    const char *key;

    /* Reads the value into 'object', which is what the table is for. */
    bool (*read)(const struct reader *, const struct node *, void *object);

    const char *missing;        /* Error if it is left out, NULL if it may. */
};

/* One of the words that are allowed as a value. */
struct word {
    const char *name;           /* NULL ends a table. */
    int value;                  /* -1: known, and not supported yet. */
};

/* Reads from the mapping 'node' the values of the keys in 'fields', which a
 * row without key ends.  Leaves other keys alone. */
void fields_read(struct reader *, const struct node *node,
                 const struct field *fields, void *object);

/* Adds the keys in 'fields' to the 'n' 'names'.  Returns their new number. */
size_t fields_names(const struct field *fields, const char **names, size_t n);

/* Queues an error for each key of the mapping 'node' that is not among the
 * 'known', which NULL ends, and does not begin with 'prefix', if not NULL. */
void fields_check_known(const struct reader *, const struct node *node,
                        const char *const known[], const char *prefix);

/* Queues an error about what is being read. */
void reader_error(const struct reader *, const struct source_loc *,
                  const char *format, ...) LB_PRINTF(3, 4);

bool value_number(const struct reader *, const struct node *,
                  long min, long max, long *value);

/* Stores the text as the node has it.  It is not empty. */
bool value_text(const struct reader *, const struct node *,
                const char **text);

/* The same, where it must be one of 'names', which NULL ends, and which are
 * told if there is nothing. */
bool value_text_of(const struct reader *, const struct node *,
                   const char *const names[], const char **text);
bool value_word(const struct reader *, const struct node *,
                const struct word words[], int *value);

/* Returns whether 'node' is what its key needs, one of enum node_type.  'what'
 * says so in messages: "a list of pools". */
bool value_check_type(const struct reader *, const struct node *,
                      enum node_type, const char *what);

/* Queues the error that the value is none of 'names', which NULL ends. */
void value_unknown(const struct reader *, const struct node *,
                   const char *const names[]);

#endif /* lib/fields.h */
