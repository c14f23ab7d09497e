/* SPDX-License-Identifier: Apache-2.0 */

#include "lib/discover-frame.h"

#include <arpa/inet.h>
#include <net/ethernet.h>
#include <net/if_arp.h>
#include <netinet/icmp6.h>
#include <netinet/if_ether.h>
#include <netinet/ip6.h>
#include <string.h>

/* The shortest frame that Ethernet allows, without its checksum. */
#define FRAME_MIN 60

/* A solicitation with the option that says who asks. */
struct solicitation {
    struct nd_neighbor_solicit ns;
    struct nd_opt_hdr option;
    struct mac mac;
};

/* Writes an Ethernet header. */
static void
put_ethernet(uint8_t *frame, const struct mac *dst, const struct mac *src,
             uint16_t type)
{
    struct ether_header eth = { .ether_type = htons(type) };

    memcpy(eth.ether_dhost, dst->ea, sizeof dst->ea);
    memcpy(eth.ether_shost, src->ea, sizeof src->ea);
    memcpy(frame, &eth, sizeof eth);
}

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

    put_ethernet(frame, &broadcast, mac, ETHERTYPE_ARP);
    memcpy(frame + ETH_HLEN, &arp, sizeof arp);
    return FRAME_MIN;
}

/* Adds up 16-bit words in network byte order, for the Internet checksum
 * (RFC 1071).  'size' is even. */
static uint32_t
add_words(const void *data_, size_t size, uint32_t sum)
{
    const uint8_t *data = data_;

    for (size_t i = 0; i < size; i += 2) {
        sum += data[i] << 8 | data[i + 1];
    }
    return sum;
}

/* The checksum of an ICMPv6 message with its pseudo header (RFC 8200, 8.1). */
static uint16_t
checksum_icmp6(const struct ip6_hdr *ip6, const void *message, size_t size)
{
    uint32_t sum = add_words(&ip6->ip6_src, sizeof ip6->ip6_src, 0);

    sum = add_words(&ip6->ip6_dst, sizeof ip6->ip6_dst, sum);
    sum = add_words(message, size, sum + (uint32_t) size + IPPROTO_ICMPV6);
    while (sum >> 16) {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    return ~sum & 0xffff;
}

/* The link-local address of a host with that MAC (RFC 4291, appendix A). */
static struct in6_addr
link_local(const struct mac *mac)
{
    return (struct in6_addr) {
        .s6_addr = { 0xfe, 0x80, 0, 0, 0, 0, 0, 0,
                     mac->ea[0] ^ 2, mac->ea[1], mac->ea[2], 0xff,
                     0xfe, mac->ea[3], mac->ea[4], mac->ea[5] }
    };
}

/* To the solicited-node multicast address of 'ip' (RFC 4291, 2.7.1), which is
 * the one of all hosts whose addresses end alike. */
static size_t
put_solicitation(uint8_t *frame, const struct mac *mac, const struct ip *ip)
{
    const uint8_t *a = ip->addr.s6_addr;
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
        .ip6_src = link_local(mac),
        .ip6_dst.s6_addr = { 0xff, 0x02, [11] = 1, [12] = 0xff, [13] = a[13],
                             [14] = a[14], [15] = a[15] },
    };

    s.ns.nd_ns_hdr.icmp6_cksum = htons(checksum_icmp6(&ip6, &s, sizeof s));
    put_ethernet(frame, &group_mac, mac, ETHERTYPE_IPV6);
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
