/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LB_RESIDENT_H
#define LB_RESIDENT_H 1

/* Clients that stay with a server that drains
 * ===========================================
 *
 * A server that drains has no slots, so the next connection of a client that
 * sticks to it, by policy or by affinity, goes elsewhere.  "drain_timeout"
 * lets the clients that it has when it begins to drain come back for that
 * long: those are the ones that the switch knows tracked connections of, and
 * each gets a flow of its own that expires by itself.  Such flows are no part
 * of the desired state; they stay until their time, or until the server does
 * something else than drain. */

#include "lib/assign.h"
#include "lib/bridge.h"
#include "lib/diag.h"
#include "lib/diff.h"
#include "lib/session.h"

/* For 'bridge' to become what 'model' and 'assignments' say, adds to 'changes'
 * the flows of residents to add, which are put into 'flows', and those to
 * delete.  If the clients of a server cannot be known, that is a warning. */
void residents_prepare(struct session *, const struct bridge *bridge,
                       const struct model *model,
                       const struct assignments *assignments,
                       struct ofstate *flows, struct changes *changes,
                       struct diags *);

#endif /* lib/resident.h */
