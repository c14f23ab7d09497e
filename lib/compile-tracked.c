/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "lib/compile-pool.h"

#include "lib/actions.h"
#include "lib/found.h"

/* "connections: tracked"
 * ======================
 *
 * Only the first packet of a connection meets the group.  It is committed with
 * NAT to the server and goes out at once, without another recirculation.  The
 * rest of the connection takes one recirculation in each direction.
 *
 * A pool with VIPs of both families has two flows where addresses are matched
 * or set, and one for both where the connection's mark says it all. */

/* Priority in the forward table of a flow for new connections: 'base' for the
 * pools that are the most particular about their VIP, and two less for each
 * step down from there. */
static uint16_t
forward_priority(const struct pool *pool, uint16_t base)
{
    return base - 2 * pool_scope(pool);
}

/* Client to VIP, first look. */
static void
emit_entry(struct compiler *c, const struct assignment *a,
           const struct ip *vip)
{
    const struct pool *pool = a->pool;

    compiler_match_to(c, pool->protocol, vip, &pool->ports);
    act_ct_nat(&c->acts, c->settings->zone, compiler_table(c, TABLE_FORWARD));
    compiler_emit_entry(c, compiler_entry_priority(pool),
                        cookie_make(COOKIE_ENTRY, a->id, 0), &pool->loc);
}

/* Client to VIP, connection not known. */
static void
emit_new(struct compiler *c, const struct assignment *a, const struct ip *vip)
{
    const struct pool *pool = a->pool;

    compiler_match_ct(c, CT_NEW, CT_NEW | CT_INVALID);
    compiler_match_to(c, pool->protocol, vip, &pool->ports);
    compiler_put_pick(c, a);
    compiler_emit(c, compiler_table(c, TABLE_FORWARD),
                  forward_priority(pool, 10),
                  cookie_make(COOKIE_NEW, a->id, 0), &pool->loc);
}

/* Client to VIP, connection known.  (It is still "new" to the switch until the
 * server has answered, so that state is not looked at.) */
static void
emit_forward(struct compiler *c, const struct assignment *a,
             const struct server *server, uint16_t member, uint16_t port)
{
    compiler_match_ct(c, 0, CT_INVALID | CT_REPLY);
    compiler_match_mark(c, member);
    act_set_mac(&c->acts, MFF_ETH_DST, server_mac(server));
    act_output(&c->acts, port);
    compiler_emit(c, compiler_table(c, TABLE_FORWARD), 20,
                  cookie_make(COOKIE_FORWARD, a->id, member), &server->loc);
}

/* Client to VIP, this server chosen, with 'ip' for the VIP's family. */
static void
emit_server(struct compiler *c, const struct assignment *a,
            const struct server *server, const struct ip *ip, uint16_t member,
            uint16_t port)
{
    compiler_match_protocol(c, ip_family(ip), a->pool->protocol);
    compiler_match_member(c, member);
    act_ct_commit(&c->acts, c->settings->zone, ip, server->port,
                  (uint32_t) member << MARK_MEMBER_SHIFT, MARK_MEMBER_MASK);
    act_set_mac(&c->acts, MFF_ETH_DST, server_mac(server));
    act_output(&c->acts, port);
    compiler_emit(c, compiler_table(c, TABLE_SERVER), 10,
                  cookie_make(COOKIE_SERVER, a->id, member), &server->loc);
}

/* Server to client, first look.  Pools that share the server share the
 * flow. */
static void
emit_return(struct compiler *c, const struct assignment *a,
            const struct server *server, const struct ip *ip)
{
    struct port_set ports = server_ports(a->pool, server);

    compiler_match_from(c, a->pool->protocol, ip, &ports);
    act_ct_nat(&c->acts, c->settings->zone, compiler_table(c, TABLE_REVERSE));
    compiler_emit_entry(c, PRIORITY_RETURN, cookie_make(COOKIE_RETURN, 0, 0),
                        &server->loc);
}

/* Server to client, connection known: out where its requests come in. */
static void
emit_reverse(struct compiler *c, const struct assignment *a,
             const struct server *server, uint16_t member)
{
    compiler_match_ct(c, CT_REPLY, CT_REPLY | CT_INVALID);
    compiler_match_mark(c, member);
    act_set_mac(&c->acts, MFF_ETH_SRC, &a->pool->vip_mac);
    act_output_field(&c->acts, MFF_CT_MARK, MARK_PORT_BITS);
    compiler_emit(c, compiler_table(c, TABLE_REVERSE), 20,
                  cookie_make(COOKIE_REVERSE, a->id, member), &server->loc);
}

/* A server in "maint" gets nothing and nothing of its connections comes back:
 * only the first look at what it sends is left, so that packets with its
 * address do not get out to clients. */
static void
emit_member(struct compiler *c, const struct assignment *a, size_t i)
{
    const struct server *server = &a->pool->servers[i];
    uint16_t port = compiler_port(c, server);

    if (port == PORT_NONE) {
        return;
    }
    for (size_t j = 0; j < server->ips.n; j++) {
        emit_return(c, a, server, &server->ips.ip[j]);
    }
    if (server_effective_state(server) == SERVER_MAINT) {
        return;
    }
    for (size_t j = 0; j < server->ips.n; j++) {
        emit_server(c, a, server, &server->ips.ip[j], a->members[i], port);
    }
    emit_forward(c, a, server, a->members[i], port);
    emit_reverse(c, a, server, a->members[i]);
}

/* A server that is gone from the pool: connections go on, none begins. */
static void
emit_leaving(struct compiler *c, const struct assignment *a,
             const struct leaving *leaving)
{
    const struct server *server = &leaving->server;
    uint16_t port = compiler_port(c, server);

    if (port != PORT_NONE) {
        for (size_t i = 0; i < server->ips.n; i++) {
            emit_return(c, a, server, &server->ips.ip[i]);
        }
        emit_forward(c, a, server, leaving->member, port);
        emit_reverse(c, a, server, leaving->member);
    }
}

void
compile_tracked(struct compiler *c, const struct assignment *a)
{
    for (size_t i = 0; i < a->pool->vips.n; i++) {
        emit_entry(c, a, &a->pool->vips.ip[i]);
        emit_new(c, a, &a->pool->vips.ip[i]);
    }
    for (size_t i = 0; i < a->n_leaving; i++) {
        emit_leaving(c, a, &a->leaving[i]);
    }
    for (size_t i = 0; i < a->pool->n_servers; i++) {
        emit_member(c, a, i);
    }
}

void
compile_resident(const struct settings *settings, const struct assignment *a,
                 size_t index, const struct ip *client, int prefix,
                 uint16_t seconds, struct ofstate *flows, struct diags *diags)
{
    const struct pool *pool = a->pool;
    const struct ip *vip = ips_find(&pool->vips, ip_family(client));
    uint16_t member = a->members[index];
    struct compiler c = {
        .settings = settings,
        .desired = flows,
        .diags = diags,
        .hard_timeout = seconds,
    };

    match_init_catchall(&c.match);
    ofpbuf_init(&c.acts, 64);
    compiler_match_ct(&c, CT_NEW, CT_NEW | CT_INVALID);
    compiler_match_to(&c, pool->protocol, vip, &pool->ports);
    compiler_match_client(&c, client, prefix);
    act_set_u32(&c.acts, REG_MEMBER, member);
    act_resubmit(&c.acts, compiler_table(&c, TABLE_SERVER));
    compiler_emit(&c, compiler_table(&c, TABLE_FORWARD),
                  forward_priority(pool, 11),
                  cookie_make(COOKIE_RESIDENT, a->id, member),
                  &pool->servers[index].loc);
    ofpbuf_uninit(&c.acts);
}

/* What comes from a server's port but is no part of a connection to a VIP goes
 * back to the entry table as it came, marked as seen, for the bridge's own
 * flows.  A packet of such a connection that is not valid, or whose server is
 * no longer known, has had its source rewritten already and ends here. */
void
compile_tracked_common(struct compiler *c)
{
    uint8_t table = compiler_table(c, TABLE_REVERSE);

    compiler_match_ct(c, CT_SNAT, CT_SNAT);
    compiler_emit(c, table, 10, cookie_make(COOKIE_STALE, 0, 0), NULL);

    act_ct_clear(&c->acts);
    compiler_put_pass(c);
    compiler_emit(c, table, 0, cookie_make(COOKIE_PASS, 0, 0), NULL);
}
