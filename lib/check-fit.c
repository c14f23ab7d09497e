/* SPDX-License-Identifier: Apache-2.0 */

/* Whether checks fit with their pools. */

#include "lib/check.h"

#include "lib/model-internal.h"

/* One check of one server, and where to complain. */
struct place {
    const struct reader *reader;
    const struct pool *pool;
    const struct server *server;
    const struct check *check;
    const struct source_loc *loc;
};

/* Checks that connect need a port that is one of TCP. */
static void
check_endpoint(const struct place *p)
{
    enum check_type type = p->check->type;

    if ((type != CHECK_TCP && type != CHECK_HTTP && type != CHECK_HTTPS)
        || p->check->port) {
        return;
    } else if (p->pool->protocol != PROTOCOL_TCP) {
        reader_error(p->reader, p->loc, "a check of type %s needs a \"port\" "
                     "of its own here, because that of the pool is not for "
                     "tcp", check_type_name(type));
    } else if (!p->server->port) {
        reader_error(p->reader, p->loc, "a check of type %s needs a \"port\" "
                     "here, because the pool has not just one",
                     check_type_name(type));
    }
}

/* ARP is of IPv4, neighbour discovery of IPv6. */
static void
check_family(const struct place *p)
{
    enum check_type type = p->check->type;
    const struct ip *ip = check_address(p->check, p->pool, p->server);
    char text[IP_STRLEN];

    if (type == CHECK_ARP && !ip_is_v4(ip)) {
        reader_error(p->reader, p->loc, "a check of type arp is for IPv4, not "
                     "for %s; that of IPv6 is nd", ip_format(ip, text));
    } else if (type == CHECK_ND && ip_is_v4(ip)) {
        reader_error(p->reader, p->loc, "a check of type nd is for IPv6, not "
                     "for %s; that of IPv4 is arp", ip_format(ip, text));
    }
}

/* A check from the switch has no address of its own unless it is given one. */
static void
check_switch(const struct place *p)
{
    const struct check *check = p->check;
    const char *type = check_type_name(check->type);

    if (check->from != CHECK_FROM_SWITCH) {
        return;
    } else if (!check_has_source(check)) {
        if (p->server->via.n) {
            reader_error(p->reader, p->loc, "a check of type %s from the "
                         "switch is for neighbours; server \"%s\" is behind a "
                         "router", type, p->server->name);
        }
    } else if (!check_source(check, p->pool, p->server)) {
        reader_error(p->reader, p->loc, "a check of type %s from the switch "
                     "needs a \"source\" of the family of the address it "
                     "goes to", type);
    } else if (!check->has_source
               && p->pool->connections == CONNECTIONS_DIRECT) {
        reader_error(p->reader, p->loc, "a check of type %s from the switch "
                     "needs a \"source\" here, an address that nobody has: "
                     "servers of a direct pool have the VIP themselves", type);
    }
}

/* What has to fit with the pool, for one server. */
static void
check_server_check(const struct reader *r, const struct pool *pool,
                   const struct server *server)
{
    const struct check *check = server_check(pool, server);
    const struct node *own = (server->node->type == NODE_MAPPING
                              ? node_get(server->node, "check") : NULL);
    struct place place = {
        r, pool, server, check,
        own ? &own->loc : check ? &pool->check->loc : NULL
    };

    if (check) {
        check_endpoint(&place);
        if (server->ips.n && pool->vips.n) {
            check_family(&place);
            check_switch(&place);
        }
    }
}

void
checks_check(const struct reader *r, const struct node *node,
             const struct pool *pool)
{
    const struct node *panic = node_get(node, "panic");
    const struct node *on_down = node_get(node, "on_down");
    bool any = false, reported = false;

    for (size_t i = 0; i < pool->n_servers; i++) {
        const struct server *server = &pool->servers[i];
        size_t n_errors = diags_n_errors(r->diags);

        any = any || pool->check || server_check(pool, server);
        if (!server->check && reported) {
            continue;           /* It is the pool's: once is enough. */
        }
        check_server_check(r, pool, server);
        reported = (reported || (!server->check
                                 && diags_n_errors(r->diags) > n_errors));
    }
    if (panic && !any) {
        reader_error(r, &panic->loc, "panic is for servers with a \"check\"");
    }
    if (on_down && !any) {
        reader_error(r, &on_down->loc, "on_down is for servers with a "
                     "\"check\"");
    } else if (on_down && pool->connections != CONNECTIONS_TRACKED) {
        reader_error(r, &on_down->loc, "on_down is for \"connections: "
                     "tracked\"; nobody knows the connections of others");
    }
}
