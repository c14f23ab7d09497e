/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "lib/compile-pool.h"

#include <net/ethernet.h>
#include <net/if_arp.h>

#include "lib/actions.h"

/* Turns a request for the VIP (RFC 826), from wherever and to whatever
 * Ethernet address, into the reply and sends it back.  A probe (RFC 5227) has
 * sender address 0.0.0.0, which becomes the target of the reply, as it
 * should. */
void
compile_arp(struct compiler *c, const struct pool *pool,
            const struct ip *vip)
{
    struct ofpbuf *acts = &c->acts;

    match_set_dl_type(&c->match, htons(ETHERTYPE_ARP));
    match_set_nw_proto(&c->match, ARPOP_REQUEST);
    match_set_nw_dst(&c->match, htonl(ip_v4(vip)));

    act_move(acts, MFF_ETH_SRC, MFF_ETH_DST, 48);
    act_set_mac(acts, MFF_ETH_SRC, &pool->vip_mac);
    act_set_u16(acts, MFF_ARP_OP, ARPOP_REPLY);
    act_move(acts, MFF_ARP_SHA, MFF_ARP_THA, 48);
    act_set_mac(acts, MFF_ARP_SHA, &pool->vip_mac);
    act_move(acts, MFF_ARP_SPA, MFF_ARP_TPA, 32);
    act_set_u32(acts, MFF_ARP_SPA, ip_v4(vip));
    act_output(acts, (OVS_FORCE uint16_t) OFPP_IN_PORT);
    compiler_emit_entry(c, PRIORITY_ENTRY, cookie_make(COOKIE_ARP, 0, 0),
                        &pool->loc);
}
