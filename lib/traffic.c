/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "lib/traffic.h"

#include <stdlib.h>

#include "lib/layout.h"
#include "lib/util.h"

static void
add_flow(struct traffic *t, const struct of_flow *flow)
{
    switch (cookie_kind(flow->cookie)) {
    case COOKIE_SERVER:
        t->connections += flow->n_packets;
        /* Fall through. */
    case COOKIE_FORWARD:
        t->packets += flow->n_packets;
        t->bytes += flow->n_bytes;
        break;

    case COOKIE_REVERSE:
    case COOKIE_RETURN:
        t->reply_packets += flow->n_packets;
        t->reply_bytes += flow->n_bytes;
        break;

    case COOKIE_ARP:
    case COOKIE_ENTRY:
    case COOKIE_NEW:
    case COOKIE_RESIDENT:
    case COOKIE_PASS:
    case COOKIE_STALE:
    case COOKIE_CLIENT:
    case COOKIE_USER:
    case COOKIE_GUARD:
    case COOKIE_FLOOD:
    case COOKIE_FALLBACK:
    case COOKIE_RECORD:
    case COOKIE_SETTINGS:
    case COOKIE_SOLICIT:
    case COOKIE_ADVERT:
    case COOKIE_ECHO6:
    case COOKIE_TURN:
    case COOKIE_AFFINITY:
    case COOKIE_DISPATCH:
    case COOKIE_ECHO:
    case COOKIE_ERROR:
    case COOKIE_FRAGMENT:
    case COOKIE_PROBE:
    default:
        break;
    }
}

/* In tracked mode the server flow sees the first packet of each connection; in
 * the others it sees all of them, and nobody knows what a connection is. */
static struct traffic *
new_traffic(const struct pool *pool)
{
    struct traffic *traffic = lb_xcalloc(pool->n_servers, sizeof *traffic);

    for (size_t i = 0; i < pool->n_servers; i++) {
        traffic[i].counts_connections
            = pool->connections == CONNECTIONS_TRACKED;
    }
    return traffic;
}

struct traffic **
traffic_collect(const struct bridge *bridge)
{
    const struct assignments *all = &bridge->assignments;
    struct traffic **traffic = lb_xcalloc(all->n_pools, sizeof *traffic);
    /* By id of the pool: its index and 1, or 0. */
    size_t *index = lb_xcalloc(UINT16_MAX + 1, sizeof *index);
    const struct of_flow *flow;

    for (size_t i = 0; i < all->n_pools; i++) {
        traffic[i] = new_traffic(all->pools[i].pool);
        index[all->pools[i].id] = i + 1;
    }
    OFSTATE_FOR_EACH_FLOW (flow, &bridge->installed) {
        size_t i = index[cookie_pool(flow->cookie)];
        size_t j = (i ? assignment_find_member(&all->pools[i - 1],
                                    cookie_member(flow->cookie)) : SIZE_MAX);

        if (j != SIZE_MAX) {
            add_flow(&traffic[i - 1][j], flow);
        }
    }
    free(index);
    return traffic;
}

void
traffic_free(struct traffic **traffic, const struct bridge *bridge)
{
    for (size_t i = 0; i < bridge->assignments.n_pools; i++) {
        free(traffic[i]);
    }
    free(traffic);
}
