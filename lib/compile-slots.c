/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "lib/compile-pool.h"

#include <arpa/inet.h>
#include <net/ethernet.h>

#include <openvswitch/ofp-actions.h>

#include "lib/actions.h"
#include "lib/slots.h"

/* Slots as flows
 * ==============
 *
 * A group has up to 256 buckets that the switch picks one of without leaving
 * its fast path.  A pool with a larger slot table, or one whose slots are not
 * picked by a hash at all, has a flow for each slot instead: the number of the
 * slot gets into a register, and the slot table says whose it is.  How it gets
 * there:
 *
 *   - By connection: a "dp_hash" group with a single bucket makes the datapath
 *     compute its hash, and the bucket copies as many bits of that as number
 *     the slots.  The datapath's flows then match just those bits.
 *
 *   - By client: two "hash" groups, one behind the other, whose buckets load
 *     the upper and the lower bits.  They differ in their parameter, so that
 *     one does not follow from the other.
 *
 *   - By the lowest bits of the client's address: they are the number.
 *
 * A flow watches nothing.  Where the switch watches the port of a slot's
 * server, the flow leads to a group that does, and that goes on to the pool's
 * chain while the server is dead. */

/* Bits of a slot's number that the second of two "hash" groups loads. */
#define LOW_BITS 8

static unsigned int
count_bits(size_t n_slots)
{
    return (unsigned int) __builtin_ctzl(n_slots);
}

static void
init_group(struct ofputil_group_mod *gm, enum group_kind kind,
           const struct assignment *a)
{
    *gm = (struct ofputil_group_mod) {
        .type = OFPGT11_SELECT, .group_id = group_make(kind, a->id),
    };
    ovs_list_init(&gm->buckets);
    compiler_set_selection(a->pool, &gm->props);
}

/* Adds a bucket of 'acts', which are used up. */
static void
add_bucket(struct ofputil_group_mod *gm, size_t id, struct ofpbuf *acts)
{
    struct ofputil_bucket *bucket = lb_xcalloc(1, sizeof *bucket);

    bucket->weight = 1;
    bucket->watch_port = OFPP_ANY;
    bucket->watch_group = OFPG_ANY;
    bucket->bucket_id = id;
    bucket->ofpacts_len = acts->size;
    bucket->ofpacts = ofpbuf_steal_data(acts);
    ovs_list_push_back(&gm->buckets, &bucket->list_node);
}

static void
emit_group(struct compiler *c, struct ofputil_group_mod *gm,
           const struct assignment *a)
{
    compiler_emit_group(c, gm, &a->pool->loc);
    ofputil_uninit_group_mod(gm);
}

static void
compile_datapath_hash(struct compiler *c, const struct assignment *a)
{
    struct ofputil_group_mod gm;
    struct ofpbuf acts;

    init_group(&gm, GROUP_SLOTS, a);
    ofpbuf_init(&acts, 64);
    act_move(&acts, MFF_DP_HASH, REG_SLOT, count_bits(a->pool->n_slots));
    act_resubmit(&acts, compiler_table(c, TABLE_SLOT));
    add_bucket(&gm, 0, &acts);
    emit_group(c, &gm, a);
}

static void
compile_client_hash(struct compiler *c, const struct assignment *a)
{
    size_t n_high = a->pool->n_slots >> LOW_BITS;
    struct ofputil_group_mod gm;
    struct ofpbuf acts;

    init_group(&gm, GROUP_SLOTS_LOW, a);
    for (uint32_t i = 0; i < 1u << LOW_BITS; i++) {
        ofpbuf_init(&acts, 64);
        act_set_bits(&acts, REG_SLOT, i, (1u << LOW_BITS) - 1);
        act_resubmit(&acts, compiler_table(c, TABLE_SLOT));
        add_bucket(&gm, i, &acts);
    }
    emit_group(c, &gm, a);

    init_group(&gm, GROUP_SLOTS, a);
    gm.props.selection_method_param |= GROUP_SLOTS_PARAM;
    for (uint32_t i = 0; i < n_high; i++) {
        ofpbuf_init(&acts, 64);
        act_set_u32(&acts, REG_SLOT, i << LOW_BITS);
        act_group(&acts, group_make(GROUP_SLOTS_LOW, a->id));
        add_bucket(&gm, i, &acts);
    }
    emit_group(c, &gm, a);
}

static void
emit_slot(struct compiler *c, const struct assignment *a, size_t slot)
{
    uint16_t server = a->slots[slot];
    uint32_t hold = compiler_hold_server(c, a, server);

    match_set_reg(&c->match, REG_POOL - MFF_REG0, a->id);
    match_set_reg(&c->match, REG_SLOT - MFF_REG0, slot);
    if (hold == OFPG_ANY) {
        compiler_put_server(c, a, server, &c->acts);
    } else {
        act_group(&c->acts, hold);
    }
    compiler_emit(c, compiler_table(c, TABLE_SLOT), 10,
                  cookie_make(COOKIE_SLOT, a->id, a->members[server]),
                  &a->pool->servers[server].loc);
}

void
compile_slots(struct compiler *c, const struct assignment *a)
{
    switch (pool_selection(a->pool)) {
    case POLICY_BY_CONNECTION:
        compile_datapath_hash(c, a);
        break;
    case POLICY_BY_CLIENT:
        compile_client_hash(c, a);
        break;
    case POLICY_BY_LOW_BITS:
    case POLICY_BY_TURN:
        break;
    }
    for (size_t slot = 0; slot < a->pool->n_slots; slot++) {
        if (a->slots[slot] != SLOT_NONE) {
            emit_slot(c, a, slot);
        }
    }
}

void
compiler_put_slot(struct compiler *c, const struct assignment *a)
{
    bool v4 = c->match.flow.dl_type == htons(ETHERTYPE_IP);

    /* Others may have used the register, and not all of it is set. */
    act_set_u32(&c->acts, REG_POOL, a->id);
    act_set_u32(&c->acts, REG_SLOT, 0);
    switch (pool_selection(a->pool)) {
    case POLICY_BY_CONNECTION:
    case POLICY_BY_CLIENT:
        act_group(&c->acts, group_make(GROUP_SLOTS, a->id));
        break;
    case POLICY_BY_LOW_BITS:
        act_move(&c->acts, v4 ? MFF_IPV4_SRC : MFF_IPV6_SRC, REG_SLOT,
                 count_bits(a->pool->n_slots));
        act_resubmit(&c->acts, compiler_table(c, TABLE_SLOT));
        break;
    case POLICY_BY_TURN:
        break;                  /* Has no slots. */
    }
}
