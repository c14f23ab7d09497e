/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DRAIN_WAIT_H
#define DRAIN_WAIT_H 1

/* Waiting until a server's connections have ended
 * =============================================== */

#include <stdint.h>

#include "lbgen/command.h"
#include "lib/session.h"

/* Waits until no tracked connection in 'zone' carries the id 'member' any
 * more, or the time-out of the command line has passed (no time-out: for
 * ever).  'what' names the server.  Says on a terminal how many are left.
 * Returns the exit status. */
int drain_wait(const struct command_context *context,
               struct session *session, uint16_t zone, uint16_t member,
               const char *what);

#endif /* lbgen/drain-wait.h */
