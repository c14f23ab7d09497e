/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DRAIN_WAIT_H
#define DRAIN_WAIT_H 1

/* Waiting until a server's connections have ended
 * =============================================== */

#include <stdint.h>

#include "lbgen/command.h"
#include "lib/model.h"
#include "lib/session.h"

/* Whose connections to wait for. */
struct awaited {
    enum connections connections;
    uint16_t zone;
    uint16_t *members;          /* Member ids of the servers.  Owned. */
    size_t n;
};

/* Waits until no tracked connection belongs to any of them any more, or the
 * time-out of the command line has passed (no time-out: for ever).  'what'
 * names them.  Says on a terminal how many are left.  Returns the exit
 * status. */
int drain_wait(const struct command_context *context,
               struct session *session, const struct awaited *,
               const char *what);

#endif /* lbgen/drain-wait.h */
