/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LB_PACKET_OUT_H
#define LB_PACKET_OUT_H 1

/* Frames that the switch sends for lbgen
 * ====================================== */

#include <stddef.h>
#include <stdint.h>

struct ofpbuf;

/* Out of every port that floods. */
#define PACKET_OUT_ALL_PORTS UINT16_MAX

/* The message that has the switch send 'frame', which is untagged, out of
 * 'port' and in 'vlan', which may be VLAN_NONE or VLAN_ANY: untagged.  No flow
 * sees it. */
struct ofpbuf *packet_out(const void *frame, size_t size, uint16_t vlan,
                          uint16_t port);

#endif /* lib/packet-out.h */
