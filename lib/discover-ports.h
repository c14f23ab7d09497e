/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LB_DISCOVER_PORTS_H
#define LB_DISCOVER_PORTS_H 1

/* Servers whose ports come and go
 * ===============================
 *
 * A server whose port the bridge has not is missing (lib/found.h), with a
 * warning, until the port is there: nothing else has to wait for it.  In maint
 * it may be away.  Whoever applies a file as it is gets an error for any
 * other, from lib/compile.c. */

#include <stdbool.h>

#include "lib/bridge.h"
#include "lib/diag.h"
#include "lib/model.h"
#include "lib/session.h"

/* How to look for ports. */
struct port_look {
    const struct bridge *bridge;
    const char *bridge_name;    /* For messages. */
    bool allow_missing;         /* Else only servers in maint are missing. */
    struct diags *diags;
};

/* Decides for all servers of 'model', or for 'only' that one unless it is
 * NULL, whether they are missing, going by their ports. */
void discover_lost_ports(const struct port_look *, struct model *model,
                         const struct server *only);

/* What discover_ports() had to copy. */
struct discovered_ports {
    struct record *copies;
    size_t n_copies;
};

/* Only looks whether servers have their ports: those that have not are
 * missing, with a warning if that is news and they are not in maint.  True if
 * anything about that is news.  Pools of 'model' that are those of 'bridge'
 * itself stay as they are there: copies take their place, which live until
 * discovered_ports_uninit(). */
bool discover_ports(struct session *, const struct bridge *, struct model *,
                    struct discovered_ports *, struct diags *);
void discovered_ports_uninit(struct discovered_ports *);

#endif /* lib/discover-ports.h */
