/* SPDX-License-Identifier: Apache-2.0 */

#include "lib/port-set.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Index of the first range that ends at 'port' or above. */
static size_t
find_range(const struct port_set *set, uint16_t port)
{
    size_t i = 0;

    while (i < set->n && set->ranges[i].last < port) {
        i++;
    }
    return i;
}

/* Puts ranges together that have no port between them. */
static void
merge(struct port_set *set)
{
    size_t n = 0;

    for (size_t i = 0; i < set->n; i++) {
        if (n && set->ranges[n - 1].last + 1 == set->ranges[i].first) {
            set->ranges[n - 1].last = set->ranges[i].last;
        } else {
            set->ranges[n++] = set->ranges[i];
        }
    }
    set->n = n;
}

enum port_set_result
port_set_add(struct port_set *set, struct port_range range)
{
    size_t i = find_range(set, range.first);

    if (i < set->n && set->ranges[i].first <= range.last) {
        return PORT_SET_TWICE;
    } else if (set->n == PORT_SET_MAX) {
        return PORT_SET_FULL;
    }
    memmove(&set->ranges[i + 1], &set->ranges[i],
            (set->n - i) * sizeof set->ranges[i]);
    set->ranges[i] = range;
    set->n++;
    merge(set);
    return PORT_SET_ADDED;
}

bool
port_set_is_every(const struct port_set *set)
{
    return !set->n;
}

bool
port_set_has(const struct port_set *set, uint16_t port)
{
    size_t i = find_range(set, port);

    return !set->n || (i < set->n && set->ranges[i].first <= port);
}

bool
port_set_equal(const struct port_set *a, const struct port_set *b)
{
    return (a->n == b->n
            && !memcmp(a->ranges, b->ranges, a->n * sizeof *a->ranges));
}

bool
port_set_overlap(const struct port_set *a, const struct port_set *b)
{
    for (size_t i = 0; i < a->n && b->n; i++) {
        size_t j = find_range(b, a->ranges[i].first);

        if (j < b->n && b->ranges[j].first <= a->ranges[i].last) {
            return true;
        }
    }
    return !a->n || !b->n;
}

uint16_t
port_set_single(const struct port_set *set)
{
    return (set->n == 1 && set->ranges[0].first == set->ranges[0].last
            ? set->ranges[0].first : 0);
}

const char *
port_range_format(const struct port_range *range, char buf[PORT_RANGE_STRLEN])
{
    if (range->first == range->last) {
        snprintf(buf, PORT_RANGE_STRLEN, "%u", range->first);
    } else {
        snprintf(buf, PORT_RANGE_STRLEN, "%u-%u", range->first, range->last);
    }
    return buf;
}

const char *
port_set_format(const struct port_set *set, char buf[PORT_SET_STRLEN])
{
    char text[PORT_RANGE_STRLEN];
    int n = 0;

    if (!set->n) {
        return strcpy(buf, "*");
    }
    for (size_t i = 0; i < set->n; i++) {
        n += snprintf(buf + n, PORT_SET_STRLEN - n, "%s%s", i ? "," : "",
                      port_range_format(&set->ranges[i], text));
    }
    return buf;
}

/* Reads a port from '*s', up to the character behind its digits. */
static bool
parse_port(const char **s, uint16_t *port)
{
    size_t n = strspn(*s, "0123456789");
    unsigned long number = strtoul(*s, NULL, 10);

    if (!n || n > 5 || (*s)[0] == '0' || number > UINT16_MAX) {
        return false;
    }
    *port = number;
    *s += n;
    return true;
}

bool
port_range_from_string(const char *s, struct port_range *range)
{
    if (!parse_port(&s, &range->first)) {
        return false;
    }
    range->last = range->first;
    if (*s == '-') {
        s++;
        if (!parse_port(&s, &range->last)) {
            return false;
        }
    }
    return !*s && range->first <= range->last;
}

/* Takes the largest aligned block off the front of what is left of a range,
 * again and again. */
static size_t
range_masks(const struct port_range *range, struct port_mask *masks)
{
    uint32_t port = range->first;
    size_t n = 0;

    while (port <= range->last) {
        uint32_t size = port ? port & -port : 1 << 16;

        while (port + size - 1 > range->last) {
            size /= 2;
        }
        masks[n].port = port;
        masks[n++].mask = UINT16_MAX & -size;
        port += size;
    }
    return n;
}

size_t
port_set_masks(const struct port_set *set,
               struct port_mask masks[PORT_SET_MAX_MASKS])
{
    size_t n = 0;

    if (!set->n) {
        masks[0] = (struct port_mask) { 0, 0 };
        return 1;
    }
    for (size_t i = 0; i < set->n; i++) {
        n += range_masks(&set->ranges[i], &masks[n]);
    }
    return n;
}
