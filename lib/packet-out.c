/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "lib/packet-out.h"

#include <openvswitch/match.h>
#include <openvswitch/ofp-actions.h>
#include <openvswitch/ofp-packet.h>
#include <openvswitch/ofpbuf.h>

#include "lib/actions.h"

struct ofpbuf *
packet_out(const void *frame, size_t size, uint16_t vlan, uint16_t port)
{
    struct ofputil_packet_out po = {
        .packet = CONST_CAST(void *, frame),
        .packet_len = size,
        .buffer_id = UINT32_MAX,
    };
    struct ofpbuf *message;
    struct ofpbuf acts;

    ofpbuf_init(&acts, 64);
    if (vlan != VLAN_ANY) {
        act_change_vlan(&acts, VLAN_NONE, vlan);
    }
    act_output(&acts, (port != PACKET_OUT_ALL_PORTS ? port
                       : (OVS_FORCE uint16_t) OFPP_FLOOD));
    match_init_catchall(&po.flow_metadata);
    match_set_in_port(&po.flow_metadata, OFPP_CONTROLLER);
    po.ofpacts = acts.data;
    po.ofpacts_len = acts.size;
    message = ofputil_encode_packet_out(&po, OFPUTIL_P_OF15_OXM);
    ofpbuf_uninit(&acts);
    return message;
}
