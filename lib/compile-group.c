/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "lib/compile-pool.h"

#include <stdlib.h>
#include <string.h>

#include <openvswitch/ofp-actions.h>

#include "lib/actions.h"
#include "lib/slots.h"
#include "lib/tiers.h"

/* A tier's group: one bucket for each slot
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

/* Adds as many of the lowest bits of the source address as number the slots.
 * (Only where the chain spreads what the flows of dead slots give up.) */
static void
hash_low_bits(const struct pool *pool, struct field_array *fields)
{
    union mf_value mask;

    memset(&mask, 0, sizeof mask);
    mask.be32 = htonl(pool->n_slots - 1u);
    field_array_set(MFF_IPV4_SRC, &mask, fields);
    memset(&mask, 0, sizeof mask);
    mask.ipv6.s6_addr[14] = (pool->n_slots - 1u) >> 8;
    mask.ipv6.s6_addr[15] = pool->n_slots - 1u;
    field_array_set(MFF_IPV6_SRC, &mask, fields);
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
    case POLICY_BY_TURN:
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
        strcpy(props->selection_method, "hash");
        hash_low_bits(pool, &props->fields);
        break;
    }
    free(dist.shares);
}

/* The slots of 'tier' if that has a group of its own, or NULL. */
static const uint16_t *
tier_slots(const struct assignment *a, size_t tier)
{
    uint16_t *shares = NULL;
    bool chooses = (tier_n_taking(a->pool, tier, NULL) > 1
                    || (!tier && !a->pool->policy->in_order)
                    || (tier == tier_first(a->pool)
                        && tiers_spill(a->pool, &shares)));

    free(shares);
    return chooses ? assignment_table(a, tier) : NULL;
}

uint32_t
tier_group_id(const struct assignment *a, size_t tier)
{
    return (!tier_slots(a, tier) ? OFPG_ANY
            : tier || pool_has_slot_flows(a->pool)
            ? group_make(GROUP_TIER, tier_member(a, tier))
            : assignment_group_id(a));
}

/* Puts into 'gm' a bucket for each server that has one of every 'step' of
 * 'slots'.  Returns their numbers by server, for the caller to free. */
static size_t *
add_buckets(struct compiler *c, const struct assignment *a,
            const uint16_t *slots, size_t step, struct ofputil_group_mod *gm)
{
    size_t *buckets = lb_xcalloc(a->pool->n_servers, sizeof *buckets);
    size_t n = 0;

    memset(buckets, 0xff, a->pool->n_servers * sizeof *buckets);
    ovs_list_init(&gm->buckets);
    for (size_t i = 0; i < a->pool->n_slots; i += step) {
        if (slots[i] != SLOT_NONE && buckets[slots[i]] == SIZE_MAX) {
            struct ofputil_bucket *bucket = chain_add_server(c, a, slots[i],
                                                             gm);

            bucket->weight = 1;
            bucket->bucket_id = n;
            buckets[slots[i]] = n++;
        }
    }
    return buckets;
}

/* A table that is larger than a group can be counts every n-th slot. */
static void
compile_table(struct compiler *c, const struct assignment *a, size_t tier)
{
    size_t step = (a->pool->n_slots <= SLOTS_DEFAULT ? 1
                   : a->pool->n_slots / SLOTS_DEFAULT);
    const uint16_t *slots = tier_slots(a, tier);
    struct ofputil_group_mod gm = {
        .type = OFPGT11_SELECT,
        .group_id = tier_group_id(a, tier),
    };

    struct group_repeat *repeats = lb_xcalloc(a->pool->n_slots,
                                              sizeof *repeats);
    size_t *buckets = add_buckets(c, a, slots, step, &gm);
    size_t n = 0;

    compiler_set_selection(a->pool, &gm.props);
    for (size_t i = 0; i < a->pool->n_slots; i += step) {
        if (slots[i] != SLOT_NONE) {
            repeats[n++] = (struct group_repeat) {
                buckets[slots[i]], i / step
            };
        }
    }
    compiler_emit_repeated(c, &gm, repeats, n, &a->pool->loc);
    ofputil_uninit_group_mod(&gm);
    free(buckets);
    free(repeats);
}

void
compile_group(struct compiler *c, const struct assignment *a)
{
    bool in_flows = true;

    if (pool_selection(a->pool) == POLICY_BY_TURN) {
        compile_turns(c, a);
    } else if (pool_has_slot_flows(a->pool)) {
        compile_slots(c, a);
    } else {
        in_flows = false;
    }
    if (in_flows && !compiler_has_chain(c, a)) {
        return;
    }
    for (size_t tier = 0; tier < a->pool->n_tiers; tier++) {
        if (tier_slots(a, tier)) {
            compile_table(c, a, tier);
        }
    }
    compile_chain(c, a);
}
