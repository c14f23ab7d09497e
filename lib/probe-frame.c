/* SPDX-License-Identifier: Apache-2.0 */

#include "lib/probe-frame.h"

#include <arpa/inet.h>
#include <linux/icmp.h>
#include <linux/ip.h>
#include <net/ethernet.h>
#include <net/if_arp.h>
#include <netinet/icmp6.h>
#include <netinet/if_ether.h>
#include <netinet/ip6.h>
#include <netinet/tcp.h>
#include <string.h>

#include "lib/discover-frame.h"
#include "lib/frame.h"

/* Of packets, in hops. */
#define PROBE_TTL 64

/* What the options of a SYN say a segment may have. */
#define PROBE_MSS 1460

#define PROBE_WINDOW 1024

/* Of the IPv4 header. */
#define DONT_FRAGMENT 0x4000

/* A TCP header with the one option that a SYN cannot do without. */
struct syn {
    struct tcphdr tcp;
    uint8_t option, length;
    uint16_t mss;
};

/* Writing. */

/* Writes the headers of Ethernet and IP before 'size' bytes of 'protocol'.
 * Returns where those go. */
static uint8_t *
put_headers(uint8_t *frame, const struct probe_ends *ends, uint8_t protocol,
            size_t size)
{
    bool v4 = ip_is_v4(&ends->dst);

    memset(frame, 0, PROBE_FRAME_SIZE);
    frame_put_ethernet(frame, &ends->dst_mac, &ends->src_mac,
                       v4 ? ETHERTYPE_IP : ETHERTYPE_IPV6);
    frame += ETH_HLEN;
    if (v4) {
        struct iphdr ip = {
            .version = 4, .ihl = 5, .tot_len = htons(sizeof ip + size),
            .frag_off = htons(DONT_FRAGMENT), .ttl = PROBE_TTL,
            .protocol = protocol,
            .saddr = htonl(ip_v4(&ends->src)),
            .daddr = htonl(ip_v4(&ends->dst)),
        };

        ip.check = htons(frame_checksum(frame_add_words(&ip, sizeof ip, 0)));
        memcpy(frame, &ip, sizeof ip);
        return frame + sizeof ip;
    } else {
        struct ip6_hdr ip6 = {
            .ip6_flow = htonl(6u << 28), .ip6_plen = htons(size),
            .ip6_nxt = protocol, .ip6_hlim = PROBE_TTL,
            .ip6_src = ends->src.addr, .ip6_dst = ends->dst.addr,
        };

        memcpy(frame, &ip6, sizeof ip6);
        return frame + sizeof ip6;
    }
}

static size_t
frame_size(const uint8_t *frame, const uint8_t *end)
{
    size_t size = end - frame;

    return size < FRAME_MIN ? FRAME_MIN : size;
}

static size_t
put_echo(uint8_t *frame, const struct probe_ends *ends, uint32_t nonce)
{
    bool v4 = ip_is_v4(&ends->dst);
    uint8_t protocol = v4 ? IPPROTO_ICMP : IPPROTO_ICMPV6;
    struct frame_echo echo = {
        .type = v4 ? ICMP_ECHO : ICMP6_ECHO_REQUEST,
        .id = htons(nonce >> 16),
        .sequence = htons(nonce & UINT16_MAX),
        .data = "lbgen",
    };
    uint8_t *p = put_headers(frame, ends, protocol, sizeof echo);
    uint32_t sum = v4 ? 0 : frame_add_pseudo(&ends->src, &ends->dst, protocol,
                                             sizeof echo);

    echo.checksum = htons(frame_checksum(
                              frame_add_words(&echo, sizeof echo, sum)));
    memcpy(p, &echo, sizeof echo);
    return frame_size(frame, p + sizeof echo);
}

/* A segment of TCP without data; 'size' bytes of 'segment' are the header. */
static size_t
put_segment(uint8_t *frame, const struct probe_ends *ends,
            struct syn *segment, size_t size)
{
    uint8_t *p = put_headers(frame, ends, IPPROTO_TCP, size);
    uint32_t sum = frame_add_pseudo(&ends->src, &ends->dst, IPPROTO_TCP, size);

    segment->tcp.source = htons(ends->src_port);
    segment->tcp.dest = htons(ends->dst_port);
    segment->tcp.doff = size / 4;
    segment->tcp.check = htons(frame_checksum(
                                   frame_add_words(segment, size, sum)));
    memcpy(p, segment, size);
    return frame_size(frame, p + size);
}

static size_t
put_syn(uint8_t *frame, const struct probe_ends *ends, uint32_t nonce)
{
    struct syn syn = {
        .tcp = { .seq = htonl(nonce), .syn = 1,
                 .window = htons(PROBE_WINDOW) },
        .option = TCPOPT_MAXSEG, .length = TCPOLEN_MAXSEG,
        .mss = htons(PROBE_MSS),
    };

    return put_segment(frame, ends, &syn, sizeof syn);
}

size_t
probe_frame(uint8_t frame[PROBE_FRAME_SIZE], const struct probe_ends *ends,
            uint32_t nonce)
{
    return (ends->kind == PROBE_NEIGHBOR
            ? discover_frame(frame, &ends->src_mac, &ends->dst)
            : ends->kind == PROBE_ECHO ? put_echo(frame, ends, nonce)
            : put_syn(frame, ends, nonce));
}

size_t
probe_frame_reset(uint8_t frame[PROBE_FRAME_SIZE],
                  const struct probe_ends *ends, uint32_t sequence)
{
    struct syn reset = { .tcp = { .seq = htonl(sequence), .rst = 1 } };

    return put_segment(frame, ends, &reset, sizeof reset.tcp);
}

/* Reading. */

/* What is left of a frame. */
struct rest {
    const uint8_t *data;
    size_t size;
};

/* Copies the next 'size' bytes, and skips them.  False if there are fewer. */
static bool
take(struct rest *rest, void *header, size_t size)
{
    if (rest->size < size) {
        return false;
    }
    memcpy(header, rest->data, size);
    rest->data += size;
    rest->size -= size;
    return true;
}

static bool
read_arp(struct rest *rest, struct probe_answer *answer)
{
    struct ether_arp arp;
    uint32_t ip;

    if (!take(rest, &arp, sizeof arp) || arp.arp_op != htons(ARPOP_REPLY)) {
        return false;
    }
    memcpy(&ip, arp.arp_spa, sizeof ip);
    answer->ends.kind = PROBE_NEIGHBOR;
    answer->ends.dst = ip_from_v4(ntohl(ip));
    return true;
}

static bool
read_tcp(struct rest *rest, struct probe_answer *answer)
{
    struct tcphdr tcp;

    if (!take(rest, &tcp, sizeof tcp) || !tcp.ack) {
        return false;
    }
    answer->ends.kind = PROBE_TCP;
    answer->ends.src_port = ntohs(tcp.dest);
    answer->ends.dst_port = ntohs(tcp.source);
    answer->nonce = ntohl(tcp.ack_seq) - 1;
    answer->syn = tcp.syn;
    answer->reset = tcp.rst;
    return true;
}

/* ICMP of both families. */
static bool
read_icmp(struct rest *rest, bool v4, struct probe_answer *answer)
{
    struct nd_neighbor_advert na;
    struct rest whole = *rest;
    struct frame_echo echo;

    if (!take(rest, &echo, 8)) {
        return false;
    } else if (echo.type == (v4 ? ICMP_ECHOREPLY : ICMP6_ECHO_REPLY)) {
        answer->ends.kind = PROBE_ECHO;
        answer->nonce = (uint32_t) ntohs(echo.id) << 16 | ntohs(echo.sequence);
        return true;
    } else if (v4 || echo.type != ND_NEIGHBOR_ADVERT
               || !take(&whole, &na, sizeof na)) {
        return false;
    }
    answer->ends.kind = PROBE_NEIGHBOR;
    answer->ends.dst.addr = na.nd_na_target;
    return true;
}

static bool
read_payload(struct rest *rest, uint8_t protocol, bool v4,
             struct probe_answer *answer)
{
    return (protocol == IPPROTO_TCP ? read_tcp(rest, answer)
            : protocol == (v4 ? IPPROTO_ICMP : IPPROTO_ICMPV6)
            ? read_icmp(rest, v4, answer) : false);
}

static bool
read_ip4(struct rest *rest, struct probe_answer *answer)
{
    struct iphdr ip;
    uint8_t options[60];

    if (!take(rest, &ip, sizeof ip) || ip.ihl * 4u < sizeof ip
        || !take(rest, options, ip.ihl * 4u - sizeof ip)) {
        return false;
    }
    answer->ends.dst = ip_from_v4(ntohl(ip.saddr));
    answer->ends.src = ip_from_v4(ntohl(ip.daddr));
    return read_payload(rest, ip.protocol, true, answer);
}

static bool
read_ip6(struct rest *rest, struct probe_answer *answer)
{
    struct ip6_hdr ip6;

    if (!take(rest, &ip6, sizeof ip6)) {
        return false;
    }
    answer->ends.dst.addr = ip6.ip6_src;
    answer->ends.src.addr = ip6.ip6_dst;
    return read_payload(rest, ip6.ip6_nxt, false, answer);
}

bool
probe_frame_read(const void *frame, size_t size, struct probe_answer *answer)
{
    struct rest rest = { frame, size };
    struct ether_header eth;
    uint16_t tag[2];            /* And the type of what is in the VLAN. */
    uint16_t type;

    memset(answer, 0, sizeof *answer);
    if (!take(&rest, &eth, sizeof eth)) {
        return false;
    }
    memcpy(answer->ends.dst_mac.ea, eth.ether_shost, ETH_ALEN);
    memcpy(answer->ends.src_mac.ea, eth.ether_dhost, ETH_ALEN);
    answer->vlan = VLAN_NONE;
    type = ntohs(eth.ether_type);
    if (type == ETHERTYPE_VLAN) {
        if (!take(&rest, tag, sizeof tag)) {
            return false;
        }
        answer->vlan = ntohs(tag[0]) & 0xfff;
        type = ntohs(tag[1]);
    }
    return (type == ETHERTYPE_ARP ? read_arp(&rest, answer)
            : type == ETHERTYPE_IP ? read_ip4(&rest, answer)
            : type == ETHERTYPE_IPV6 ? read_ip6(&rest, answer) : false);
}
