/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "lib/compile-pool.h"

#include <net/ethernet.h>
#include <netinet/icmp6.h>

#include "lib/actions.h"
#include "lib/found.h"
#include "lib/path.h"

/* "connections: direct"
 * =====================
 *
 * Direct server return: every packet to the VIP meets the group and gets
 * another Ethernet destination, that of a server which has the VIP as an
 * address of its own.  What the server answers is no business of lbgen's: it
 * comes from the VIP and from the server's own MAC, and goes where the
 * bridge's own flows send it.  So no MAC is ever seen at two ports.
 *
 * A request that came in by the server's own port goes out there again.  There
 * it comes from the VIP's MAC: switches that way would otherwise see the
 * client's move. */

/* In the server table.  Those of tracked and stateless pools are lower, for
 * the reason that compile-stateless.c gives. */
#define PRIORITY_SERVER 12
#define PRIORITY_SERVER_BACK 14

static void
emit_entry(struct compiler *c, const struct assignment *a,
           const struct ip *vip)
{
    const struct pool *pool = a->pool;

    compiler_match_vlan(c, pool->path.vlan);
    compiler_match_to(c, pool->protocol, vip, &pool->ports);
    compiler_put_pick(c, a);
    compiler_emit_entry(c, compiler_entry_priority(pool),
                        cookie_make(COOKIE_ENTRY, a->id, 0), &pool->loc);
}

/* Which family a packet is of, and which protocol, makes no difference any
 * more. */
static void
emit_server(struct compiler *c, const struct assignment *a,
            const struct server *server, uint16_t member, uint16_t port)
{
    uint8_t table = compiler_table(c, TABLE_SERVER);
    uint64_t cookie = cookie_make(COOKIE_SERVER, a->id, member);
    uint16_t from = a->pool->path.vlan;
    uint16_t to = path_server_vlan(a->pool, server);

    compiler_match_member(c, member);
    act_set_mac(&c->acts, MFF_ETH_DST, server_mac(server));
    compiler_change_vlan(c, from, to);
    act_output(&c->acts, port);
    compiler_emit(c, table, PRIORITY_SERVER, cookie, &server->loc);

    compiler_match_member(c, member);
    match_set_in_port(&c->match, (OVS_FORCE ofp_port_t) port);
    act_set_mac(&c->acts, MFF_ETH_SRC, &a->pool->vip_mac);
    act_set_mac(&c->acts, MFF_ETH_DST, server_mac(server));
    compiler_change_vlan(c, from, to);
    act_output(&c->acts, (OVS_FORCE uint16_t) OFPP_IN_PORT);
    compiler_emit(c, table, PRIORITY_SERVER_BACK, cookie, &server->loc);
}

/* A server that tells its neighbours that it has the VIP takes all of the
 * VIP's traffic to itself.  It should not ("arp_ignore", "arp_announce"); if
 * it does, nobody hears of it, whatever it asks for on the occasion. */
static void
emit_silence(struct compiler *c, const struct pool *pool,
             const struct server *server, const struct ip *vip, uint16_t port)
{
    compiler_match_vlan(c, path_server_vlan(pool, server));
    match_set_in_port(&c->match, (OVS_FORCE ofp_port_t) port);
    if (ip_is_v4(vip)) {
        match_set_dl_type(&c->match, htons(ETHERTYPE_ARP));
        match_set_nw_src(&c->match, htonl(ip_v4(vip)));
    } else {
        match_set_dl_type(&c->match, htons(ETHERTYPE_IPV6));
        match_set_nw_proto(&c->match, IPPROTO_ICMPV6);
        match_set_icmp_type(&c->match, ND_NEIGHBOR_ADVERT);
        match_set_icmp_code(&c->match, 0);
        match_set_nd_target(&c->match, &vip->addr);
    }
    compiler_emit_entry(c, PRIORITY_SILENCE, cookie_make(COOKIE_SILENCE, 0, 0),
                        &server->loc);
}

static void
emit_member(struct compiler *c, const struct assignment *a, size_t i)
{
    const struct server *server = &a->pool->servers[i];
    uint16_t port = compiler_port(c, server);

    if (port != PORT_NONE) {
        emit_server(c, a, server, a->members[i], port);
        for (size_t j = 0; j < a->pool->vips.n; j++) {
            emit_silence(c, a->pool, server, &a->pool->vips.ip[j], port);
        }
    }
}

void
compile_direct(struct compiler *c, const struct assignment *a)
{
    for (size_t i = 0; i < a->pool->vips.n; i++) {
        emit_entry(c, a, &a->pool->vips.ip[i]);
        compile_lost_fragments(c, a->pool, &a->pool->vips.ip[i]);
        compile_error_copies(c, a->pool, &a->pool->vips.ip[i]);
    }
    for (size_t i = 0; i < a->pool->n_servers; i++) {
        emit_member(c, a, i);
    }
}
