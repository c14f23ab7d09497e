/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "lib/compile-pool.h"

#include <string.h>

#include <openvswitch/ofp-actions.h>

#include "lib/actions.h"
#include "lib/slots.h"

/* A pool's group: one bucket for each slot
 * ========================================
 *
 * With "dp_hash", OVS makes a table of hash values out of the buckets'
 * weights.  For a power of two of equal weights up to 256 that table is the
 * identity, so slot i is bucket i (ofproto-dpif.c,
 * group_setup_dp_hash_table()).  With "hash" it gives each bucket a score, a
 * hash of its id and the fields, times the weight, and takes the highest
 * (ofproto-dpif-xlate.c, group_best_live_bucket()): with equal weights each
 * bucket is as likely as any other.  So in both, a slot is a slot. */

uint32_t
assignment_group_id(const struct assignment *a)
{
    return group_make(GROUP_MAIN, a->id);
}

/* Adds the first 'prefix' bits of the source address to the fields that are
 * hashed. */
static void
hash_source(enum family family, int prefix, struct field_array *fields)
{
    struct ip ip = ip_prefix_mask(family, prefix);
    union mf_value mask;

    memset(&mask, 0, sizeof mask);
    if (family == FAMILY_V4) {
        mask.be32 = htonl(ip_v4(&ip));
        field_array_set(MFF_IPV4_SRC, &mask, fields);
    } else {
        mask.ipv6 = ip.addr;
        field_array_set(MFF_IPV6_SRC, &mask, fields);
    }
}

/* By connection: "dp_hash" with algorithm 0, the 5-tuple.  (Without a
 * selection method OVS would leave out the ports of UDP.)  By client: "hash"
 * of the address; of the fields of both families, the switch leaves out those
 * that a packet does not have.  The low half of the parameter marks the group
 * as lbgen's. */
void
compiler_set_selection(const struct pool *pool,
                       struct ofputil_group_props *props)
{
    struct distribution dist = {
        .shares = lb_xcalloc(pool->n_servers, sizeof *dist.shares)
    };

    pool_distribute(pool, &dist);
    props->selection_method_param = GROUP_MAGIC;
    switch (dist.selection) {
    case POLICY_BY_CONNECTION:
        strcpy(props->selection_method, "dp_hash");
        break;

    case POLICY_BY_CLIENT:
        strcpy(props->selection_method, "hash");
        if (ips_find(&pool->vips, FAMILY_V4)) {
            hash_source(FAMILY_V4, dist.client_prefix, &props->fields);
        }
        if (ips_find(&pool->vips, FAMILY_V6)) {
            hash_source(FAMILY_V6, dist.client_prefix6, &props->fields);
        }
        break;

    case POLICY_BY_LOW_BITS:
    case POLICY_BY_TURN:
        break;                  /* Has no group. */
    }
    free(dist.shares);
}

/* A bucket that stands for 'member'. */
static struct ofputil_bucket *
make_bucket(const struct compiler *c, const struct assignment *a, size_t slot,
            uint16_t member)
{
    struct ofputil_bucket *bucket = lb_xcalloc(1, sizeof *bucket);
    struct ofpbuf acts;

    ofpbuf_init(&acts, 64);
    act_set_u32(&acts, REG_MEMBER, member);
    act_resubmit(&acts, compiler_picked_table(c, a));

    bucket->weight = 1;
    bucket->watch_port = OFPP_ANY;
    bucket->watch_group = OFPG_ANY;
    bucket->bucket_id = slot;
    bucket->ofpacts_len = acts.size;
    bucket->ofpacts = ofpbuf_steal_data(&acts);
    return bucket;
}

void
compile_group(struct compiler *c, const struct assignment *a)
{
    struct ofputil_group_mod gm = {
        .type = OFPGT11_SELECT,
        .group_id = assignment_group_id(a),
    };

    ovs_list_init(&gm.buckets);
    compiler_set_selection(a->pool, &gm.props);
    for (size_t i = 0; i < a->pool->n_slots; i++) {
        if (a->slots[i] != SLOT_NONE) {
            struct ofputil_bucket *bucket
                = make_bucket(c, a, i, a->members[a->slots[i]]);

            ovs_list_push_back(&gm.buckets, &bucket->list_node);
        }
    }
    compiler_emit_group(c, &gm, &a->pool->loc);
    ofputil_uninit_group_mod(&gm);
}
