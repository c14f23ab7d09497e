/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CONNECT_H
#define CONNECT_H 1

/* Getting at the bridge
 * ===================== */

#include "lbgen/command.h"
#include "lib/bridge.h"
#include "lib/session.h"
#include "lib/update.h"

/* Connects to the bridge of the command line or else of 'model' (which may be
 * NULL), to look only.  Returns NULL after queueing an error. */
struct session *connect_session(const struct command_context *context,
                                const struct model *model);

/* Connects likewise and reads the bridge, only what the pool called 'pool'
 * needs if that is not NULL and can be (lib/part.h).  Returns NULL after
 * queueing an error, else stores what was read in '*bridgep', for the caller
 * to destroy. */
struct session *connect_bridge(const struct command_context *context,
                               const struct model *model, const char *pool,
                               struct bridge **bridgep);

/* What work on a bridge returns, other than an exit status, if another lbgen
 * changed the bridge after it was read: do it again with what is there now. */
#define STATUS_OVERTAKEN (-1)

/* What it returns if only one pool was read and more is needed: do it again
 * with all of the bridge. */
#define STATUS_NEEDS_ALL (-2)

/* Connects and reads as connect_bridge() does and calls 'work', again if that
 * was overtaken, or needs all of the bridge, with that as it is then.  Returns
 * the exit status.
 *
 * If the command changes the bridge (OPTION_NO_WAIT), the bridge is locked
 * meanwhile. */
int work_on_bridge(const struct command_context *context,
                   const struct model *model, const char *pool,
                   int (*work)(const struct command_context *context,
                               struct session *session, struct bridge *bridge,
                               void *aux),
                   void *aux);

/* Likewise, but the first time with 'bridge', which has just been read without
 * a lock and is taken over, unless it is NULL or has changed since. */
int work_on_known_bridge(const struct command_context *context,
                         const struct model *model, const char *pool,
                         struct bridge *bridge,
                         int (*work)(const struct command_context *context,
                                     struct session *session,
                                     struct bridge *bridge, void *aux),
                         void *aux);

/* Keeps others from beginning a round of refresh on the bridge that
 * work_on_bridge() would work on; it may be changed meanwhile.  Returns false
 * after queueing an error if such a round is under way.  Else stores a
 * descriptor, whose close() ends that, or -1 if it cannot be done. */
bool lock_rounds(const struct command_context *context,
                 const struct model *model, int *fd);

/* Makes the bridge what 'model' says, or only says what would
 * change, as the options ask for.  'to' is what a preview calls the new side.
 * Returns the exit status, STATUS_OVERTAKEN or STATUS_NEEDS_ALL. */
int run_update(const struct command_context *context,
               struct session *session, const struct bridge *bridge,
               const struct model *model, const char *to, bool only_preview);

#endif /* lbgen/connect.h */
