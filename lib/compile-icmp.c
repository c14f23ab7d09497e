/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "lib/compile-pool.h"

#include <net/ethernet.h>
#include <netinet/icmp6.h>

#include "lib/actions.h"
#include "lib/path.h"

/* ICMP and ICMPv6
 * ===============
 *
 * Echo requests to a VIP are answered by the switch, unless a pool for all
 * protocols takes them: then there is no telling which server would answer,
 * and only that the VIP is there is said.  What is in fragments cannot be
 * answered in parts.
 *
 * Errors (RFC 792, RFC 4443) carry the beginning of the packet that they are
 * about, whose addresses and ports tell a connection.  Connection tracking
 * looks it up, translates the packet within back to what its sender had sent,
 * and gives the error the connection's mark, so that the flows for known
 * connections take it from there.  What belongs to none is lost if it was sent
 * to a VIP, and passed on if it came from where a server is. */

/* Types of RFC 792.  (The system's header for them has a "struct ip" of its
 * own.) */
enum icmp_type {
    ICMP_ECHO_REPLY = 0,
    ICMP_UNREACHABLE = 3,
    ICMP_ECHO_REQUEST = 8,
    ICMP_TIME_EXCEEDED = 11,
    ICMP_PARAMETER_PROBLEM = 12
};

/* What answers to echo requests begin with. */
#define ECHO_TTL 64

static void
match_icmp(struct compiler *c, enum family family, uint8_t type)
{
    bool v4 = family == FAMILY_V4;

    match_set_dl_type(&c->match, htons(v4 ? ETHERTYPE_IP : ETHERTYPE_IPV6));
    match_set_nw_proto(&c->match, v4 ? IPPROTO_ICMP : IPPROTO_ICMPV6);
    match_set_icmp_type(&c->match, type);
}

/* Turns the packet around, so that it comes from 'vip'. */
static void
put_reply(struct compiler *c, const struct pool *pool, const struct ip *vip)
{
    const struct mac mac = path_snat_mac(c->model, pool, vip);
    bool v4 = ip_is_v4(vip);

    act_move(&c->acts, MFF_ETH_SRC, MFF_ETH_DST, 48);
    act_set_mac(&c->acts, MFF_ETH_SRC, &mac);
    if (v4) {
        act_move(&c->acts, MFF_IPV4_SRC, MFF_IPV4_DST, 32);
    } else {
        act_move(&c->acts, MFF_IPV6_SRC, MFF_IPV6_DST, 128);
    }
    act_set_ip_src(&c->acts, vip);
    act_set_u8(&c->acts, MFF_IP_TTL, ECHO_TTL);
    if (v4) {
        act_set_u8(&c->acts, MFF_ICMPV4_TYPE, ICMP_ECHO_REPLY);
    } else {
        act_set_u8(&c->acts, MFF_ICMPV6_TYPE, ICMP6_ECHO_REPLY);
    }
    act_output(&c->acts, (OVS_FORCE uint16_t) OFPP_IN_PORT);
}

void
compile_echo(struct compiler *c, const struct pool *pool, const struct ip *vip)
{
    bool v4 = ip_is_v4(vip);

    compiler_match_vlan(c, pool->path.vlan);
    match_icmp(c, ip_family(vip), v4 ? ICMP_ECHO_REQUEST : ICMP6_ECHO_REQUEST);
    match_set_icmp_code(&c->match, 0);
    compiler_match_ip_dst(c, vip);
    compiler_match_fragment(c, false);
    put_reply(c, pool, vip);
    compiler_emit_entry(c, PRIORITY_ECHO,
                        cookie_make(v4 ? COOKIE_ECHO : COOKIE_ECHO6, 0, 0),
                        &pool->loc);
}

/* The types of errors of a family; returns how many there are. */
static size_t
error_types(enum family family, const uint8_t **types)
{
    static const uint8_t v4[] = {
        ICMP_UNREACHABLE, ICMP_TIME_EXCEEDED, ICMP_PARAMETER_PROBLEM
    };
    static const uint8_t v6[] = {
        ICMP6_DST_UNREACH, ICMP6_PACKET_TOO_BIG, ICMP6_TIME_EXCEEDED,
        ICMP6_PARAM_PROB
    };

    *types = family == FAMILY_V4 ? v4 : v6;
    return family == FAMILY_V4 ? LB_ARRAY_SIZE(v4) : LB_ARRAY_SIZE(v6);
}

void
compile_errors_to(struct compiler *c, const struct pool *pool,
                  const struct ip *vip)
{
    const uint8_t *types;
    size_t n = error_types(ip_family(vip), &types);

    for (size_t i = 0; i < n; i++) {
        compiler_match_vlan(c, pool->path.vlan);
        match_icmp(c, ip_family(vip), types[i]);
        compiler_match_ip_dst(c, vip);
        act_ct_nat(&c->acts, path_zone(c->settings, pool),
                   compiler_table(c, TABLE_FORWARD));
        compiler_emit_entry(c, PRIORITY_ENTRY, cookie_make(COOKIE_ERROR, 0, 0),
                            &pool->loc);
    }
}

void
compile_errors_from(struct compiler *c, const struct pool *pool,
                    const struct server *server, enum family family,
                    uint16_t port)
{
    const uint8_t *types;
    size_t n = error_types(family, &types);

    /* Where pools of several VLANs may have their servers, there is no telling
     * whose connections are meant. */
    if (path_server_vlan(pool, server) != pool->path.vlan) {
        return;
    }
    for (size_t i = 0; i < n; i++) {
        compiler_match_vlan(c, pool->path.vlan);
        match_icmp(c, family, types[i]);
        match_set_in_port(&c->match, (OVS_FORCE ofp_port_t) port);
        act_ct_nat(&c->acts, path_zone(c->settings, pool),
                   compiler_table(c, TABLE_REVERSE));
        compiler_emit_entry(c, PRIORITY_RETURN_ERROR,
                            cookie_make(COOKIE_ERROR, 0, 0), &server->loc);
    }
}
