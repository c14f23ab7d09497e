/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LB_FOUND_H
#define LB_FOUND_H 1

/* Where a server is: what its file says, and what was found
 * =========================================================
 *
 * A file may leave out the "mac" and "interface" of a server.  lib/discover.h
 * then asks through the switch, and the answer is kept beside what the file
 * says, here and in the record of the pool: the file's words stay the file's.
 *
 * A server that gave no answer, or whose port is gone, is "missing".  It
 * counts as in maint, whatever its file and the operator say, until somebody
 * looks again.
 *
 * Pure. */

#include <stdbool.h>
#include <stdio.h>

#include "lib/document.h"
#include "lib/model.h"

/* Where packets for the server go: given or found, NULL if neither. */
const struct mac *server_mac(const struct server *);
const char *server_interface(const struct server *);

/* True if both are known. */
bool server_is_located(const struct server *);

/* True if the file leaves out one of them. */
bool server_leaves_out(const struct server *);

/* Stores what the file leaves out; 'interface' is copied. */
void found_set(struct server *, const struct mac *, const char *interface);
void found_set_missing(struct server *);

/* Whether 'old' has been found, and in no other place than 'server', of the
 * same host, is said to be in. */
bool found_agrees(const struct server *old, const struct server *server);

/* Servers of 'pool' that were in 'old', which may be NULL, are where they were
 * found then. */
void found_take_over(struct pool *, const struct pool *old);

/* True if 'interface' can be written to a record, and so to found_set(). */
bool found_interface_ok(const char *interface);

/* Writes what was found as a JSON object, by the names of those servers of
 * 'pool' that leave out something or are missing, and reads it back, in place
 * of what was known; 'node' may be NULL for
 * none, and have servers that are no more.  False if it makes no sense. */
void found_write(const struct pool *pool, FILE *);
bool found_read(const struct node *node, struct pool *pool);

/* For people: what of 'server' was found: "mac", "interface", "mac and
 * interface", "no answer", "no port", or "none" if its file says
 * everything. */
const char *found_name(const struct server *);

#endif /* lib/found.h */
