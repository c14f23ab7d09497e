/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "lib/actions.h"

#include <arpa/inet.h>
#include <endian.h>
#include <net/ethernet.h>
#include <string.h>

#include <openvswitch/ofp-actions.h>

#include "lib/layout.h"

static void
set_field(struct ofpbuf *acts, enum mf_field_id id,
          const union mf_value *value, const union mf_value *mask)
{
    ofpact_put_set_field(acts, mf_from_id(id), value, mask);
}

void
act_set_u8(struct ofpbuf *acts, enum mf_field_id id, uint8_t x)
{
    union mf_value value = { .u8 = x };

    set_field(acts, id, &value, NULL);
}

void
act_set_u16(struct ofpbuf *acts, enum mf_field_id id, uint16_t x)
{
    union mf_value value = { .be16 = htons(x) };

    set_field(acts, id, &value, NULL);
}

void
act_set_u32(struct ofpbuf *acts, enum mf_field_id id, uint32_t x)
{
    union mf_value value = { .be32 = htonl(x) };

    set_field(acts, id, &value, NULL);
}

void
act_set_bits(struct ofpbuf *acts, enum mf_field_id id, uint32_t x, uint32_t m)
{
    union mf_value value = { .be32 = htonl(x) };
    union mf_value mask = { .be32 = htonl(m) };

    set_field(acts, id, &value, &mask);
}

void
act_set_mac(struct ofpbuf *acts, enum mf_field_id id, const struct mac *mac)
{
    union mf_value value;

    memset(&value, 0, sizeof value);
    memcpy(value.mac.ea, mac->ea, sizeof mac->ea);
    set_field(acts, id, &value, NULL);
}

static void
set_ipv6(struct ofpbuf *acts, enum mf_field_id id, const struct ip *ip)
{
    union mf_value value = { .ipv6 = ip->addr };

    set_field(acts, id, &value, NULL);
}

void
act_set_ip_dst(struct ofpbuf *acts, const struct ip *ip)
{
    if (ip_is_v4(ip)) {
        act_set_u32(acts, MFF_IPV4_DST, ip_v4(ip));
    } else {
        set_ipv6(acts, MFF_IPV6_DST, ip);
    }
}

void
act_set_ip_src(struct ofpbuf *acts, const struct ip *ip)
{
    if (ip_is_v4(ip)) {
        act_set_u32(acts, MFF_IPV4_SRC, ip_v4(ip));
    } else {
        set_ipv6(acts, MFF_IPV6_SRC, ip);
    }
}

struct mf_subfield
act_low_bits(enum mf_field_id id, unsigned int n_bits)
{
    return (struct mf_subfield) {
        .field = mf_from_id(id), .ofs = 0, .n_bits = n_bits
    };
}

void
act_move(struct ofpbuf *acts, enum mf_field_id src, enum mf_field_id dst,
         unsigned int n_bits)
{
    struct ofpact_reg_move *move = ofpact_put_REG_MOVE(acts);

    move->src = act_low_bits(src, n_bits);
    move->dst = act_low_bits(dst, n_bits);
}

void
act_move_at(struct ofpbuf *acts, enum mf_field_id src, unsigned int src_ofs,
            enum mf_field_id dst, unsigned int dst_ofs, unsigned int n_bits)
{
    struct ofpact_reg_move *move = ofpact_put_REG_MOVE(acts);

    move->src = act_low_bits(src, n_bits);
    move->src.ofs = src_ofs;
    move->dst = act_low_bits(dst, n_bits);
    move->dst.ofs = dst_ofs;
}

void
act_shift_left(struct ofpbuf *acts, enum mf_field_id field)
{
    act_move_at(acts, field, 0, field, 1, 31);
}

void
act_look_at(struct ofpbuf *acts, enum mf_field_id field_id,
            enum mf_field_id scratch)
{
    const struct mf_field *field = mf_from_id(field_id);

    for (unsigned int ofs = 0; ofs < field->n_bits; ofs += 32) {
        unsigned int left = field->n_bits - ofs;

        act_move_at(acts, field_id, ofs, scratch, 0, left < 32 ? left : 32);
    }
}

void
act_resubmit(struct ofpbuf *acts, uint8_t table)
{
    struct ofpact_resubmit *resubmit = ofpact_put_RESUBMIT(acts);

    resubmit->in_port = OFPP_IN_PORT;
    resubmit->table_id = table;
}

void
act_output(struct ofpbuf *acts, uint16_t port)
{
    ofpact_put_OUTPUT(acts)->port = (OVS_FORCE ofp_port_t) port;
}

void
act_output_field(struct ofpbuf *acts, enum mf_field_id field,
                 unsigned int n_bits)
{
    struct ofpact_output_reg *output = ofpact_put_OUTPUT_REG(acts);

    output->max_len = UINT16_MAX;
    output->src = act_low_bits(field, n_bits);
}

void
act_group(struct ofpbuf *acts, uint32_t group_id)
{
    ofpact_put_GROUP(acts)->group_id = group_id;
}

void
act_ct_clear(struct ofpbuf *acts)
{
    ofpact_put_CT_CLEAR(acts);
}

/* Begins a ct() action.  Returns its place in 'acts', for ct_finish(). */
static size_t
ct_begin(struct ofpbuf *acts, uint16_t flags, uint16_t zone, uint8_t table)
{
    size_t ofs = acts->size;
    struct ofpact_conntrack *ct = ofpact_put_CT(acts);

    ct->flags = flags;
    ct->zone_imm = zone;
    ct->recirc_table = table;
    return ofs;
}

static void
ct_finish(struct ofpbuf *acts, size_t ofs)
{
    struct ofpact_conntrack *ct = ofpbuf_at_assert(acts, ofs, sizeof *ct);

    acts->header = ct;
    ofpact_finish_CT(acts, &ct);
}

void
act_ct_nat(struct ofpbuf *acts, uint16_t zone, uint8_t table)
{
    size_t ofs = ct_begin(acts, 0, zone, table);

    ofpact_put_NAT(acts);
    ct_finish(acts, ofs);
}

void
act_ct(struct ofpbuf *acts, uint16_t zone, uint8_t table)
{
    ct_finish(acts, ct_begin(acts, 0, zone, table));
}

void
act_ct_nat_again(struct ofpbuf *acts, uint8_t table)
{
    size_t ofs = ct_begin(acts, 0, 0, table);
    struct ofpact_conntrack *ct = ofpbuf_at_assert(acts, ofs, sizeof *ct);

    ct->zone_src = act_low_bits(MFF_CT_ZONE, 16);
    ofpact_put_NAT(acts);
    ct_finish(acts, ofs);
}

/* Appends the nat() of a ct() action, to or from 'ip'. */
static struct ofpact_nat *
put_nat(struct ofpbuf *acts, uint16_t flags, const struct ip *ip)
{
    struct ofpact_nat *nat = ofpact_put_NAT(acts);

    nat->flags = flags;
    if (ip_is_v4(ip)) {
        nat->range_af = AF_INET;
        nat->range.addr.ipv4.min = htonl(ip_v4(ip));
    } else {
        nat->range_af = AF_INET6;
        nat->range.addr.ipv6.min = ip->addr;
    }
    return nat;
}

void
act_ct_commit(struct ofpbuf *acts, uint16_t zone, const struct ip *ip,
              uint16_t port, uint16_t member, uint16_t special)
{
    size_t ofs = ct_begin(acts, NX_CT_F_COMMIT, zone, NX_CT_RECIRC_NONE);
    uint32_t mark = (uint32_t) member << MARK_MEMBER_SHIFT;

    put_nat(acts, NX_NAT_F_DST, ip)->range.proto.min = port;
    if (special) {
        act_set_u32(acts, MFF_CT_MARK, mark | special);
        act_move(acts, MFF_ETH_SRC, MFF_CT_LABEL, LABEL_MAC_BITS);
        act_move_at(acts, MFF_IN_PORT, 0, MFF_CT_LABEL, LABEL_PORT_OFS,
                    MARK_PORT_BITS);
    } else {
        act_move(acts, MFF_IN_PORT, MFF_CT_MARK, MARK_PORT_BITS);
        act_set_bits(acts, MFF_CT_MARK, mark, MARK_MEMBER_MASK);
    }
    ct_finish(acts, ofs);
}

void
act_ct_snat(struct ofpbuf *acts, uint16_t zone, const struct ip *ip,
            const struct port_set *ports)
{
    size_t ofs = ct_begin(acts, NX_CT_F_COMMIT, zone, NX_CT_RECIRC_NONE);
    struct ofpact_nat *nat = put_nat(acts, NX_NAT_F_SRC, ip);

    if (ports->n) {
        nat->range.proto.min = ports->ranges[0].first;
        nat->range.proto.max = ports->ranges[0].last;
    }
    ct_finish(acts, ofs);
}

void
act_change_vlan(struct ofpbuf *acts, uint16_t from, uint16_t to)
{
    if (from == to) {
        return;
    } else if (to == VLAN_NONE) {
        ofpact_put_STRIP_VLAN(acts);
        return;
    } else if (from == VLAN_NONE) {
        ofpact_put_PUSH_VLAN(acts)->ethertype = htons(ETHERTYPE_VLAN);
    }
    act_set_u16(acts, MFF_VLAN_VID, OFPVID12_PRESENT | to);
}

void
act_controller(struct ofpbuf *acts, uint16_t controller, uint16_t max_len)
{
    struct ofpact_controller *oc = ofpact_put_CONTROLLER(acts);

    oc->controller_id = controller;
    oc->max_len = max_len;
    oc->reason = OFPR_ACTION;
    oc->meter_id = NX_CTLR_NO_METER;
    ofpact_finish_CONTROLLER(acts, &oc);
}

void
act_note(struct ofpbuf *acts, const void *data, size_t size)
{
    struct ofpact_note *note = ofpact_put_NOTE(acts);

    note->length = size;
    ofpbuf_put(acts, data, size);
    note = acts->header;
    ofpact_finish_NOTE(acts, &note);
}
