/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "lbgen/report.h"

#include <stdlib.h>

#include "lib/layout.h"

/* Where in the arrays below a member id of the pool is found. */
static size_t
find_member(const struct assignment *a, uint16_t member)
{
    for (size_t i = 0; i < a->pool->n_servers; i++) {
        if (a->members[i] == member) {
            return i;
        }
    }
    return SIZE_MAX;
}

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
    case COOKIE_PASS:
    case COOKIE_STALE:
    case COOKIE_CLIENT:
    case COOKIE_USER:
    case COOKIE_GUARD:
    case COOKIE_FLOOD:
    case COOKIE_FALLBACK:
    case COOKIE_RECORD:
    case COOKIE_SETTINGS:
    case COOKIE_PROBE:
    default:
        break;
    }
}

/* In tracked mode the server flow sees the first packet of each connection; in
 * stateless mode it sees all of them, and nobody knows what a connection is. */
void
traffic_collect(const struct bridge *bridge, const struct assignment *a,
                struct traffic *traffic)
{
    const struct of_flow *flow;

    for (size_t i = 0; i < a->pool->n_servers; i++) {
        traffic[i] = (struct traffic) {
            .counts_connections
                = a->pool->connections == CONNECTIONS_TRACKED
        };
    }
    HMAP_FOR_EACH (flow, node, &bridge->installed.flows) {
        if (cookie_pool(flow->cookie) == a->id) {
            size_t i = find_member(a, cookie_member(flow->cookie));

            if (i != SIZE_MAX) {
                add_flow(&traffic[i], flow);
            }
        }
    }
}
