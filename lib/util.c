/* SPDX-License-Identifier: Apache-2.0 */

#include "lib/util.h"

#include <stdarg.h>
#include <stdio.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

/* More descriptors than anything here needs. */
#define MAX_FDS 65536

/* The one place where the library prints and exits: there is nothing left to
 * queue a message with. */
static void *
check_allocated(void *p)
{
    if (!p) {
        fputs("lbgen: out of memory\n", stderr);
        exit(EXIT_FAILURE);
    }
    return p;
}

void *
lb_xmalloc(size_t size)
{
    return check_allocated(malloc(size ? size : 1));
}

void *
lb_xcalloc(size_t count, size_t size)
{
    return check_allocated(count && size ? calloc(count, size) : calloc(1, 1));
}

void *
lb_xrealloc(void *p, size_t size)
{
    return check_allocated(realloc(p, size ? size : 1));
}

char *
lb_xstrdup(const char *s)
{
    return lb_xmemdup0(s, strlen(s));
}

char *
lb_xmemdup0(const char *s, size_t length)
{
    char *copy = lb_xmalloc(length + 1);

    memcpy(copy, s, length);
    copy[length] = '\0';
    return copy;
}

char *
lb_xasprintf(const char *format, ...)
{
    va_list args;
    char *s;

    va_start(args, format);
    if (vasprintf(&s, format, args) < 0) {
        s = NULL;
    }
    va_end(args);
    return check_allocated(s);
}

void *
lb_grow(void *array, size_t n, size_t *allocated, size_t size)
{
    if (n < *allocated) {
        return array;
    }
    *allocated = *allocated ? 2 * *allocated : 8;
    return check_allocated(reallocarray(array, *allocated, size));
}

/* Words longer than this are no typing mistakes of ours to guess at, and the
 * distance takes time in proportion to both lengths. */
#define EDIT_MAX_LENGTH 63

static size_t
min3(size_t a, size_t b, size_t c)
{
    size_t min = a < b ? a : b;

    return min < c ? min : c;
}

size_t
lb_edit_distance(const char *a, const char *b)
{
    size_t a_len = strlen(a);
    size_t b_len = strlen(b);
    size_t rows[3][EDIT_MAX_LENGTH + 1];
    size_t *before = rows[0], *above = rows[1], *row = rows[2];

    if (a_len > EDIT_MAX_LENGTH || b_len > EDIT_MAX_LENGTH) {
        return a_len > b_len ? a_len : b_len;
    }

    /* Row i, column j is the distance from the first i characters of 'a' to
     * the first j of 'b'.  Three rows are enough. */
    for (size_t j = 0; j <= b_len; j++) {
        row[j] = j;
    }
    for (size_t i = 1; i <= a_len; i++) {
        size_t *oldest = before;

        before = above;
        above = row;
        row = oldest;
        row[0] = i;
        for (size_t j = 1; j <= b_len; j++) {
            row[j] = min3(above[j] + 1, row[j - 1] + 1,
                          above[j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]
                && before[j - 2] + 1 < row[j]) {
                row[j] = before[j - 2] + 1;
            }
        }
    }
    return row[b_len];
}

const char *
lb_nearest(const char *s, const char *const candidates[])
{
    /* One mistake, or two in a longer word, is a mistake of typing; more make
     * another word. */
    size_t best_distance = strlen(s) < 6 ? 2 : 3;
    const char *best = NULL;

    for (; *candidates; candidates++) {
        size_t distance = lb_edit_distance(s, *candidates);

        if (distance < best_distance && distance < strlen(*candidates)) {
            best_distance = distance;
            best = *candidates;
        }
    }
    return best;
}

void
lb_raise_fd_limit(void)
{
    struct rlimit limit;

    if (!getrlimit(RLIMIT_NOFILE, &limit) && limit.rlim_cur < limit.rlim_max
        && limit.rlim_cur < MAX_FDS) {
        limit.rlim_cur = limit.rlim_max < MAX_FDS ? limit.rlim_max : MAX_FDS;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

const char *
lb_format_age(int64_t since, int64_t now, char buf[LB_AGE_STRLEN])
{
    static const struct {
        int64_t seconds;
        char name;
    } units[] = { { 86400, 'd' }, { 3600, 'h' }, { 60, 'm' }, { 1, 's' } };
    int64_t age = now > since ? now - since : 0;
    size_t i = 0;

    buf[0] = '\0';
    if (now >= 0) {
        while (i < LB_ARRAY_SIZE(units) - 1 && age < units[i].seconds) {
            i++;
        }
        snprintf(buf, LB_AGE_STRLEN, " since %"PRId64"%c",
                 age / units[i].seconds,
                 units[i].name);
    }
    return buf;
}
