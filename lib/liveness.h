/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LB_LIVENESS_H
#define LB_LIVENESS_H 1

/* Which ports the switch watches
 * ==============================
 *
 * A bucket can watch a port: while that is down, the switch passes over the
 * bucket.  Where a server says nothing of that, its port is watched if no
 * other server is behind it: a port that leads to several leads to another
 * switch or a router, and tells of the way there.
 *
 * Pure. */

#include "lib/model.h"
#include "lib/ports.h"

struct watch_port;

struct watcher {
    const struct ports *ports;
    struct watch_port *by_number;
};

/* Looks at all servers of 'model'.  Borrows from 'ports'. */
void watcher_init(struct watcher *, const struct model *model,
                const struct ports *ports);
void watcher_uninit(struct watcher *);

/* The number of the port that is watched for 'server' of 'pool', or PORT_NONE
 * for none. */
uint16_t watcher_find_port(const struct watcher *, const struct pool *,
                         const struct server *);

#endif /* lib/liveness.h */
