/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "lib/compile-pool.h"

#include "lib/actions.h"
#include "lib/found.h"
#include "lib/path.h"

/* "connections: stateless"
 * ========================
 *
 * Every packet to the VIP meets the group and every packet from a server's
 * port is taken for a reply.  Replies go out where their Ethernet destination
 * was last seen sending requests, which a learn() action in the entry flow
 * notes.  NORMAL would not do: it would see the VIP's MAC move between server
 * ports with every reply. */

/* In the server table.  Not that of tracked pools: to the switch a pool that
 * becomes tracked would otherwise have the same flows as before, which would
 * go on counting connections from a number of packets. */
#define PRIORITY_SERVER 11
#define PRIORITY_SERVER_BACK 15

/* How long a client's port is remembered after the last reply to it. */
#define CLIENT_IDLE_TIMEOUT 3600

static enum mf_field_id
dst_port_field(enum protocol protocol)
{
    return (protocol == PROTOCOL_TCP ? MFF_TCP_DST
            : protocol == PROTOCOL_UDP ? MFF_UDP_DST : MFF_SCTP_DST);
}

static enum mf_field_id
src_port_field(enum protocol protocol)
{
    return (protocol == PROTOCOL_TCP ? MFF_TCP_SRC
            : protocol == PROTOCOL_UDP ? MFF_UDP_SRC : MFF_SCTP_SRC);
}

static void
emit_entry(struct compiler *c, const struct assignment *a,
           const struct ip *vip)
{
    const struct pool *pool = a->pool;

    compiler_match_vlan(c, pool->path.vlan);
    compiler_match_to(c, pool->protocol, vip, &pool->ports);
    act_learn_client(&c->acts, compiler_table(c, TABLE_CLIENT),
                     cookie_make(COOKIE_CLIENT, 0, 0), CLIENT_IDLE_TIMEOUT,
                     pool->path.vlan != VLAN_ANY);
    if (pool->guard == GUARD_ON) {
        act_learn_user(&c->acts, compiler_table(c, TABLE_GUARD),
                       cookie_make(COOKIE_USER, a->id, 0), ip_family(vip),
                       CLIENT_IDLE_TIMEOUT, REG_POOL, a->id, REG_KNOWN);
    }
    compiler_put_pick(c, a);
    compiler_emit_entry(c, compiler_entry_priority(pool),
                        cookie_make(COOKIE_ENTRY, a->id, 0), &pool->loc);
}

/* Sends a packet to the VIP to 'server' at 'ip' instead. */
static void
put_request_actions(struct compiler *c, const struct pool *pool,
                    const struct server *server, const struct ip *ip)
{
    act_set_ip_dst(&c->acts, ip);
    if (server->port) {
        act_set_u16(&c->acts, dst_port_field(pool->protocol), server->port);
    }
    act_set_mac(&c->acts, MFF_ETH_DST, server_mac(server));
}

static void
emit_server(struct compiler *c, const struct assignment *a,
            const struct server *server, const struct ip *ip, uint16_t member,
            uint16_t port)
{
    compiler_match_protocol(c, ip_family(ip), a->pool->protocol);
    compiler_match_member(c, member);
    put_request_actions(c, a->pool, server, ip);
    compiler_change_vlan(c, a->pool->path.vlan,
                         path_server_vlan(a->pool, server));
    act_output(&c->acts, port);
    compiler_emit(c, compiler_table(c, TABLE_SERVER), PRIORITY_SERVER,
                  cookie_make(COOKIE_SERVER, a->id, member), &server->loc);
}

/* Gives a packet from a server the source that 'vip' has. */
static void
put_vip_source(struct compiler *c, const struct pool *pool,
               const struct ip *vip)
{
    uint16_t port = port_set_single(&pool->ports);

    act_set_ip_src(&c->acts, vip);
    if (port) {
        act_set_u16(&c->acts, src_port_field(pool->protocol), port);
    }
    act_set_mac(&c->acts, MFF_ETH_SRC, &pool->vip_mac);
}

/* Turns what comes from 'server' into what 'vip' answers. */
static void
put_return_actions(struct compiler *c, const struct pool *pool,
                   const struct server *server, const struct ip *vip)
{
    put_vip_source(c, pool, vip);
    compiler_change_vlan(c, path_server_vlan(pool, server),
                         pool->path.vlan);
    act_resubmit(&c->acts, compiler_table(c, TABLE_CLIENT));
}

/* A server that is its own client.  Its request comes back to it from the VIP,
 * with the port that it has, and so does what it answers.  (Others behind its
 * port cannot be served: who they are would have to be remembered.) */
static void
emit_hairpin(struct compiler *c, const struct assignment *a,
             const struct server *server, const struct ip *ip, uint16_t member,
             uint16_t port)
{
    const struct pool *pool = a->pool;
    const struct ip *vip = ips_find(&pool->vips, ip_family(ip));
    struct port_set ports = server_ports(pool, server);
    uint64_t cookie = cookie_make(COOKIE_RETURN, a->id, member);

    /* Where the VIP is wanted as a whole, an answer to it cannot be told from
     * a request. */
    if (pool_scope(pool) != POOL_SCOPE_PORTS || server->via.n
        || path_server_vlan(pool, server) != pool->path.vlan) {
        return;
    }
    compiler_match_from(c, pool->protocol, ip, NULL);
    compiler_match_member(c, member);
    match_set_in_port(&c->match, (OVS_FORCE ofp_port_t) port);
    put_request_actions(c, pool, server, ip);
    act_set_ip_src(&c->acts, vip);
    act_set_mac(&c->acts, MFF_ETH_SRC, &pool->vip_mac);
    act_output(&c->acts, (OVS_FORCE uint16_t) OFPP_IN_PORT);
    compiler_emit(c, compiler_table(c, TABLE_SERVER), PRIORITY_SERVER_BACK,
                  cookie_make(COOKIE_SERVER, a->id, member), &server->loc);

    compiler_match_vlan(c, pool->path.vlan);
    compiler_match_to(c, pool->protocol, vip, NULL);
    compiler_match_from(c, pool->protocol, ip, &ports);
    put_vip_source(c, pool, vip);
    act_set_ip_dst(&c->acts, ip);
    act_set_mac(&c->acts, MFF_ETH_DST, server_mac(server));
    act_output(&c->acts, (OVS_FORCE uint16_t) OFPP_IN_PORT);
    compiler_emit_entry(c, PRIORITY_RETURN_OWN, cookie, &server->loc);
}

static void
emit_return(struct compiler *c, const struct assignment *a,
            const struct server *server, const struct ip *ip, uint16_t member,
            uint16_t port)
{
    struct port_set ports = server_ports(a->pool, server);

    compiler_match_side(c, a->pool, server, port);
    compiler_match_from(c, a->pool->protocol, ip, &ports);
    compiler_match_fragment(c, false);
    put_return_actions(c, a->pool, server,
                       ips_find(&a->pool->vips, ip_family(ip)));
    compiler_emit_entry(c, PRIORITY_RETURN,
                        cookie_make(COOKIE_RETURN, a->id, member),
                        &server->loc);
}

/* With "guard", first asks the guard table, which knows the clients that the
 * entry flow has seen of late.  Whether it knows any or not, the client is
 * looked at, so that all datapath flows are as wide as each other: see
 * lib/compile-emit.c. */
static void
emit_guarded_return(struct compiler *c, const struct assignment *a,
                    const struct server *server, const struct ip *ip,
                    uint16_t member, uint16_t port)
{
    struct port_set ports = server_ports(a->pool, server);

    compiler_match_side(c, a->pool, server, port);
    compiler_match_from(c, a->pool->protocol, ip, &ports);
    compiler_match_fragment(c, false);
    act_look_at(&c->acts, ip_family(ip) == FAMILY_V4 ? MFF_IPV4_DST
                          : MFF_IPV6_DST, REG_SCRATCH);
    act_set_u32(&c->acts, REG_MEMBER, member);
    act_set_u32(&c->acts, REG_POOL, a->id);
    act_set_u32(&c->acts, REG_KNOWN, 0);
    act_resubmit(&c->acts, compiler_table(c, TABLE_GUARD));
    act_resubmit(&c->acts, compiler_table(c, TABLE_RETURN));
    compiler_emit_entry(c, PRIORITY_RETURN,
                        cookie_make(COOKIE_GUARD, a->id, member),
                        &server->loc);

    compiler_match_protocol(c, ip_family(ip), a->pool->protocol);
    compiler_match_member(c, member);
    match_set_reg(&c->match, REG_KNOWN - MFF_REG0, 1);
    put_return_actions(c, a->pool, server,
                       ips_find(&a->pool->vips, ip_family(ip)));
    compiler_emit(c, compiler_table(c, TABLE_RETURN), 10,
                  cookie_make(COOKIE_RETURN, a->id, member), &server->loc);
}

static void
emit_member(struct compiler *c, const struct assignment *a, size_t i)
{
    const struct server *server = &a->pool->servers[i];
    uint16_t port = compiler_port(c, server);

    for (size_t j = 0; port != PORT_NONE && j < server->ips.n; j++) {
        const struct ip *ip = &server->ips.ip[j];

        emit_server(c, a, server, ip, a->members[i], port);
        emit_hairpin(c, a, server, ip, a->members[i], port);
        if (a->pool->guard == GUARD_ON) {
            emit_guarded_return(c, a, server, ip, a->members[i], port);
        } else {
            emit_return(c, a, server, ip, a->members[i], port);
        }
    }
}

void
compile_stateless(struct compiler *c, const struct assignment *a)
{
    for (size_t i = 0; i < a->pool->vips.n; i++) {
        emit_entry(c, a, &a->pool->vips.ip[i]);
        compile_lost_fragments(c, a->pool, &a->pool->vips.ip[i]);
    }
    for (size_t i = 0; i < a->pool->n_servers; i++) {
        emit_member(c, a, i);
    }
}

/* For a client that has been forgotten, or has not sent a request yet, what a
 * switch does with an unknown destination; and what a guarded server sends to
 * others goes its way. */
void
compile_stateless_common(struct compiler *c)
{
    act_output(&c->acts, (OVS_FORCE uint16_t) OFPP_FLOOD);
    compiler_emit(c, compiler_table(c, TABLE_CLIENT), 0,
                  cookie_make(COOKIE_FLOOD, 0, 0), NULL);

    act_set_u32(&c->acts, REG_MEMBER, 0);
    act_set_u32(&c->acts, REG_POOL, 0);
    compiler_put_pass(c);
    compiler_emit(c, compiler_table(c, TABLE_RETURN), 0,
                  cookie_make(COOKIE_PASS, 0, 0), NULL);
}
