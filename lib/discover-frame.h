/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LB_DISCOVER_FRAME_H
#define LB_DISCOVER_FRAME_H 1

/* The question who has an address, as a frame
 * ===========================================
 *
 * For IPv4 a probe of RFC 5227: an ARP request with sender address 0.0.0.0
 * changes nobody's ARP cache, and routers that answer for others keep quiet.
 *
 * For IPv6 a neighbour solicitation (RFC 4861).  One without an address would
 * be answered to all nodes, where nobody can tell whose answer it is, so it
 * comes from a link-local address that is made of the MAC that asks.  All that
 * it changes is that the host that is asked remembers that address for a
 * while. */

#include <stddef.h>
#include <stdint.h>

#include "lib/address.h"

/* Room for any of them. */
#define DISCOVER_FRAME_SIZE 86

/* Fills in 'frame' with the question of the host 'mac' who has 'ip'.  Returns
 * its size. */
size_t discover_frame(uint8_t frame[DISCOVER_FRAME_SIZE],
                      const struct mac *mac, const struct ip *ip);

#endif /* lib/discover-frame.h */
