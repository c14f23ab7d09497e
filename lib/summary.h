/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LB_SUMMARY_H
#define LB_SUMMARY_H 1

/* What an update means for pools and servers
 * ==========================================
 *
 * Flows and groups are what changes on the switch; this is what changes for
 * the people who run it.  Pure. */

#include <stdbool.h>
#include <stddef.h>

#include "lib/assign.h"

/* A property of a pool or a server that can be shown and compared. */
struct property {
    const char *name;           /* As the key in the file. */
    void (*format)(const void *pool_or_server, char *buf, size_t size);
};

#define PROPERTY_STRLEN 512

extern const struct property pool_properties[];     /* NULL name at the end. */
extern const struct property server_properties[];

/* One server before and after.  'old' is NULL for a new one, 'new' for one
 * that goes. */
struct server_summary {
    const char *name;
    const struct server *old;
    const struct server *new;
    size_t old_slots;
    size_t new_slots;
    double old_asked;           /* Share, 0 to 1, that its weight asks for. */
    double new_asked;
};

/* One pool before and after, likewise. */
struct pool_summary {
    const char *name;
    const struct assignment *old;
    const struct assignment *new;
    bool changed;               /* Anything at all. */
    size_t n_moved;             /* Slots that go to another server. */
    struct server_summary *servers; /* New order, then those that go. */
    size_t n_servers;
};

struct summary {
    struct pool_summary *pools; /* New order, then those that go. */
    size_t n_pools;
};

void summary_compute(const struct assignments *old,
                     const struct assignments *new, struct summary *);
void summary_uninit(struct summary *);

/* Fills in shares[0..n_servers) with the share, 0 to 1, of new connections
 * that each server of 'pool' asks for by its weight. */
void pool_asked_shares(const struct pool *pool, double *shares);

/* What the servers of set number 'set' ask for, by 'shares', and have
 * together.  Returns their slots, or turns; stores the share in '*asked'. */
size_t assignment_set_slots(const struct assignment *, size_t set,
                            const double *shares, double *asked);

/* Whether 'property' differs between two pools or servers.  The texts end up
 * in 'old' and 'new'. */
bool property_differs(const struct property *, const void *a, const void *b,
                      char old[PROPERTY_STRLEN], char new[PROPERTY_STRLEN]);

#endif /* lib/summary.h */
