/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LB_PROBE_FRAME_H
#define LB_PROBE_FRAME_H 1

/* Checks from the switch, as frames, and their answers
 * ====================================================
 *
 * A check is one packet: an ARP request or neighbour solicitation
 * (lib/discover-frame.h), an echo request, or a SYN.  The last two carry a
 * number that comes back in the answer, so that late answers are not taken for
 * new ones.  A connection that a SYN has begun is ended by a reset at once,
 * before the server's program hears of it.
 *
 * Pure. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/address.h"

/* Room for any of them, and as much of an answer as matters. */
#define PROBE_FRAME_SIZE 128

enum probe_kind {
    PROBE_NEIGHBOR,             /* ARP or neighbour discovery. */
    PROBE_ECHO,
    PROBE_TCP
};

/* Who asks whom. */
struct probe_ends {
    enum probe_kind kind;
    struct mac src_mac, dst_mac;
    struct ip src, dst;         /* For PROBE_NEIGHBOR only 'dst'. */
    uint16_t src_port, dst_port;    /* For PROBE_TCP. */
};

/* Fills in 'frame' with the question, marked with 'nonce'.  Returns its
 * size. */
size_t probe_frame(uint8_t frame[PROBE_FRAME_SIZE], const struct probe_ends *,
                   uint32_t nonce);

/* Likewise, with the reset that ends a connection whose other side expects
 * 'sequence' next. */
size_t probe_frame_reset(uint8_t frame[PROBE_FRAME_SIZE],
                         const struct probe_ends *, uint32_t sequence);

/* What comes back. */
struct probe_answer {
    struct probe_ends ends;     /* Turned round: 'dst' is who answers. */
    uint16_t vlan;              /* VLAN_NONE if it is untagged. */
    uint32_t nonce;             /* Of the question; means nothing for
                                 * PROBE_NEIGHBOR. */
    bool syn, reset;            /* For PROBE_TCP. */
};

/* Reads the first 'size' bytes of a frame.  False if it is no answer. */
bool probe_frame_read(const void *frame, size_t size, struct probe_answer *);

#endif /* lib/probe-frame.h */
