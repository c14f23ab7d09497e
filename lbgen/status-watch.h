/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STATUS_WATCH_H
#define STATUS_WATCH_H 1

/* "lbgen status --watch": the pools of a bridge, live on a terminal
 * ================================================================ */

#include "lbgen/command.h"

/* Shows the pool of that name, or all if 'pool' is NULL, until somebody types
 * "q" or interrupts.  Returns the exit status. */
int status_watch(const struct command_context *, const char *pool);

#endif /* lbgen/status-watch.h */
