/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "lib/compile-pool.h"

#include <linux/icmp.h>
#include <net/ethernet.h>
#include <net/if_arp.h>
#include <netinet/icmp6.h>

#include "lib/actions.h"
#include "lib/check.h"
#include "lib/path.h"
#include "lib/probe-frame.h"

/* Checks "from: switch"
 * =====================
 *
 * The monitor has the switch send a packet out of the server's port, from the
 * VIP, as lib/prober.h tells.  What the server answers comes in like any reply
 * and meets a flow here, which gives it to the monitor.  Users' packets never
 * do: nobody but the switch sends from the VIP to a server
 *
 *   - by TCP, from a port that no client has: those that servers see instead
 *     of clients' are never below 1024, see path_check_port();
 *   - by ICMP: only a pool of every protocol takes pings, and those that
 *     servers see instead of its clients' cannot be from the VIP;
 *   - and ARP replies and neighbour advertisements to the VIP's MAC answer
 *     nothing but checks: the switch itself never asks.
 *
 * The server can answer at all because the switch answers it for the VIP, or
 * for the source. */

/* Begins a flow for answers to who asks as 'mac', from where 'server' is. */
static void
match_neighbor(struct compiler *c, const struct mac *mac, const struct ip *ip)
{
    struct eth_addr to;

    memcpy(to.ea, mac->ea, sizeof to.ea);
    if (ip_is_v4(ip)) {
        match_set_dl_type(&c->match, htons(ETHERTYPE_ARP));
        match_set_nw_proto(&c->match, ARPOP_REPLY);
        match_set_nw_src(&c->match, htonl(ip_v4(ip)));
        match_set_arp_tha(&c->match, to);
    } else {
        match_set_dl_dst(&c->match, to);
        match_set_dl_type(&c->match, htons(ETHERTYPE_IPV6));
        match_set_nw_proto(&c->match, IPPROTO_ICMPV6);
        match_set_nw_ttl(&c->match, 255);
        match_set_icmp_type(&c->match, ND_NEIGHBOR_ADVERT);
        match_set_icmp_code(&c->match, 0);
        match_set_nd_target(&c->match, &ip->addr);
    }
}

/* Emits the flow whose match is complete. */
static void
emit_answer(struct compiler *c, const struct source_loc *loc)
{
    act_controller(&c->acts, CONTROLLER_ID, PROBE_FRAME_SIZE);
    compiler_emit_entry(c, PRIORITY_CHECK, cookie_make(COOKIE_CHECK, 0, 0),
                        loc);
}

/* Answers to ARP or neighbour discovery for 'ip', from 'vlan'. */
static void
emit_neighbor(struct compiler *c, const struct pool *pool,
              const struct server *server, const struct mac *mac,
              const struct ip *ip)
{
    compiler_match_vlan(c, path_server_vlan(pool, server));
    match_neighbor(c, mac, ip);
    emit_answer(c, &server->loc);
}

/* Answers from 'ip' to the source of 'check'. */
static void
emit_reply(struct compiler *c, const struct pool *pool,
           const struct server *server, const struct check *check,
           uint16_t port)
{
    const struct ip *ip = check_address(check, pool, server);
    const struct ip *source = check_source(check, pool, server);
    bool v4 = ip_is_v4(ip);

    compiler_match_side(c, pool, server, port);
    if (check->type == CHECK_TCP) {
        uint16_t from = check_port(check, server);
        struct port_set ports = { .n = 1, .ranges = { { from, from } } };

        compiler_match_from(c, PROTOCOL_TCP, ip, &ports);
        match_set_tp_dst(&c->match, htons(path_check_port(
                             c->model, pool->path.vlan, source)));
    } else {
        compiler_match_from(c, PROTOCOL_ANY, ip, NULL);
        match_set_nw_proto(&c->match, v4 ? IPPROTO_ICMP : IPPROTO_ICMPV6);
        match_set_icmp_type(&c->match, v4 ? ICMP_ECHOREPLY : ICMP6_ECHO_REPLY);
        match_set_icmp_code(&c->match, 0);
    }
    compiler_match_ip_dst(c, source);
    compiler_match_fragment(c, false);
    emit_answer(c, &server->loc);
}

/* Has the switch answer the server, or the router before it, for the source of
 * 'check'.  For VIPs it does so anyway in the VLAN of the pool. */
static void
emit_claim(struct compiler *c, const struct pool *pool,
           const struct server *server, const struct check *check,
           uint16_t port)
{
    const struct ip *source = check_source(check, pool, server);
    struct mac mac = check_source_mac(check, pool);

    if (check->has_source
        || path_server_vlan(pool, server) != pool->path.vlan) {
        compiler_match_side(c, pool, server, port);
        compile_claim(c, &mac, source, &server->loc);
    }
}

/* A server that has not been found is looked for, whatever its check is. */
static void
compile_check(struct compiler *c, const struct pool *pool,
              const struct server *server, const struct check *check)
{
    struct mac mac = check_source_mac(check, pool);

    if (server->missing) {
        emit_neighbor(c, pool, server, &mac, &path_next_hop(server)->ip[0]);
    } else if (!check_has_source(check)) {
        emit_neighbor(c, pool, server, &mac,
                      check_address(check, pool, server));
    } else {
        uint16_t port = compiler_port(c, server);

        if (port != PORT_NONE) {
            emit_reply(c, pool, server, check, port);
            emit_claim(c, pool, server, check, port);
        }
    }
}

void
compile_checks(struct compiler *c, const struct pool *pool)
{
    for (size_t i = 0; i < pool->n_servers; i++) {
        const struct check *check = server_check(pool, &pool->servers[i]);

        if (check && check->from == CHECK_FROM_SWITCH) {
            compile_check(c, pool, &pool->servers[i], check);
        }
    }
}
