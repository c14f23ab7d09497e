/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LB_DIFF_H
#define LB_DIFF_H 1

/* From what is installed to what is desired
 * =========================================
 *
 * Pure, and the only place that decides what is sent: "diff" prints these
 * changes and "apply" sends them. */

#include <stddef.h>

#include <openvswitch/ofpbuf.h>

#include "lib/ofstate.h"

/* One flow or group that changes: both NULL or both not, apart from the old
 * (nothing there yet) or the new (to be deleted) one. */
struct change {
    const struct of_flow *old_flow;
    const struct of_flow *new_flow;
    const struct of_group *old_group;
    const struct of_group *new_group;
};

struct changes {
    struct change *changes;
    size_t n;
    size_t allocated;
};

/* Fills in '*changes' with what turns 'installed' into 'desired', in an order
 * that never leaves a flow without its group: groups to add or modify, flows
 * to add or modify, flows to delete, groups to delete.  Within each, in the
 * order of ofstate_sorted_*(), apart from groups to delete, which come in the
 * reverse: those that refer to others go before them.  Borrows from both
 * states. */
void diff_compute(const struct ofstate *desired,
                  const struct ofstate *installed, struct changes *changes);

/* Fills in '*left' with what is left of 'changes' where 'installed' has what
 * became of the flows and groups that they are about.  Flows of residents
 * (lib/resident.h), which expire, do not count.  Borrows likewise. */
void changes_left(const struct changes *changes,
                  const struct ofstate *installed, struct changes *left);

/* Appends a change. */
void changes_add(struct changes *, const struct change *);
void changes_uninit(struct changes *);

/* The message that makes the change.  The caller frees it. */
struct ofpbuf *change_message(const struct change *);

/* Where the file asks for it; a place without a file for a deletion. */
const struct source_loc *change_loc(const struct change *);

#endif /* lib/diff.h */
