/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "lib/compile-pool.h"

#include <net/ethernet.h>
#include <net/if_arp.h>

#include "lib/actions.h"
#include "lib/path.h"

void
compiler_put_arp_reply(struct compiler *c, const struct mac *mac,
                       const struct ip *ip)
{
    struct ofpbuf *acts = &c->acts;

    if (!ip) {
        act_move(acts, MFF_ARP_TPA, REG_SCRATCH, 32);
    }
    act_move(acts, MFF_ETH_SRC, MFF_ETH_DST, 48);
    act_set_mac(acts, MFF_ETH_SRC, mac);
    act_set_u16(acts, MFF_ARP_OP, ARPOP_REPLY);
    act_move(acts, MFF_ARP_SHA, MFF_ARP_THA, 48);
    act_set_mac(acts, MFF_ARP_SHA, mac);
    act_move(acts, MFF_ARP_SPA, MFF_ARP_TPA, 32);
    if (ip) {
        act_set_u32(acts, MFF_ARP_SPA, ip_v4(ip));
    } else {
        act_move(acts, REG_SCRATCH, MFF_ARP_SPA, 32);
    }
    act_output(acts, (OVS_FORCE uint16_t) OFPP_IN_PORT);
}

void
compile_arp(struct compiler *c, const struct mac *mac, const struct ip *ip,
            const struct source_loc *loc)
{
    match_set_dl_type(&c->match, htons(ETHERTYPE_ARP));
    match_set_nw_proto(&c->match, ARPOP_REQUEST);
    match_set_nw_dst(&c->match, htonl(ip_v4(ip)));
    compiler_put_arp_reply(c, mac, ip);
    compiler_emit_entry(c, PRIORITY_ENTRY, cookie_make(COOKIE_ARP, 0, 0), loc);
}

void
compile_arp_side(struct compiler *c, const struct pool *pool,
                 const struct server *server, uint16_t port,
                 const struct ip *ip)
{
    const struct mac mac = path_snat_mac(c->model, pool, ip);

    if (path_server_vlan(pool, server) != pool->path.vlan) {
        compiler_match_side(c, pool, server, port);
        compile_arp(c, &mac, ip, &server->loc);
    }
}
