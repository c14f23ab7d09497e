/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LB_FRAME_H
#define LB_FRAME_H 1

/* What all frames have that lbgen itself makes
 * ============================================ */

#include <stddef.h>
#include <stdint.h>

#include "lib/address.h"

/* The shortest frame that Ethernet allows, without its checksum. */
#define FRAME_MIN 60

/* An echo request or reply (RFC 792, RFC 4443), which look alike in both
 * families.  In network byte order. */
struct frame_echo {
    uint8_t type;
    uint8_t code;
    uint16_t checksum;
    uint16_t id;
    uint16_t sequence;
    char data[16];
};

/* Writes an Ethernet header, of ETH_HLEN bytes. */
void frame_put_ethernet(uint8_t *frame, const struct mac *dst,
                        const struct mac *src, uint16_t type);

/* Adds 16-bit words in network byte order to 'sum', for frame_checksum().
 * 'size' is even. */
uint32_t frame_add_words(const void *data, size_t size, uint32_t sum);

/* The Internet checksum (RFC 1071) of what was added up, in host byte
 * order. */
uint16_t frame_checksum(uint32_t sum);

/* The sum over the pseudo header of 'size' bytes of 'protocol' from 'src' to
 * 'dst' (RFC 9293, 3.1; RFC 8200, 8.1). */
uint32_t frame_add_pseudo(const struct ip *src, const struct ip *dst,
                          uint8_t protocol, size_t size);

/* The link-local address of a host with that MAC (RFC 4291, appendix A). */
struct ip frame_link_local(const struct mac *);

#endif /* lib/frame.h */
