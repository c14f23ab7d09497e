/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LB_PART_H
#define LB_PART_H 1

/* One pool of a bridge, read by itself
 * ====================================
 *
 * What an operator does to one pool should not take longer because there are a
 * thousand others.  The switch finds flows by their cookies and groups by
 * their ids, so one pool can be read without the rest:
 *
 *   - the settings, and by the id that its name gives it, what has its id in
 *     the cookie: its record, and the flows that are its own;
 *   - out of these, what the pool needs if it is compiled alone: its groups,
 *     and flows that it shares with other pools, whose cookies have no pool.
 *
 * That compiling it alone gives what it needs among all the others is not
 * taken for granted: where what was read differs in anything from that,
 * because something else changed it, because an older lbgen put it there, or
 * because the other pools do matter, the caller has to read all of the bridge.
 * So what is done by way of a part is what would be done by way of the whole,
 * but that only this pool is looked at. */

#include <stdbool.h>

#include "lib/bridge.h"
#include "lib/diff.h"

enum part_result {
    PART_READ,
    PART_IMPOSSIBLE,            /* Read all; no error is queued. */
    PART_FAILED                 /* An error is. */
};

enum part_use {
    PART_TO_SHOW,
    PART_TO_CHANGE
};

/* Reads what 'pool' needs into '*part', as of one moment, for the caller to
 * destroy.  There is exactly one record in it, and 'installed' is exactly what
 * that asks for.
 *
 * With PART_TO_CHANGE, flows that are shared, which no change of a part
 * touches, are not read but supposed to be there, and 'n_pools' is not
 * known. */
enum part_result part_read(struct session *, const char *pool, enum part_use,
                           struct bridge **part, struct diags *);

/* Whether 'changes' to a part concern nothing that another pool may need as
 * well, or that may be there without having been read. */
bool part_allows(const struct changes *);

/* Reads what has become of the flows and groups that 'changes' are about, and
 * the generation.  Returns NULL after queueing an error. */
struct bridge *part_read_changed(struct session *, const struct changes *,
                                 struct diags *);

#endif /* lib/part.h */
