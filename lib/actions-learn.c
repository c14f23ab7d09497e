/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "lib/actions.h"

#include <arpa/inet.h>
#include <endian.h>
#include <net/ethernet.h>
#include <netinet/icmp6.h>
#include <string.h>

#include <openvswitch/ofp-actions.h>

#include "lib/layout.h"

/* learn() actions
 * ===============
 *
 * A learn() action is a head and a list of parts of the flow that it makes:
 * what to match, what to load and where to output (ovs-actions(7),
 * "learn"). */

/* Of a VLAN's number, which comes lowest in the tag. */
#define VLAN_BITS 12

/* Begins a learn() action, which goes with the flow that has it, and with it
 * the flows that it made.  The parts follow, then learn_finish(). */
static struct ofpact_learn *
learn_begin(struct ofpbuf *acts, uint8_t table, uint64_t cookie)
{
    struct ofpact_learn *learn = ofpact_put_LEARN(acts);

    learn->table_id = table;
    learn->cookie = htobe64(cookie);
    learn->priority = OFP_DEFAULT_PRIORITY;
    learn->flags = NX_LEARN_F_DELETE_LEARNED;
    return learn;
}

static void
learn_finish(struct ofpbuf *acts)
{
    struct ofpact_learn *learn = acts->header;

    ofpact_finish_LEARN(acts, &learn);
}

/* Appends a match of 'dst' to be what 'src' is in this packet. */
static void
learn_match(struct ofpbuf *acts, enum mf_field_id src, enum mf_field_id dst,
            unsigned int n_bits)
{
    struct ofpact_learn_spec *spec = ofpbuf_put_zeros(acts, sizeof *spec);

    spec->src_type = NX_LEARN_SRC_FIELD;
    spec->src = act_low_bits(src, n_bits);
    spec->dst_type = NX_LEARN_DST_MATCH;
    spec->dst = act_low_bits(dst, n_bits);
    spec->n_bits = n_bits;
}

/* Appends an output to the port that this packet came in by. */
static void
learn_output(struct ofpbuf *acts)
{
    struct ofpact_learn_spec *spec = ofpbuf_put_zeros(acts, sizeof *spec);

    spec->src_type = NX_LEARN_SRC_FIELD;
    spec->src = act_low_bits(MFF_IN_PORT, 16);
    spec->dst_type = NX_LEARN_DST_OUTPUT;
    spec->n_bits = 16;
}

/* Appends a match of 'dst' to be the number 'value', or with NX_LEARN_DST_LOAD
 * as 'dst_type' the action that makes it so. */
static void
learn_value(struct ofpbuf *acts, uint16_t dst_type, uint32_t value,
            enum mf_field_id dst, unsigned int n_bits)
{
    struct ofpact_learn_spec *spec = ofpbuf_put_zeros(acts, sizeof *spec);
    uint32_t left_aligned = htonl(value << (32 - n_bits));
    uint8_t bytes[OFPACT_ALIGNTO] = { 0 };

    spec->src_type = NX_LEARN_SRC_IMMEDIATE;
    spec->dst_type = dst_type;
    spec->dst = act_low_bits(dst, n_bits);
    spec->n_bits = n_bits;
    memcpy(bytes, &left_aligned, sizeof left_aligned);
    ofpbuf_put(acts, bytes, sizeof bytes);
}

void
act_learn_client(struct ofpbuf *acts, uint8_t table, uint64_t cookie,
                 uint16_t idle_timeout, bool in_vlan)
{
    learn_begin(acts, table, cookie)->idle_timeout = idle_timeout;
    learn_match(acts, MFF_ETH_SRC, MFF_ETH_DST, 48);
    if (in_vlan) {
        learn_match(acts, MFF_VLAN_TCI, MFF_VLAN_TCI, VLAN_BITS);
    }
    learn_output(acts);
    learn_finish(acts);
}

/* Appends a match of 'dst' of 'family' to be the source address of this
 * packet. */
static void
learn_source(struct ofpbuf *acts, enum family family, enum mf_field_id dst4,
             enum mf_field_id dst6)
{
    if (family == FAMILY_V4) {
        learn_value(acts, NX_LEARN_DST_MATCH, ETHERTYPE_IP, MFF_ETH_TYPE, 16);
        learn_match(acts, MFF_IPV4_SRC, dst4, 32);
    } else {
        learn_value(acts, NX_LEARN_DST_MATCH, ETHERTYPE_IPV6, MFF_ETH_TYPE,
                    16);
        learn_match(acts, MFF_IPV6_SRC, dst6, 128);
    }
}

void
act_learn_user(struct ofpbuf *acts, uint8_t table, uint64_t cookie,
               enum family family, uint16_t idle_timeout,
               enum mf_field_id key, uint32_t value, enum mf_field_id known)
{
    learn_begin(acts, table, cookie)->idle_timeout = idle_timeout;
    learn_source(acts, family, MFF_IPV4_DST, MFF_IPV6_DST);
    learn_value(acts, NX_LEARN_DST_MATCH, value, key, 32);
    learn_value(acts, NX_LEARN_DST_LOAD, 1, known, 32);
    learn_finish(acts);
}

/* Appends what an advertisement says, and what tells that it is one. */
static void
learn_advert(struct ofpbuf *acts)
{
    learn_value(acts, NX_LEARN_DST_MATCH, ETHERTYPE_IPV6, MFF_ETH_TYPE, 16);
    learn_value(acts, NX_LEARN_DST_MATCH, IPPROTO_ICMPV6, MFF_IP_PROTO, 8);
    learn_value(acts, NX_LEARN_DST_MATCH, ND_NEIGHBOR_ADVERT,
                MFF_ICMPV6_TYPE, 8);
    learn_value(acts, NX_LEARN_DST_MATCH, 0, MFF_ICMPV6_CODE, 8);
    learn_match(acts, MFF_ND_TARGET, MFF_ND_TARGET, 128);
    learn_match(acts, MFF_ND_TLL, MFF_ND_TLL, 48);
    learn_match(acts, MFF_ETH_DST, MFF_ETH_DST, 48);
}

void
act_learn_turn(struct ofpbuf *acts, uint8_t table, uint64_t cookie,
               uint16_t idle_timeout, enum mf_field_id key, uint32_t value,
               enum mf_field_id dst, uint32_t turn)
{
    struct ofpact_learn *learn = learn_begin(acts, table, cookie);

    learn->idle_timeout = idle_timeout;
    /* There is one flow with the cookie, and the switch counts before it
     * replaces that. */
    learn->limit = 2;
    learn_value(acts, NX_LEARN_DST_MATCH, value, key, 32);
    learn_value(acts, NX_LEARN_DST_LOAD, turn, dst, 32);
    learn_finish(acts);
}

void
act_learn_affinity(struct ofpbuf *acts, uint8_t table, uint64_t cookie,
                   enum family family, uint16_t idle_timeout, uint32_t limit,
                   enum mf_field_id key, uint32_t value, enum mf_field_id dst,
                   uint32_t member)
{
    struct ofpact_learn *learn = learn_begin(acts, table, cookie);

    learn->idle_timeout = idle_timeout;
    learn->limit = limit;
    learn_value(acts, NX_LEARN_DST_MATCH, value, key, 32);
    learn_source(acts, family, MFF_IPV4_SRC, MFF_IPV6_SRC);
    learn_value(acts, NX_LEARN_DST_LOAD, member, dst, 32);
    learn_finish(acts);
}

void
act_learn_answer(struct ofpbuf *acts, uint8_t table, uint64_t cookie,
                 enum family family, uint16_t hard_timeout, uint32_t limit)
{
    struct ofpact_learn *learn = learn_begin(acts, table, cookie);

    /* ovs-vswitchd 3.1 aborts if the flow with this action and one that it
     * made time out at the same moment, and the one is to take the other with
     * it. */
    learn->flags = 0;
    learn->hard_timeout = hard_timeout;
    learn->limit = limit;
    if (family == FAMILY_V4) {
        learn_value(acts, NX_LEARN_DST_MATCH, ETHERTYPE_ARP, MFF_ETH_TYPE, 16);
        learn_match(acts, MFF_ARP_SPA, MFF_ARP_SPA, 32);
        learn_match(acts, MFF_ARP_SHA, MFF_ARP_SHA, 48);
        learn_match(acts, MFF_ARP_THA, MFF_ARP_THA, 48);
    } else {
        learn_advert(acts);
    }
    learn_match(acts, MFF_VLAN_TCI, MFF_VLAN_TCI, VLAN_BITS);
    learn_match(acts, MFF_IN_PORT, MFF_IN_PORT, 16);
    learn_finish(acts);
}

void
act_learn_pin(struct ofpbuf *acts, uint8_t table, uint64_t cookie,
              uint16_t pool, uint16_t tier)
{
    learn_begin(acts, table, cookie);
    learn_value(acts, NX_LEARN_DST_MATCH, pool, REG_POOL, 32);
    learn_value(acts, NX_LEARN_DST_MATCH, PIN_LOOK, REG_PIN, 32);
    learn_value(acts, NX_LEARN_DST_LOAD, tier, REG_PIN, 16);
    learn_finish(acts);
}
