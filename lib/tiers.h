/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LB_TIERS_H
#define LB_TIERS_H 1

/* Who takes whose place
 * =====================
 *
 * The servers of a pool form tiers: new connections go to the first tier that
 * has a server to take them.  Tiers are counted from 0.
 *
 * Most pools have one.  Backups are a tier of their own, behind the others.
 * With a policy that goes by the order of the file, so is each element of the
 * list of servers.
 *
 * A server takes connections as long as its weight, its state and its sets let
 * it; whether it is alive only the switch knows.
 *
 * A tier may spill: where the policy goes by the order of the file, and a
 * weight policy that spills (policies/weight.h) leaves the servers of the
 * first tier only a part of their weight, the rest of the new connections goes
 * to the tiers behind it.
 *
 * Pure. */

#include "lib/model.h"

/* Fills in the tiers of all servers of 'pool' and their number. */
void tiers_compute(struct pool *);

/* Whether server 'index' takes connections. */
bool server_takes(const struct pool *, size_t index);

/* How many servers of 'tier' take connections.  Stores the index of the first
 * one in '*first', if there is any and 'first' is not NULL. */
size_t tier_n_taking(const struct pool *, size_t tier, size_t *first);

/* The first tier with servers that take connections; 0 if there is none. */
size_t tier_first(const struct pool *);

/* The set at the top of the list of servers that server 'index' is in, by its
 * number, 0 if it is in none. */
size_t tier_top_set(const struct pool *, size_t index);

/* Whether the first tier spills.  Stores in '*shares', for the caller to free,
 * of TIERS_WHOLE new connections those that each tier gets while the first one
 * is alive. */
#define TIERS_WHOLE 60000
bool tiers_spill(const struct pool *, uint16_t **shares);

/* What the user calls 'tier': the set at the top of the pool that it is, or
 * its first server. */
const char *tier_name(const struct pool *, size_t tier);

#endif /* lib/tiers.h */
