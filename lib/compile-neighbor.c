/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "lib/compile-pool.h"

#include <net/ethernet.h>
#include <netinet/icmp6.h>

#include "lib/actions.h"
#include "lib/path.h"

/* Neighbour discovery (RFC 4861) for VIPs of IPv6
 * ===============================================
 *
 * Who asks for a VIP, by multicast or, to see whether it is still there, by
 * unicast, gets its own solicitation back as an advertisement.  That takes two
 * tables: fields of an advertisement can only be set in what is one already.
 *
 *     entry:    solicitation for the VIP -> advertisement of it
 *     neighbor: flags, option; back to where it came from
 *
 * An option of the solicitation becomes the one with the VIP's MAC: the
 * sender's own MAC, or the nonce that looks for duplicates carry (RFC 7527).
 * A switch cannot make a packet longer, so a solicitation that has none gets
 * an answer that has none, as is right for unicast (RFC 4861, 7.2.4).  By
 * multicast and without one ask only hosts that look for duplicates (RFC 4862,
 * 5.4.2), and those need the fact alone. */

/* Flags of an advertisement, as "nd_reserved" has them. */
#define SOLICITED UINT32_C(0x40000000)
#define OVERRIDE UINT32_C(0x20000000)

/* Routers count hop limits down, so only a neighbour's packet has this. */
#define NEIGHBOR_HOP_LIMIT 255

static void
match_icmp6(struct compiler *c, uint8_t type)
{
    match_set_dl_type(&c->match, htons(ETHERTYPE_IPV6));
    match_set_nw_proto(&c->match, IPPROTO_ICMPV6);
    match_set_icmp_type(&c->match, type);
    match_set_icmp_code(&c->match, 0);
}

void
compile_neighbor(struct compiler *c, const struct mac *mac,
                 const struct ip *ip, const struct source_loc *loc)
{
    match_icmp6(c, ND_NEIGHBOR_SOLICIT);
    match_set_nw_ttl(&c->match, NEIGHBOR_HOP_LIMIT);
    match_set_nd_target(&c->match, &ip->addr);
    act_move(&c->acts, MFF_ETH_SRC, MFF_ETH_DST, 48);
    act_set_mac(&c->acts, MFF_ETH_SRC, mac);
    act_move(&c->acts, MFF_IPV6_SRC, MFF_IPV6_DST, 128);
    act_set_ip_src(&c->acts, ip);
    act_set_u8(&c->acts, MFF_ICMPV6_TYPE, ND_NEIGHBOR_ADVERT);
    act_resubmit(&c->acts, compiler_table(c, TABLE_NEIGHBOR));
    compiler_emit_entry(c, PRIORITY_ENTRY, cookie_make(COOKIE_SOLICIT, 0, 0),
                        loc);
}

void
compile_neighbor_side(struct compiler *c, const struct pool *pool,
                      const struct server *server, uint16_t port,
                      const struct ip *ip)
{
    const struct mac mac = path_snat_mac(c->model, pool, ip);

    if (path_server_vlan(pool, server) != pool->path.vlan) {
        compiler_match_side(c, pool, server, port);
        compile_neighbor(c, &mac, ip, &server->loc);
    }
}

/* Completes an advertisement and sends it off. */
static void
emit_advert(struct compiler *c, uint16_t priority, uint32_t flags)
{
    act_set_u32(&c->acts, MFF_ND_RESERVED, flags);
    act_set_u8(&c->acts, MFF_ND_OPTIONS_TYPE, ND_OPT_TARGET_LINKADDR);
    act_move(&c->acts, MFF_ETH_SRC, MFF_ND_TLL, 48);
    act_output(&c->acts, (OVS_FORCE uint16_t) OFPP_IN_PORT);
    compiler_emit(c, compiler_table(c, TABLE_NEIGHBOR), priority,
                  cookie_make(COOKIE_ADVERT, 0, 0), NULL);
}

/* A host that looks for duplicates has no address yet, so that the answer goes
 * to all nodes, unsolicited as far as flags go (RFC 4861, 7.2.4).  It leaves
 * by the port of that host only: nobody else has asked. */
void
compile_neighbor_common(struct compiler *c)
{
    static const struct mac all_nodes_mac = {
        .ea = { 0x33, 0x33, 0, 0, 0, 1 }
    };
    static const struct ip all_nodes = {
        .addr.s6_addr = { 0xff, 0x02, [15] = 1 }
    };
    static const struct in6_addr unspecified;

    match_icmp6(c, ND_NEIGHBOR_ADVERT);
    match_set_ipv6_dst(&c->match, &unspecified);
    act_set_mac(&c->acts, MFF_ETH_DST, &all_nodes_mac);
    act_set_ip_dst(&c->acts, &all_nodes);
    emit_advert(c, 20, OVERRIDE);

    match_icmp6(c, ND_NEIGHBOR_ADVERT);
    emit_advert(c, 10, SOLICITED | OVERRIDE);
}
