/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LB_ARENA_H
#define LB_ARENA_H 1

/* Memory that is freed all at once
 * ================================
 *
 * For the many small things that live as long as one big one, such as the
 * nodes of a document. */

#include <stddef.h>

#include "lib/util.h"

struct arena_chunk;

/* Initialise with "{ NULL, 0, 0 }". */
struct arena {
    struct arena_chunk *chunks; /* Newest first. */
    size_t used;                /* Of the newest. */
    size_t size;
};

/* Returns 'size' bytes, aligned for pointers.  Never NULL. */
void *arena_alloc(struct arena *, size_t size);
char *arena_memdup0(struct arena *, const char *s, size_t length);
char *arena_printf(struct arena *, const char *format, ...) LB_PRINTF(2, 3);

/* Frees everything; the arena may be used again. */
void arena_uninit(struct arena *);

#endif /* lib/arena.h */
