/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LB_LOCK_H
#define LB_LOCK_H 1

/* One lbgen at a time
 * ===================
 *
 * Keeps the lbgens of one host from changing the same bridge at the same time.
 * It is only a matter of manners: lib/generation.h is what keeps those of
 * other hosts, and those that could not lock, from doing harm.
 *
 * The lock is a POSIX one, on an empty file next to the bridge's socket.
 * It ends with the process, however that ends; the kernel knows who has it;
 * nothing is ever written to the file, so whoever puts another one in its
 * place gains nothing.  It belongs to the process: a second lock of the
 * same bridge in one process is granted at once, and the end of either is
 * the end of both.
 *
 * Rounds of refresh have a lock of their own, on another file: for most of
 * their time they wait for servers, and change nothing. */

#include <stdbool.h>

#include "lib/diag.h"

/* Seconds until somebody who waits gives up. */
#define LOCK_MAX_WAIT 60

/* How to lock. */
struct lock_options {
    bool rounds;                /* Of refresh, and not changes.  Where that
                                 * cannot be locked, nothing is said. */
    bool no_wait;               /* Fail if somebody else has it. */

    /* Called once if there is something to wait for, after a second; NULL for
     * nothing.  'holder' is as in "pid 4711 (lbgen apply web.yaml)". */
    void (*waiting)(const char *holder, void *aux);
    void *aux;
};

enum lock_result {
    LOCK_TAKEN,
    LOCK_IMPOSSIBLE,            /* No file to lock; a warning is queued. */
    LOCK_BUSY                   /* An error is queued. */
};

/* Locks the bridge that the user calls 'bridge' and vconns call 'vconn'
 * ("unix:...").  LOCK_TAKEN stores a descriptor in '*fd', whose close()
 * ends the lock; the others store -1. */
enum lock_result lock_take(const char *bridge, const char *vconn,
                           const struct lock_options *, int *fd,
                           struct diags *);

#endif /* lib/lock.h */
