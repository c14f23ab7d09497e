/* SPDX-License-Identifier: Apache-2.0 */

/* Reading which ports a pool is for. */

#include "lib/model-internal.h"

#include <string.h>

/* Whether 's' is meant to be more than one port, right or wrong. */
static bool
looks_like_range(const char *s)
{
    return *s >= '0' && *s <= '9' && strpbrk(s, "-:, ");
}

/* Reads one port or a range, of which JSON would have it in quotes. */
static bool
read_port_range(const struct reader *r, const struct node *node,
                struct port_range *range)
{
    if (node->type != NODE_SCALAR || !looks_like_range(node->scalar)) {
        if (!value_u16(r, node, 1, UINT16_MAX, &range->first)) {
            return false;
        }
        range->last = range->first;
        return true;
    }
    if (!port_range_from_string(node->scalar, range)) {
        reader_error(r, &node->loc, "%s must be a port from 1 to 65535 or a "
                     "range such as 8000-8010, not %s%s", r->key,
                     DIAG_QUOTE(node->scalar),
                     strpbrk(node->scalar, ", ")
                     ? "; for several, \"ports: [80, 443]\"" : "");
        return false;
    }
    return true;
}

bool
pool_port_read(const struct reader *r, const struct node *node, void *pool_)
{
    struct pool *pool = pool_;
    struct port_range range;

    if (node->type == NODE_SEQUENCE) {
        reader_error(r, &node->loc, "port is one port or one range; a list "
                     "is for \"ports\"");
        return false;
    }
    return (read_port_range(r, node, &range)
            && port_set_add(&pool->ports, range) == PORT_SET_ADDED);
}

/* Adds one element of "ports". */
static bool
add_ports(const struct reader *r, const struct node *node,
          struct port_set *ports)
{
    struct port_range range;
    char text[PORT_RANGE_STRLEN];

    if (!read_port_range(r, node, &range)) {
        return false;
    }
    switch (port_set_add(ports, range)) {
    case PORT_SET_ADDED:
        return true;

    case PORT_SET_TWICE:
        reader_error(r, &node->loc, "%s is in the list already, at least in "
                     "part", port_range_format(&range, text));
        return false;

    case PORT_SET_FULL:
    default:
        reader_error(r, &node->loc, "ports must not have more than %d ranges",
                     PORT_SET_MAX);
        return false;
    }
}

bool
pool_ports_read(const struct reader *r, const struct node *node, void *pool_)
{
    struct pool *pool = pool_;
    struct port_set ports = { .n = 0 };
    bool ok = true;

    if (!value_check_type(r, node, NODE_SEQUENCE, "a list of ports")) {
        return false;
    }
    if (!node->n_items) {
        reader_error(r, &node->loc, "ports is empty; for every port of the "
                     "protocol, leave it out");
        return false;
    }
    if (pool->ports.n) {
        reader_error(r, &node->loc, "give port or ports, not both");
        ok = false;
    }
    for (size_t i = 0; i < node->n_items; i++) {
        ok = add_ports(r, node->items[i], &ports) && ok;
    }
    if (ok) {
        pool->ports = ports;
    }
    return ok;
}

bool
pool_ports_are_read(const struct pool *pool, const struct node *node)
{
    return pool->ports.n || !(node_get(node, "port")
                              || node_get(node, "ports"));
}

static void
check_server_ports(const struct node *node, const struct pool *pool,
                   struct diags *diags)
{
    if (port_set_single(&pool->ports) || !pool_ports_are_read(pool, node)) {
        return;
    }
    for (size_t i = 0; i < pool->n_servers; i++) {
        const struct server *server = &pool->servers[i];
        char owner[OWNER_SIZE];

        if (server->port) {
            diag_error(diags, node_locate(server->node, "port"), "%s: only "
                       "where the pool has exactly one port may a server have "
                       "another one; here packets keep theirs",
                       owner_format("server", server->name, owner));
        }
    }
}

/* What Open vSwitch does not know how to do with a protocol. */
static void
check_protocol(const struct reader *r, const struct node *node,
               const struct pool *pool)
{
    const struct node *port = node_get(node, "port");

    port = port ? port : node_get(node, "ports");
    if (pool->protocol == PROTOCOL_ANY && port) {
        reader_error(r, &port->loc, "\"protocol: any\" takes all protocols "
                     "with all their ports; name one protocol, or leave the "
                     "ports out");
    }
    if (pool->protocol == PROTOCOL_SCTP
        && pool->connections == CONNECTIONS_TRACKED) {
        reader_error(r, node_locate(node, "protocol"), "\"protocol: sctp\" "
                     "needs \"connections: stateless\" or \"direct\": "
                     "connection tracking in Open vSwitch does not look at "
                     "its ports");
    }
}

void
pool_ports_check(const struct reader *r, const struct node *node,
                 const struct pool *pool)
{
    check_protocol(r, node, pool);
    check_server_ports(node, pool, r->diags);
}
