/* SPDX-License-Identifier: Apache-2.0 */

#include "lib/frame.h"

#include <arpa/inet.h>
#include <net/ethernet.h>
#include <string.h>

void
frame_put_ethernet(uint8_t *frame, const struct mac *dst,
                   const struct mac *src, uint16_t type)
{
    struct ether_header eth = { .ether_type = htons(type) };

    memcpy(eth.ether_dhost, dst->ea, sizeof dst->ea);
    memcpy(eth.ether_shost, src->ea, sizeof src->ea);
    memcpy(frame, &eth, sizeof eth);
}

uint32_t
frame_add_words(const void *data_, size_t size, uint32_t sum)
{
    const uint8_t *data = data_;

    for (size_t i = 0; i < size; i += 2) {
        sum += data[i] << 8 | data[i + 1];
    }
    return sum;
}

uint16_t
frame_checksum(uint32_t sum)
{
    while (sum >> 16) {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    return ~sum & 0xffff;
}

uint32_t
frame_add_pseudo(const struct ip *src, const struct ip *dst, uint8_t protocol,
                 size_t size)
{
    uint32_t sum = (uint32_t) size + protocol;

    /* An IPv4 address is the end of a v4-mapped one. */
    size_t skip = ip_is_v4(src) ? sizeof src->addr - 4 : 0;

    sum = frame_add_words(src->addr.s6_addr + skip, sizeof src->addr - skip,
                          sum);
    return frame_add_words(dst->addr.s6_addr + skip, sizeof dst->addr - skip,
                           sum);
}

struct ip
frame_link_local(const struct mac *mac)
{
    return (struct ip) {
        .addr.s6_addr = { 0xfe, 0x80, 0, 0, 0, 0, 0, 0,
                          mac->ea[0] ^ 2, mac->ea[1], mac->ea[2], 0xff,
                          0xfe, mac->ea[3], mac->ea[4], mac->ea[5] }
    };
}
