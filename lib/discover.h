/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LB_DISCOVER_H
#define LB_DISCOVER_H 1

/* Finding the servers whose "mac" or "interface" is left out
 * ==========================================================
 *
 * All of them are asked at once, each time that a file is compared with a
 * bridge: answers come within milliseconds, and a server that has moved since
 * is noticed.  What the file does say, narrows down who counts: with an
 * interface, a server is only asked there; with a MAC, the answer must be the
 * same.
 *
 * A server that does not answer stays where it was last known to be.  One that
 * was never there is an error, or, as the caller likes, missing
 * (lib/found.h).  So is any server whose port the bridge has not, until it
 * has: nothing else has to wait for it. */

#include <stdbool.h>

#include "lib/bridge.h"
#include "lib/diag.h"
#include "lib/model.h"
#include "lib/session.h"

/* How long a server that does not answer is waited for, in milliseconds. */
#define DISCOVER_PATIENCE 1500

/* Finds the servers of 'model' on the bridge that 'session' is connected to
 * and 'bridge' was read from, or only the server 'only' if it is not NULL.
 * With 'allow_missing', one that does not answer is a warning.  Nothing stays
 * on the bridge.  Returns false after queueing errors. */
bool discover(struct session *, const struct bridge *, struct model *,
              const struct server *only, bool allow_missing, struct diags *);

/* Asks nobody: servers of 'model' are where the bridge knows them to be, or
 * where they are in 'model' already.  Others are missing; then it returns
 * false. */
bool discover_known(struct session *, const struct bridge *, struct model *,
                    struct diags *);

#endif /* lib/discover.h */
