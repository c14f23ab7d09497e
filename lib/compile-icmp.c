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
 * connections take it from there.
 *
 *     entry:   to a VIP or from where a server is, ct -> error table
 *     error:   to a server        -> forward table
 *              to a client        -> reverse table
 *              of no connection: to a VIP, to all direct servers
 *              (lib/compile-copies.c), or lost; else passed on
 *
 * An error to an address that servers see instead of their clients is about
 * what they were sent, which is another connection, in another zone; and a VIP
 * may be such an address.  So what is to a VIP is looked up in that zone
 * first, where it becomes an error to the client, and then in the other one.
 *
 * In ovs-vswitchd 3.1 nat_packet_ipv6() takes an ICMPv6 error for a packet of
 * the protocol that it is about, and when it sets an outer address, it
 * corrects what it takes for the checksum: of TCP, the first two bytes of the
 * source within.  That does no harm if that source is set next, as it is on
 * the way to a server, or if the new address is the old one.  So an error to a
 * client gets its VIP as source before it is translated, and one to a server
 * that sees another address than the client's gets that.  Of UDP it is the MTU
 * that is lost, on the way to a server; nothing can be done about that. */

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

/* Has connection tracking look up an error in the pool's zone. */
static void
put_lookup(struct compiler *c, const struct pool *pool, enum family family)
{
    uint16_t zone = path_zone(c->settings, pool);
    uint8_t table = compiler_table(c, TABLE_ERROR);

    if (family == FAMILY_V4) {
        act_ct_nat(&c->acts, zone, table);
    } else {
        act_ct(&c->acts, zone, table);
    }
}

/* Begins a flow for errors of known connections in one direction; ends one for
 * IPv6, which translates them and sends them to 'table'. */
static void
match_known(struct compiler *c, enum family family, uint32_t direction)
{
    compiler_match_ct(c, CT_RELATED | direction, CT_RELATED | CT_REPLY);
    compiler_match_protocol(c, family, PROTOCOL_ANY);
}

static void
emit_translation(struct compiler *c, enum layout_table table,
                 uint16_t priority, const struct source_loc *loc)
{
    act_ct_nat_again(&c->acts, compiler_table(c, table));
    compiler_emit(c, compiler_table(c, TABLE_ERROR), priority,
                  cookie_make(COOKIE_KNOWN_ERROR, 0, 0), loc);
}

void
compile_snat_errors(struct compiler *c, uint16_t member, const struct ip *ip,
                    const struct source_loc *loc)
{
    match_known(c, FAMILY_V6, 0);
    compiler_match_special(c, member, MARK_SNAT);
    act_set_ip_src(&c->acts, ip);
    emit_translation(c, TABLE_FORWARD, 26, loc);
}

/* What servers see instead of their clients is the VIP, unless
 * compile_snat_errors() has another address. */
static void
emit_vip_snat_errors(struct compiler *c, const struct pool *pool,
                     const struct ip *vip)
{
    match_known(c, FAMILY_V6, 0);
    match_set_ct_mark_masked(&c->match, MARK_SNAT, UINT16_MAX);
    compiler_match_ip_dst(c, vip);
    act_set_ip_src(&c->acts, vip);
    emit_translation(c, TABLE_FORWARD, 25, &pool->loc);
}

/* Of IPv4, errors are translated already. */
static void
emit_known(struct compiler *c, enum family family, uint32_t direction,
           enum layout_table table)
{
    match_known(c, family, direction);
    if (family == FAMILY_V4) {
        act_resubmit(&c->acts, compiler_table(c, table));
        compiler_emit(c, compiler_table(c, TABLE_ERROR), 20,
                      cookie_make(COOKIE_KNOWN_ERROR, 0, 0), NULL);
    } else {
        if (direction) {
            act_move(&c->acts, MFF_CT_IPV6_DST, MFF_IPV6_SRC, 128);
        }
        emit_translation(c, table, 20, NULL);
    }
}

void
compile_errors_to(struct compiler *c, const struct pool *pool,
                  const struct ip *ip)
{
    const uint8_t *types;
    size_t n = error_types(ip_family(ip), &types);

    for (size_t i = 0; i < n; i++) {
        compiler_match_vlan(c, pool->path.vlan);
        match_icmp(c, ip_family(ip), types[i]);
        compiler_match_ip_dst(c, ip);
        act_ct_nat(&c->acts, path_snat_zone(c->settings, pool), CT_HERE);
        put_lookup(c, pool, ip_family(ip));
        compiler_emit_entry(c, PRIORITY_ENTRY + compiler_vlan_step(pool),
                            cookie_make(COOKIE_ERROR, 0, 0), &pool->loc);
    }
    compiler_match_to(c, PROTOCOL_ANY, ip, NULL);
    compiler_emit(c, compiler_table(c, TABLE_ERROR), 5,
                  cookie_make(COOKIE_ERROR, 0, 0), &pool->loc);
    if (!ip_is_v4(ip)) {
        emit_vip_snat_errors(c, pool, ip);
    }
    emit_known(c, ip_family(ip), 0, TABLE_FORWARD);
    emit_known(c, ip_family(ip), CT_REPLY, TABLE_REVERSE);
}

void
compile_errors_untracked(struct compiler *c, const struct pool *pool,
                         const struct ip *vip)
{
    const uint8_t *types;
    size_t n = error_types(ip_family(vip), &types);

    for (size_t i = 0; i < n; i++) {
        compiler_match_vlan(c, pool->path.vlan);
        match_icmp(c, ip_family(vip), types[i]);
        compiler_match_ip_dst(c, vip);
        act_resubmit(&c->acts, compiler_table(c, TABLE_ERROR));
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
        put_lookup(c, pool, family);
        compiler_emit_entry(c, (PRIORITY_RETURN_ERROR
                                + compiler_vlan_step(pool)),
                            cookie_make(COOKIE_ERROR, 0, 0), &server->loc);
    }
}

void
compile_errors_common(struct compiler *c)
{
    act_resubmit(&c->acts, compiler_table(c, TABLE_REVERSE));
    compiler_emit(c, compiler_table(c, TABLE_ERROR), 0,
                  cookie_make(COOKIE_KNOWN_ERROR, 0, 0), NULL);
}
