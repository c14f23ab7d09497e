/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LB_PORT_SET_H
#define LB_PORT_SET_H 1

/* Sets of transport ports
 * =======================
 *
 * Which ports a pool is for: some, as ranges, or every port of its protocol.
 * A set is a plain value: it owns nothing and may be copied.
 *
 * Pure. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PORT_SET_MAX 16         /* Ranges in a set. */

/* Both ends belong to it. */
struct port_range {
    uint16_t first, last;
};

/* Ranges in order, with at least one port between two; none for every port.
 * So zeros are the set of every port, and equal sets are equal bytes in the
 * elements that count. */
struct port_set {
    size_t n;
    struct port_range ranges[PORT_SET_MAX];
};

enum port_set_result {
    PORT_SET_ADDED,
    PORT_SET_TWICE,             /* The set has some of it already. */
    PORT_SET_FULL
};

/* Adds a range to a set of some ports, or makes a set of every port one of
 * this range alone.  Changes nothing unless it returns PORT_SET_ADDED. */
enum port_set_result port_set_add(struct port_set *, struct port_range);

bool port_set_is_every(const struct port_set *);
bool port_set_has(const struct port_set *, uint16_t port);
bool port_set_equal(const struct port_set *, const struct port_set *);

/* Whether some port is in both. */
bool port_set_overlap(const struct port_set *, const struct port_set *);

/* The port of a set of just one, else 0. */
uint16_t port_set_single(const struct port_set *);

/* "80", "80,443,8000-8010" or "*" for every port. */
#define PORT_SET_STRLEN (PORT_SET_MAX * 12 + 1)
const char *port_set_format(const struct port_set *,
                            char buf[PORT_SET_STRLEN]);

/* "80" or "8000-8010". */
#define PORT_RANGE_STRLEN 12
const char *port_range_format(const struct port_range *,
                              char buf[PORT_RANGE_STRLEN]);

/* Reads "80" or "8000-8010".  False if 's' is none. */
bool port_range_from_string(const char *s, struct port_range *);

/* A match: the ports that are 'port' in the bits that are 1 in 'mask'. */
struct port_mask {
    uint16_t port, mask;
};

/* The fewest matches that together mean the set and no port of which means the
 * same port as another: one of zeros for every port.  Returns how many there
 * are. */
#define PORT_SET_MAX_MASKS (PORT_SET_MAX * 30)
size_t port_set_masks(const struct port_set *,
                      struct port_mask masks[PORT_SET_MAX_MASKS]);

#endif /* lib/port-set.h */
