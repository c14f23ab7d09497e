/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LB_SLOTS_H
#define LB_SLOTS_H 1

/* Slot tables: shares of servers as equal slots
 * =============================================
 *
 * A pool is a table of 2**k equal slots, each owned by one server.  The switch
 * picks a slot uniformly, so a server's share is its number of slots over
 * 'n_slots'.
 *
 *   - slots_apportion() turns weights into numbers of slots (quotas).
 *   - slots_assign() says which slots.  With no installed table the result is
 *     a function of names and quotas alone, so two bridges with one file
 *     agree.  With one, slots stay where they are unless they must move.
 *
 * Both spread neighbouring slots over servers: when the switch finds a slot's
 * server dead it takes the next live slot upward, and a dead server's load
 * should go to all others, not to the next in line.
 *
 * Pure: no YAML, no OpenFlow, no clock. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SLOTS_MIN 16
#define SLOTS_MAX 4096
#define SLOTS_DEFAULT 256       /* As many as a group can have, and fast. */
#define SLOTS_MANY_SERVERS 64   /* With more, 256 are too coarse. */
#define SLOT_NONE UINT16_MAX    /* A slot without a server. */

/* Servers that share a share.  The set of number 0, which is not given, is the
 * pool as a whole. */
struct slot_set {
    const char *name;           /* Unique in the pool; what hashing goes by. */
    uint32_t share;             /* Relative, 16 bits; 0 for no slot. */
    size_t parent;              /* Number of the set that it is in, lower than
                                 * its own. */
};

/* One server of a pool. */
struct slot_server {
    const char *name;           /* Unique in the pool; what hashing goes by. */
    uint32_t share;             /* Relative to others in the same set; 0 for no
                                 * slot. */
    size_t set;                 /* Number of the set that it is in. */
};

/* Who asks for how much of a table. */
struct slot_demand {
    const struct slot_server *servers;
    size_t n;
    const struct slot_set *sets; /* Number i + 1 is sets[i]. */
    size_t n_sets;
};

/* Fills in quotas[0..demand->n), which add up to 'n_slots' (or to 0 if every
 * share is 0), by largest remainder (Hamilton's method), on each level of
 * sets: every set and every server gets what it asks for, rounded up or down
 * to a whole slot.  A set counts as long as one of its servers has a share.
 *
 * Then a server with a share above 0 gets at least one slot as long as there
 * are slots enough: it is taken from the server that is farthest above its
 * exact share.  When there are more such servers than slots, those that ask
 * for most get one each.
 *
 * Equal remainders go first to those who own more slots than their whole part
 * in 'installed' (owners as in slots_assign(); NULL for none), so that nothing
 * moves for a tie, then by the hash of the name, so that the order in the file
 * does not matter. */
void slots_apportion(const struct slot_demand *, const uint16_t *installed,
                     size_t n_slots, uint16_t *quotas);

/* Likewise, where 'homes', as in slots_assign(), may be of those who get their
 * slots back.  Quotas that 'installed' has already stay, ties as they are;
 * else a tie goes to whose slots they were, so that who gets his back gets all
 * of them. */
void slots_apportion_homes(const struct slot_demand *,
                           const uint16_t *installed, const uint16_t *homes,
                           size_t n_slots, uint16_t *quotas);

/* Fills in fractions[0..demand->n): which part of the table each server asks
 * for, from 0 to 1. */
void slots_fractions(const struct slot_demand *, double *fractions);

/* Servers in an order that does not depend on the file's. */
int slots_compare_names(uint64_t a_hash, const char *a, uint64_t b_hash,
                        const char *b);

/* Fills in slots[0..n_slots) with indexes into 'servers', each server i
 * quotas[i] times, or with SLOT_NONE throughout if all quotas are 0.
 *
 * 'installed' is NULL or has 'n_slots' elements: the index of the server that
 * owns the slot now, or SLOT_NONE where that server is gone.  Exactly the sum
 * of max(0, owned - quota) slots change owner, besides those that had none.
 *
 * 'homes', which may be NULL, likewise has who owned a slot before and had to
 * let go of it: a server that gets slots again gets those first. */
void slots_assign(const struct slot_server *servers, size_t n,
                  const uint16_t *quotas, const uint16_t *installed,
                  const uint16_t *homes, size_t n_slots, uint16_t *slots);

/* Fills in new_homes[0..n_slots) for 'slots', which slots_assign() has made of
 * the rest.  A server whose quota is 0 has let go of its slots: they stay its
 * home until it has them back. */
void slots_find_homes(const uint16_t *quotas, const uint16_t *installed,
                      const uint16_t *homes, const uint16_t *slots,
                      size_t n_slots, uint16_t *new_homes);

/* How many of the 'n_slots' slots differ. */
size_t slots_moved(const uint16_t *a, const uint16_t *b, size_t n_slots);

#endif /* lib/slots.h */
