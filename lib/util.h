/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LB_UTIL_H
#define LB_UTIL_H 1

/* Allocation and small helpers
 * ============================
 *
 * Everything here carries the prefix "lb_", because libopenvswitch exports
 * every symbol it has and the link is static: "xmalloc" of our own would
 * clash with its own. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LB_UNUSED __attribute__((__unused__))
#define LB_PRINTF(FMT, ARGS) __attribute__((__format__(printf, FMT, ARGS)))
#define LB_ARRAY_SIZE(ARRAY) (sizeof(ARRAY) / sizeof((ARRAY)[0]))

/* These never return NULL: running out of memory ends the process. */
void *lb_xmalloc(size_t size);
void *lb_xcalloc(size_t count, size_t size);
void *lb_xrealloc(void *p, size_t size);
char *lb_xstrdup(const char *s);
char *lb_xmemdup0(const char *s, size_t length);
char *lb_xasprintf(const char *format, ...) LB_PRINTF(1, 2);

/* Makes room for at least one more element in 'array', which holds 'n'
 * elements of 'size' bytes and has room for '*allocated'.  Returns the array,
 * perhaps moved. */
void *lb_grow(void *array, size_t n, size_t *allocated, size_t size);

/* Number of single-character insertions, deletions, substitutions and swaps
 * of neighbours that turn 'a' into 'b' (Damerau-Levenshtein, restricted).  For
 * "did you mean". */
size_t lb_edit_distance(const char *a, const char *b);

/* The entry of the NULL-terminated 'candidates' that 's' most likely meant, or
 * NULL if none is near. */
const char *lb_nearest(const char *s, const char *const candidates[]);

/* Has this process, and its children, have as many descriptors as it may, up
 * to 65536: what one checks may not answer, and all of it at once. */
void lb_raise_fd_limit(void);

/* For people: " since 5m", or nothing if 'now' is negative.  Both are seconds
 * since the epoch. */
#define LB_AGE_STRLEN 32
const char *lb_format_age(int64_t since, int64_t now,
                          char buf[LB_AGE_STRLEN]);

#endif /* lib/util.h */
