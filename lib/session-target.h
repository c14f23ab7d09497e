/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LB_SESSION_TARGET_H
#define LB_SESSION_TARGET_H 1

/* From what the user calls a bridge to a connection
 * =================================================
 *
 * Internal to lib/session*.c. */

#include "lib/diag.h"
#include "lib/session.h"

struct vconn;

/* Connects and agrees on OpenFlow 1.5.  Returns NULL after queueing an error
 * that says what to do. */
struct vconn *session_connect(const struct session_options *, struct diags *);

/* As session_find_local(), for what the user calls a bridge. */
bool session_split_local(const char *target, char **directory, char **bridge);

/* What vconns call the bridge that the user calls 'bridge'.  The caller frees
 * it. */
char *session_vconn_name(const char *bridge);

/* Milliseconds of a clock that only goes forward. */
long long int session_now(void);

#endif /* lib/session-target.h */
