/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LB_UPDATE_H
#define LB_UPDATE_H 1

/* One update of a bridge, from reading it to checking that it took
 * ================================================================
 *
 * Everything that changes a bridge goes this way: a file is applied, a pool is
 * deleted, a weight is moved. */

#include <stdbool.h>

#include "lib/bridge.h"
#include "lib/conntrack.h"
#include "lib/diff.h"
#include "lib/removal.h"
#include "lib/resident.h"

/* What is there, what should be, and the difference. */
struct update {
    const struct bridge *bridge;    /* Borrowed. */
    struct assignments assignments; /* Desired. */
    struct ofstate desired;
    struct ofstate residents;   /* Flows to add that are no part of it. */
    struct generation generation;   /* Desired. */
    struct changes changes;
    struct removal removal;
    struct conntrack_result cut;    /* By update_commit(). */
    bool needs_all;             /* See update_prepare(). */
    bool sent;                  /* There was something to change, and it is. */
};

/* Fills in '*update' for 'bridge' to become what 'model' says.  'session' is
 * asked for flows and groups of others that would be in the way.  Returns
 * false after queueing errors; then there is nothing to free.
 *
 * If 'bridge' is a part of one (lib/part.h), 'model' has the one pool, and no
 * server that is new.  Where more than the part matters, returns false with
 * 'update->needs_all' set, and all of the bridge has to be read. */
bool update_prepare(struct session *, const struct bridge *bridge,
                    const struct model *model, struct update *update,
                    struct diags *);

enum update_result {
    UPDATE_DONE,
    UPDATE_OVERTAKEN,           /* Somebody else changed the bridge. */
    UPDATE_FAILED
};

/* Makes the changes in one bundle and reads them back.
 *
 * UPDATE_OVERTAKEN means that another lbgen changed the bridge since it was
 * read: nothing was done, and the update is to be made anew from what is there
 * now.  What others than lbgen undo while this is under way is mended once,
 * with a warning; of a part, what they undo of the changes.
 *
 * UPDATE_FAILED queues errors, at the line of the file that is to blame where
 * there is one.  The bridge is then unchanged, unless the error says
 * otherwise. */
enum update_result update_commit(struct session *, struct update *,
                                 struct diags *);

/* What update_commit() consists of, in this order, for those who have
 * something to do in between: the bundle, which alone may return
 * UPDATE_OVERTAKEN; cutting connections, which may take a second; and reading
 * back.  False from update_cut() means UPDATE_FAILED. */
enum update_result update_send(struct session *, struct update *,
                               struct diags *);
bool update_cut(struct session *, struct update *, struct diags *);
enum update_result update_check(struct session *, const struct update *,
                                struct diags *);
void update_uninit(struct update *);

#endif /* lib/update.h */
