/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LB_UNIXCTL_H
#define LB_UNIXCTL_H 1

/* The control socket of ovs-vswitchd, as ovs-appctl(8) uses it
 * ============================================================
 *
 * Some of what a switch knows, OpenFlow does not tell: its connections above
 * all.  The control socket does, but only on the switch's own host.  So
 * nothing here is ever needed to change a bridge, and to fail to reach it is
 * no error: each function says why, and the caller decides what to make of it.
 *
 * JSON-RPC 1.0: strings go in, one string comes out. */

#include <stdbool.h>

struct unixctl;

/* Connects to the ovs-vswitchd that has its files in 'directory'.  Nothing
 * after that takes longer than 'timeout' seconds in all.  Returns NULL and
 * stores in '*why' a reason, which the caller frees. */
struct unixctl *unixctl_open(const char *directory, int timeout, char **why);
void unixctl_close(struct unixctl *);

/* Has 'method' called with 'args', which NULL ends.  Stores what came back, or
 * if false is returned why nothing did, in '*reply', which the caller
 * frees. */
bool unixctl_call(struct unixctl *, const char *method,
                  const char *const args[], char **reply);

#endif /* lib/unixctl.h */
