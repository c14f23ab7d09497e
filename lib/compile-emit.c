/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "lib/compile-pool.h"

#include <endian.h>
#include <inttypes.h>
#include <net/ethernet.h>

#include <openvswitch/ofp-actions.h>
#include <openvswitch/ofp-msgs.h>

#include "lib/actions.h"
#include "lib/path.h"

/* Messages go into a bundle, which adds 16 bytes to them, and lengths have 16
 * bits.  libopenvswitch checks neither. */
#define MAX_MESSAGE (UINT16_MAX - 16)

/* ovs-vswitchd 3.1 aborts when it has to describe a group in more than 64 KiB,
 * and the description is largest in OpenFlow 1.0, with up to 1.5 times the
 * bytes of 1.5. */
#define MAX_GROUP (40 * 1024)

/* Of an action that looks at a field. */
#define LOOK_SIZE OFPACT_ALIGN(sizeof(struct ofpact_reg_move))

uint8_t
compiler_table(const struct compiler *c, enum layout_table table)
{
    return c->settings->table_base + table;
}

/* Leaves room for what put_look_at_hash() puts in front. */
static void
start_afresh(struct compiler *c)
{
    match_init_catchall(&c->match);
    c->n_masks = 0;
    ofpbuf_clear(&c->acts);
    ofpbuf_reserve(&c->acts, LOOK_SIZE);
}

/* Complains unless the flow that is desired already under the key of 'fm' is
 * the same. */
static void
check_same(struct compiler *c, const struct ofputil_flow_mod *fm,
           const struct source_loc *loc)
{
    if (!ofstate_has_same_flow(c->desired, fm)) {
        diag_error(c->diags, loc, "needs a flow that something else in this "
                   "file needs with different actions");
    }
}

/* Adds one flow. */
static void
emit(struct compiler *c, uint8_t table, uint16_t priority, uint64_t cookie,
     const struct source_loc *loc)
{
    struct ofputil_flow_mod fm = {
        .priority = priority,
        .table_id = table,
        .command = OFPFC_ADD,
        .new_cookie = htobe64(cookie),
        .hard_timeout = c->hard_timeout,
        .buffer_id = UINT32_MAX,
        .out_port = OFPP_ANY,
        .out_group = OFPG_ANY,
        .ofpacts = c->acts.data,
        .ofpacts_len = c->acts.size,
    };
    struct of_flow *flow;

    /* What the switch gives back for any flow that looks into packets. */
    if (c->match.wc.masks.dl_type || c->match.wc.masks.dl_dst.ea[0]
        || c->match.wc.masks.vlans[0].tci) {
        match_set_default_packet_type(&c->match);
    }
    minimatch_init(&fm.match, &c->match);
    flow = ofstate_add_flow(c->desired, &fm);
    if (!flow) {
        check_same(c, &fm, loc);
    } else {
        if (loc) {
            flow->loc = *loc;
        }
        if (flow->message->size > MAX_MESSAGE) {
            diag_error(c->diags, loc, "needs a flow too big for OpenFlow");
        }
    }
    minimatch_destroy(&fm.match);
}

/* Restricts the match to the ports of 'mask'. */
static void
match_ports(struct compiler *c, const struct port_mask *mask)
{
    ovs_be16 port = htons(mask->port), bits = htons(mask->mask);

    switch (c->port_field) {
    case PORT_FIELD_DST:
        match_set_tp_dst_masked(&c->match, port, bits);
        break;

    case PORT_FIELD_SRC:
        match_set_tp_src_masked(&c->match, port, bits);
        break;

    case PORT_FIELD_CT_DST:
        match_set_ct_tp_dst_masked(&c->match, port, bits);
        break;
    }
}

void
compiler_emit(struct compiler *c, uint8_t table, uint16_t priority,
              uint64_t cookie, const struct source_loc *loc)
{
    for (size_t i = 0; i < c->n_masks; i++) {
        match_ports(c, &c->masks[i]);
        emit(c, table, priority, cookie, loc);
    }
    if (!c->n_masks) {
        emit(c, table, priority, cookie, loc);
    }
    start_afresh(c);
}

/* Datapath flows of a time before
 * ===============================
 *
 * When flows change, ovs-vswitchd compares what the datapath does with packets
 * with what it would do now.  If only that differs, it modifies the datapath's
 * flow in place.  But up to 3.1 the userspace datapath looks for the flow to
 * modify by one of its packets (flow_put_on_pmd() in dpif-netdev.c).  If
 * another, wider flow has that packet too, it is that one which is modified,
 * and then deleted for being too wide: the first one does what it always did
 * for as long as it has packets, and nobody ever looks again.  A server's
 * replies would go on to be forwarded as they are.
 *
 * To be deleted the right one is found.  So what comes to an entry flow is
 * told from what does not by a field that nothing else looks at: the
 * datapath's hash, which is 0 as long as no group has asked for it.  Then
 * datapath flows of a time before are all too wide.  Each kind of entry flow
 * looks at another bit, for a time before may have been one of ours, with
 * connections tracked or not.
 *
 * The bit goes where the flow has matched a 0, so no register of others
 * changes. */
static void
put_look_at_hash(struct compiler *c, uint64_t cookie)
{
    uint64_t stub[LOOK_SIZE / sizeof(uint64_t)];
    struct ofpbuf look;

    ofpbuf_use_stub(&look, stub, sizeof stub);
    act_move_at(&look, MFF_DP_HASH, cookie_kind(cookie) % 32,
                REG_SEEN, REG_SEEN_OFS, 1);
    ofpbuf_push(&c->acts, look.data, look.size);
    ofpbuf_uninit(&look);
}

void
compiler_emit_entry(struct compiler *c, enum layout_priority priority,
                    uint64_t cookie, const struct source_loc *loc)
{
    put_look_at_hash(c, cookie);
    match_set_reg_masked(&c->match, REG_SEEN - MFF_REG0, 0, REG_SEEN_BIT);
    compiler_emit(c, c->settings->entry_table,
                  c->settings->priority + priority, cookie, loc);
}

void
compiler_emit_seen(struct compiler *c, enum layout_priority priority,
                   uint64_t cookie, const struct source_loc *loc)
{
    match_set_reg_masked(&c->match, REG_SEEN - MFF_REG0, REG_SEEN_BIT,
                         REG_SEEN_BIT);
    compiler_emit(c, c->settings->entry_table,
                  c->settings->priority + priority, cookie, loc);
}

void
compiler_put_pass(struct compiler *c)
{
    act_set_bits(&c->acts, REG_SEEN, REG_SEEN_BIT, REG_SEEN_BIT);
    act_resubmit(&c->acts, c->settings->entry_table);
}

/* Notes where 'group' comes from, and checks its size. */
static void
finish_group(struct compiler *c, struct of_group *group,
             const struct source_loc *loc)
{
    group->loc = *loc;
    if (group->message->size > MAX_GROUP) {
        diag_error(c->diags, loc, "needs a group of %u bytes; above %d "
                   "the switch may abort when it describes it",
                   group->message->size, MAX_GROUP);
    }
}

/* Complains that another group has the id 'group_id' already. */
static void
complain_of_group(struct compiler *c, uint32_t group_id,
                  const struct source_loc *loc)
{
    diag_error(c->diags, loc, "needs group %"PRIu32", which something else in "
               "this file needs with different buckets", group_id);
}

void
compiler_emit_group(struct compiler *c, struct ofputil_group_mod *gm,
                    const struct source_loc *loc)
{
    struct of_group *group;

    if (gm->type != OFPGT11_SELECT) {
        group_mark(gm);
    }
    group = ofstate_add_group(c->desired, gm);
    if (group) {
        finish_group(c, group, loc);
    } else if (!ofstate_has_same_group(c->desired, gm)) {
        complain_of_group(c, gm->group_id, loc);
    }
}

void
compiler_emit_repeated(struct compiler *c, struct ofputil_group_mod *gm,
                       const struct group_repeat *repeats, size_t n,
                       const struct source_loc *loc)
{
    struct of_group *group = ofstate_add_group_message(
        c->desired, gm->group_id, group_repeat_message(gm, repeats, n));

    if (group) {
        finish_group(c, group, loc);
    } else {
        complain_of_group(c, gm->group_id, loc);
    }
}

void
compiler_match_protocol(struct compiler *c, enum family family,
                        enum protocol protocol)
{
    match_set_dl_type(&c->match, htons(family == FAMILY_V4 ? ETHERTYPE_IP
                                       : ETHERTYPE_IPV6));
    if (protocol != PROTOCOL_ANY) {
        match_set_nw_proto(&c->match, protocol);
    }
}

enum layout_priority
compiler_entry_priority(const struct pool *pool)
{
    static const enum layout_priority priorities[] = {
        [POOL_SCOPE_ALL] = PRIORITY_ENTRY_ALL,
        [POOL_SCOPE_PROTOCOL] = PRIORITY_ENTRY_PROTOCOL,
        [POOL_SCOPE_PORTS] = PRIORITY_ENTRY,
    };

    return priorities[pool_scope(pool)];
}

/* A field that may be any port is not looked at. */
static void
set_ports(struct compiler *c, enum port_field field,
          const struct port_set *ports)
{
    c->port_field = field;
    c->n_masks = ports && ports->n ? port_set_masks(ports, c->masks) : 0;
}

void
compiler_match_ip_dst(struct compiler *c, const struct ip *ip)
{
    if (ip_is_v4(ip)) {
        match_set_nw_dst(&c->match, htonl(ip_v4(ip)));
    } else {
        match_set_ipv6_dst(&c->match, &ip->addr);
    }
}

void
compiler_match_ip_src(struct compiler *c, const struct ip *ip)
{
    if (ip_is_v4(ip)) {
        match_set_nw_src(&c->match, htonl(ip_v4(ip)));
    } else {
        match_set_ipv6_src(&c->match, &ip->addr);
    }
}

void
compiler_match_fragment(struct compiler *c, bool fragment)
{
    /* With the masks of "nw_frag=yes" and "nw_frag=no" in ovs-fields(7). */
    match_set_nw_frag_masked(&c->match, fragment ? FLOW_NW_FRAG_ANY : 0,
                             fragment ? FLOW_NW_FRAG_ANY : FLOW_NW_FRAG_MASK);
}

/* Ports of a connection can be matched if its protocol is. */
void
compiler_match_fragment_to(struct compiler *c, enum protocol protocol,
                           const struct ip *ip, const struct port_set *ports)
{
    compiler_match_to(c, protocol, ip, ports);
    compiler_match_fragment(c, true);
    match_set_ct_nw_proto(&c->match, protocol);
    c->port_field = PORT_FIELD_CT_DST;
}

void
compiler_match_to(struct compiler *c, enum protocol protocol,
                  const struct ip *ip, const struct port_set *ports)
{
    compiler_match_protocol(c, ip_family(ip), protocol);
    compiler_match_ip_dst(c, ip);
    set_ports(c, PORT_FIELD_DST, ports);
}

void
compiler_match_from(struct compiler *c, enum protocol protocol,
                    const struct ip *ip, const struct port_set *ports)
{
    compiler_match_protocol(c, ip_family(ip), protocol);
    compiler_match_ip_src(c, ip);
    set_ports(c, PORT_FIELD_SRC, ports);
}

void
compiler_match_client(struct compiler *c, const struct ip *client, int prefix)
{
    struct ip mask = ip_prefix_mask(ip_family(client), prefix);

    if (ip_is_v4(client)) {
        match_set_nw_src_masked(&c->match, htonl(ip_v4(client)),
                                htonl(ip_v4(&mask)));
    } else {
        match_set_ipv6_src_masked(&c->match, &client->addr, &mask.addr);
    }
}

void
compiler_match_vlan(struct compiler *c, uint16_t vlan)
{
    if (vlan == VLAN_NONE) {
        /* As the switch gives it back. */
        match_set_dl_tci_masked(&c->match, htons(0), htons(0x1fff));
    } else if (vlan != VLAN_ANY) {
        match_set_dl_vlan(&c->match, htons(vlan), 0);
    }
}

void
compiler_change_vlan(struct compiler *c, uint16_t from, uint16_t to)
{
    if (from != to) {
        compiler_match_vlan(c, from);
        act_change_vlan(&c->acts, from, to);
    }
}

void
compiler_match_side(struct compiler *c, const struct pool *pool,
                    const struct server *server, uint16_t port)
{
    uint16_t vlan = path_server_vlan(pool, server);

    compiler_match_vlan(c, vlan);
    if (vlan != pool->path.vlan) {
        match_set_in_port(&c->match, (OVS_FORCE ofp_port_t) port);
    }
}

uint16_t
compiler_vlan_step(const struct pool *pool)
{
    return pool->path.vlan != VLAN_ANY;
}

void
compiler_match_ct(struct compiler *c, uint32_t state, uint32_t mask)
{
    match_set_ct_state_masked(&c->match, state | CT_TRACKED,
                              mask | CT_TRACKED);
}

void
compiler_match_member(struct compiler *c, uint16_t member)
{
    match_set_reg(&c->match, REG_MEMBER - MFF_REG0, member);
}

void
compiler_match_mark(struct compiler *c, uint16_t member)
{
    match_set_ct_mark_masked(&c->match, (uint32_t) member << MARK_MEMBER_SHIFT,
                             MARK_MEMBER_MASK);
}

void
compiler_match_special(struct compiler *c, uint16_t member, uint16_t special)
{
    match_set_ct_mark(&c->match,
                      (uint32_t) member << MARK_MEMBER_SHIFT | special);
}
