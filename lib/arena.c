/* SPDX-License-Identifier: Apache-2.0 */

#include "lib/arena.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK_SIZE 65536
#define ALIGNMENT sizeof(void *)

/* Followed by the memory that it holds. */
struct arena_chunk {
    struct arena_chunk *next;
    void *data[];
};

void *
arena_alloc(struct arena *arena, size_t size)
{
    void *p;

    size = (size + ALIGNMENT - 1) & ~(ALIGNMENT - 1);
    if (!arena->chunks || size > arena->size - arena->used) {
        size_t chunk_size = size > CHUNK_SIZE ? size : CHUNK_SIZE;
        struct arena_chunk *chunk = lb_xmalloc(sizeof *chunk + chunk_size);

        chunk->next = arena->chunks;
        arena->chunks = chunk;
        arena->size = chunk_size;
        arena->used = 0;
    }
    p = (char *) arena->chunks->data + arena->used;
    arena->used += size;
    return p;
}

char *
arena_memdup0(struct arena *arena, const char *s, size_t length)
{
    char *copy = arena_alloc(arena, length + 1);

    memcpy(copy, s, length);
    copy[length] = '\0';
    return copy;
}

char *
arena_printf(struct arena *arena, const char *format, ...)
{
    va_list args, args2;
    int length;
    char *s;

    va_start(args, format);
    va_copy(args2, args);
    length = vsnprintf(NULL, 0, format, args);
    va_end(args);

    s = arena_alloc(arena, length + 1);
    vsnprintf(s, length + 1, format, args2);
    va_end(args2);
    return s;
}

void
arena_uninit(struct arena *arena)
{
    while (arena->chunks) {
        struct arena_chunk *chunk = arena->chunks;

        arena->chunks = chunk->next;
        free(chunk);
    }
    arena->used = arena->size = 0;
}
