/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LB_ASSIGN_H
#define LB_ASSIGN_H 1

/* What pools get on a bridge beyond what the file says: ids and slots
 * ==================================================================
 *
 * A pool has an id, which its group and its cookies are made of.  Each of its
 * servers has a member id, which goes into the marks of tracked connections
 * and so must stay the same for as long as any of them lives.  And there is
 * the slot table.
 *
 * On an empty bridge all of that is a function of the file alone.  On a bridge
 * that has some of it already, what is there stays.  An id never passes from
 * one owner to another in a single step: connections of the old one may still
 * carry it.
 *
 * Pure: no OpenFlow, no I/O. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/model.h"
#include "lib/strmap.h"

/* A server that is gone from its pool while its connections go on; see
 * lib/leaving.h. */
struct leaving {
    struct server server;
    uint16_t member;
};

/* One pool.  Owns the arrays, borrows the pool. */
struct assignment {
    const struct pool *pool;
    uint16_t id;                /* Not 0; no other pool has it. */
    uint16_t *members;          /* Per server, likewise. */
    uint16_t *slots;            /* 'pool->n_slots' indexes into the servers, or
                                 * SLOT_NONE: the first tier that takes
                                 * connections. */
    uint16_t *homes;            /* Likewise, of servers that had to let go of
                                 * a slot and get it back: see
                                 * slots_find_homes().  NULL for none. */
    uint16_t **spares;          /* 'pool->n_tiers' tables of later tiers, NULL
                                 * where there is nothing to choose; or NULL if
                                 * there is only one tier. */
    struct leaving *leaving;    /* None are left by assignments_compute(). */
    size_t n_leaving;
};

struct assignments {
    struct assignment *pools;
    size_t n_pools;
};

/* Fills in '*assignments', one element for each pool of 'model' in the same
 * order.  'installed' is what the bridge has, perhaps nothing. */
void assignments_compute(const struct model *model,
                         const struct assignments *installed,
                         struct assignments *assignments);
void assignments_uninit(struct assignments *);

/* The id that a pool called 'name' has, unless another one, on a bridge or
 * before it in a file, happens to have that. */
uint16_t assignment_first_id(const char *name);

/* The assignment of the pool called 'name', or NULL. */
const struct assignment *assignments_find(const struct assignments *,
                                          const char *name);
struct assignment *assignments_find_mutable(struct assignments *,
                                            const char *name);

/* Adds all pools to 'index' by name, for those who look for many.  Its values
 * are struct assignment. */
void assignments_index(const struct assignments *, struct strmap *index);

/* The index of the server that has the member id, or SIZE_MAX. */
size_t assignment_find_member(const struct assignment *, uint16_t member);

/* Returns who owns the slots of 'old', another version of 'pool', as indexes
 * into the servers of 'pool', or NULL if 'old' is NULL or has no table of that
 * size.  The caller frees it. */
uint16_t *assignment_owners(const struct pool *pool,
                            const struct assignment *old);
/* The slots of 'tier', or NULL if it has none: it takes no connections, or has
 * only one server and is not the first one. */
const uint16_t *assignment_table(const struct assignment *, size_t tier);

/* Frees 'a->spares'. */
void assignment_free_spares(struct assignment *a);

/* Number of slots that server 'index' owns, out of how many; if the pool goes
 * by turns, number of turns (lib/turns.h).  And the word for them. */
size_t assignment_n_slots(const struct assignment *, size_t index);
size_t assignment_size(const struct assignment *);
const char *assignment_unit(const struct assignment *);

/* The first of these for all servers at once: fills in counts[0..n_servers).
 */
void assignment_count_slots(const struct assignment *, uint16_t *counts);

/* For a pool that changes from 'old' to 'new', either of which may be NULL:
 * how many slots go to another server (by name), out of 'new->pool->n_slots'.
 * All of them if the number of slots changes, none if the new pool goes by
 * turns: there are none to keep. */
size_t assignment_moved(const struct assignment *old,
                        const struct assignment *new);

#endif /* lib/assign.h */
