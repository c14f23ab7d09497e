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
#define SLOTS_MAX 256
#define SLOT_NONE UINT16_MAX    /* A slot without a server. */

/* One server of a pool. */
struct slot_server {
    const char *name;           /* Unique in the pool; what hashing goes by. */
    uint32_t share;             /* Relative; 0 for no slot. */
};

/* Fills in quotas[0..n), which add up to 'n_slots' (or to 0 if every share is
 * 0), by largest remainder (Hamilton's method).  A server with a share above 0
 * gets at least one slot as long as there are slots enough: it is taken from
 * the server that is farthest above its exact share.  When there are more such
 * servers than slots, the ones with the largest shares get one each.
 *
 * Equal remainders go first to servers that own more slots than their whole
 * part in 'installed' (owners as in slots_assign(); NULL for none), so that
 * nothing moves for a tie, then by the hash of the name, so that the order in
 * the file does not matter. */
void slots_apportion(const struct slot_server *servers, size_t n,
                     const uint16_t *installed, size_t n_slots,
                     uint16_t *quotas);

/* Fills in slots[0..n_slots) with indexes into 'servers', each server i
 * quotas[i] times, or with SLOT_NONE throughout if all quotas are 0.
 *
 * 'installed' is NULL or has 'n_slots' elements: the index of the server that
 * owns the slot now, or SLOT_NONE where that server is gone.  Exactly the sum
 * of max(0, owned - quota) slots change owner, besides those that had none. */
void slots_assign(const struct slot_server *servers, size_t n,
                  const uint16_t *quotas, const uint16_t *installed,
                  size_t n_slots, uint16_t *slots);

/* How many of the 'n_slots' slots differ. */
size_t slots_moved(const uint16_t *a, const uint16_t *b, size_t n_slots);

#endif /* lib/slots.h */
