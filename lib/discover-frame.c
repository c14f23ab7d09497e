/* SPDX-License-Identifier: Apache-2.0 */

#include "lib/discover-frame.h"

#include <arpa/inet.h>
#include <net/ethernet.h>
#include <net/if_arp.h>
#include <netinet/icmp6.h>
#include <netinet/if_ether.h>
#include <netinet/ip6.h>
#include <string.h>

#include "lib/frame.h"

/* A solicitation with the option that says who asks. */
struct solicitation {
    struct nd_neighbor_solicit ns;
    struct nd_opt_hdr option;
    struct mac mac;
};

static size_t
put_arp(uint8_t *frame, const struct mac *mac, const struct ip *ip)
{
    static const struct mac broadcast = {
        .ea = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff }
    };
    uint32_t target = htonl(ip_v4(ip));
    struct ether_arp arp = {
        .ea_hdr = {
            .ar_hrd = htons(ARPHRD_ETHER),
            .ar_pro = htons(ETHERTYPE_IP),
            .ar_hln = ETH_ALEN,
            .ar_pln = sizeof target,
            .ar_op = htons(ARPOP_REQUEST),
        },
    };

    memcpy(arp.arp_sha, mac->ea, sizeof arp.arp_sha);
    memcpy(arp.arp_tpa, &target, sizeof arp.arp_tpa);

    frame_put_ethernet(frame, &broadcast, mac, ETHERTYPE_ARP);
    memcpy(frame + ETH_HLEN, &arp, sizeof arp);
    return FRAME_MIN;
}

/* To the solicited-node multicast address of 'ip' (RFC 4291, 2.7.1), which is
 * the one of all hosts whose addresses end alike. */
static size_t
put_solicitation(uint8_t *frame, const struct mac *mac, const struct ip *ip)
{
    const uint8_t *a = ip->addr.s6_addr;
    struct ip source = frame_link_local(mac);
    struct ip group = {
        .addr.s6_addr = { 0xff, 0x02, [11] = 1, [12] = 0xff, [13] = a[13],
                          [14] = a[14], [15] = a[15] }
    };
    struct mac group_mac = {
        .ea = { 0x33, 0x33, 0xff, a[13], a[14], a[15] }
    };
    struct solicitation s = {
        .ns.nd_ns_hdr.icmp6_type = ND_NEIGHBOR_SOLICIT,
        .ns.nd_ns_target = ip->addr,
        .option = { ND_OPT_SOURCE_LINKADDR, 1 },
        .mac = *mac,
    };
    struct ip6_hdr ip6 = {
        .ip6_flow = htonl(6u << 28),
        .ip6_plen = htons(sizeof s),
        .ip6_nxt = IPPROTO_ICMPV6,
        .ip6_hlim = 255,
        .ip6_src = source.addr,
        .ip6_dst = group.addr,
    };
    uint32_t sum = frame_add_pseudo(&source, &group, IPPROTO_ICMPV6, sizeof s);

    s.ns.nd_ns_hdr.icmp6_cksum = htons(frame_checksum(
                                     frame_add_words(&s, sizeof s, sum)));
    frame_put_ethernet(frame, &group_mac, mac, ETHERTYPE_IPV6);
    memcpy(frame + ETH_HLEN, &ip6, sizeof ip6);
    memcpy(frame + ETH_HLEN + sizeof ip6, &s, sizeof s);
    return ETH_HLEN + sizeof ip6 + sizeof s;
}

size_t
discover_frame(uint8_t frame[DISCOVER_FRAME_SIZE], const struct mac *mac,
               const struct ip *ip)
{
    memset(frame, 0, DISCOVER_FRAME_SIZE);
    return (ip_is_v4(ip) ? put_arp(frame, mac, ip)
            : put_solicitation(frame, mac, ip));
}
