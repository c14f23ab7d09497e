/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LB_STRMAP_H
#define LB_STRMAP_H 1

/* Map from strings to pointers
 * ============================
 *
 * Mostly to find out what was there before, in time that does not grow with
 * the number of keys. */

#include <stddef.h>

/* One key.  NULL marks a free place. */
struct strmap_entry {
    const char *key;            /* Borrowed. */
    const void *value;
};

/* Initialise with "{ NULL, 0, 0 }". */
struct strmap {
    struct strmap_entry *entries;
    size_t n;                   /* Used. */
    size_t size;                /* A power of two, or 0. */
};

/* Adds 'key', which must live as long as the map, unless it is there.  Returns
 * its entry, whose value is NULL if it was not there; the caller may change
 * the value.  The entry is valid until the next call. */
struct strmap_entry *strmap_add(struct strmap *, const char *key);

/* The value of 'key' or NULL. */
const void *strmap_get(const struct strmap *, const char *key);

void strmap_uninit(struct strmap *);

#endif /* lib/strmap.h */
