/* SPDX-License-Identifier: Apache-2.0 */

/* Deaths that nobody would notice.
 *
 * Servers that stand in for others do so when the switch or the monitor finds
 * those dead.  A pool that has neither keep an eye on one of them waits for
 * ever.  Whether the names of ports are right, and who else is behind them, a
 * file alone does not tell, so this warns only of what is certain. */

#include "lib/model-internal.h"

#include <string.h>
#include <strings.h>

#include "lib/check.h"

/* Whether both are known to be behind one port, as different hosts. */
static bool
share_port(const struct server *a, const struct server *b)
{
    return (a->interface && b->interface && a->has_mac && b->has_mac
            && !strcmp(a->interface, b->interface)
            && !mac_equal(&a->mac, &b->mac));
}

/* Whether the switch watches the port of 'server', for all that is known. */
static bool
may_be_watched(const struct pool *pool, const struct server *server)
{
    enum link_watch watch = server->watch ? server->watch : pool->watch;

    if (watch == WATCH_NONE
        || (server->interface && !strcasecmp(server->interface, "LOCAL"))) {
        return false;
    }
    for (size_t i = 0; watch == WATCH_AUTO && i < pool->n_servers; i++) {
        if (share_port(server, &pool->servers[i])) {
            return false;
        }
    }
    return true;
}

/* A server with others to stand in for it whose death nothing notices, or
 * NULL. */
static const struct server *
find_unnoticed(const struct pool *pool)
{
    for (size_t i = 0; i < pool->n_servers; i++) {
        const struct server *server = &pool->servers[i];

        if (server->tier + 1 < pool->n_tiers && server->weight
            && server->state == SERVER_READY && !server_check(pool, server)
            && !may_be_watched(pool, server)) {
            return server;
        }
    }
    return NULL;
}

void
pool_warn_of_deaths(const struct pool *pool, struct diags *diags)
{
    const struct server *server = find_unnoticed(pool);
    char owner[OWNER_SIZE];

    if (server) {
        diag_warning(diags, &server->loc,
                     "%s: nothing would notice if server \"%s\" died, as its "
                     "port is not watched and it has no check, so that those "
                     "after it never take over; give it a \"check\", for "
                     "\"lbgen monitor\"",
                     owner_format("pool", pool->name, owner), server->name);
    }
}
