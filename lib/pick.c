/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "lib/pick.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include <openvswitch/meta-flow.h>
#include <openvswitch/ofp-actions.h>

#include "lib/layout.h"

/* Sizes of the table that Open vSwitch makes: group_setup_dp_hash_table() in
 * ofproto/ofproto-dpif.c. */
#define TABLE_MIN 16
#define TABLE_MAX 256

/* The server that 'bucket' stands for: what it puts into the register,
 * provided that it goes on from there. */
static uint16_t
bucket_member(const struct ofputil_bucket *bucket)
{
    const struct ofpact *act;
    uint32_t member = 0;
    bool resubmits = false;

    OFPACT_FOR_EACH (act, bucket->ofpacts, bucket->ofpacts_len) {
        if (act->type == OFPACT_SET_FIELD) {
            const struct ofpact_set_field *set = ofpact_get_SET_FIELD(act);

            if (set->field->id == REG_MEMBER) {
                member = ntohl(set->value->be32);
            }
        } else if (act->type == OFPACT_RESUBMIT) {
            resubmits = true;
        }
    }
    return resubmits && member <= UINT16_MAX ? member : 0;
}

/* The group that 'bucket' goes on to, OFPG_ANY if it does something else. */
static uint32_t
bucket_group(const struct ofputil_bucket *bucket)
{
    const struct ofpact *act;

    OFPACT_FOR_EACH (act, bucket->ofpacts, bucket->ofpacts_len) {
        if (act->type == OFPACT_GROUP) {
            return ofpact_get_GROUP(act)->group_id;
        }
    }
    return OFPG_ANY;
}

static void
fill_buckets(struct pick_group *group, const struct ofputil_group_mod *gm,
             const struct alive *alive)
{
    const struct ofputil_bucket *bucket;

    group->buckets = lb_xcalloc(ovs_list_size(&gm->buckets) + 1,
                                sizeof *group->buckets);
    LIST_FOR_EACH (bucket, list_node, &gm->buckets) {
        struct pick_bucket *b = &group->buckets[group->n_buckets++];

        b->id = bucket->bucket_id;
        b->weight = bucket->weight;
        b->member = bucket_member(bucket);
        b->group = bucket_group(bucket);
        b->is_alive = alive_bucket(alive, bucket);
    }
}

/* The size of the switch's table, 0 if it makes none: as many slots as the
 * bucket of least weight needs to get one, rounded up to a power of two. */
static size_t
table_size(const struct pick_group *group)
{
    uint64_t total = 0;
    uint64_t least = UINT16_MAX;
    uint64_t n = TABLE_MIN;

    for (size_t i = 0; i < group->n_buckets; i++) {
        uint16_t weight = group->buckets[i].weight;

        total += weight;
        if (weight && weight < least) {
            least = weight;
        }
    }
    if (!total) {
        return 0;
    }
    while (n < (total + least - 1) / least) {
        n *= 2;
    }
    return n <= TABLE_MAX ? n : 0;
}

/* Gives 'n_slots' slots to buckets as group_setup_dp_hash_table() does: one
 * after the other to the bucket with the highest quotient of Webster's method,
 * its weight and then weight / 3, weight / 5 and so on; the first one wins
 * ties. */
static void
fill_table(struct pick_group *group, size_t n_slots)
{
    double *quotients = lb_xcalloc(group->n_buckets, sizeof *quotients);
    uint32_t *divisors = lb_xcalloc(group->n_buckets, sizeof *divisors);

    for (size_t i = 0; i < group->n_buckets; i++) {
        quotients[i] = group->buckets[i].weight;
        divisors[i] = 1;
    }
    group->slots = lb_xcalloc(n_slots, sizeof *group->slots);
    group->n_slots = n_slots;
    for (size_t slot = 0; slot < n_slots; slot++) {
        size_t winner = 0;

        for (size_t i = 1; i < group->n_buckets; i++) {
            if (quotients[i] > quotients[winner]) {
                winner = i;
            }
        }
        divisors[winner] += 2;
        quotients[winner] = ((double) group->buckets[winner].weight
                             / divisors[winner]);
        group->slots[slot] = winner;
    }
    free(quotients);
    free(divisors);
}

/* Gives slots of dead buckets to the next that is alive, as
 * pick_dp_hash_select_group() in ofproto/ofproto-dpif-xlate.c does. */
static void
pass_over_dead(struct pick_group *group)
{
    size_t n = group->n_slots;

    group->table = group->slots;
    group->slots = lb_xcalloc(n, sizeof *group->slots);
    for (size_t slot = 0; slot < n; slot++) {
        size_t i = 0;

        while (i < n
               && !group->buckets[group->table[(slot + i) % n]].is_alive) {
            i++;
        }
        if (i == n) {
            group->n_slots = 0;
            return;
        }
        group->slots[slot] = group->table[(slot + i) % n];
    }
}

/* One slot for each of the first 'max' buckets that can be picked. */
static void
fill_list(struct pick_group *group, bool by_weight, size_t max)
{
    group->slots = lb_xcalloc(group->n_buckets + 1, sizeof *group->slots);
    for (size_t i = 0; i < group->n_buckets && group->n_slots < max; i++) {
        const struct pick_bucket *bucket = &group->buckets[i];

        if (bucket->is_alive && (bucket->weight || !by_weight)) {
            group->slots[group->n_slots++] = i;
        }
    }
}

/* As group_set_selection_method() in ofproto/ofproto-dpif.c. */
static void
set_method(struct pick_group *group, const struct ofputil_group_props *props)
{
    size_t n = table_size(group);

    group->method = PICK_OTHERWISE;
    group->param = props->selection_method_param;
    if (!strcmp(props->selection_method, "dp_hash") && n) {
        fill_table(group, n);
        pass_over_dead(group);
        /* Algorithm 1 is another one, those above are not known to the switch
         * either, which takes 0 then. */
        if (group->param >> 32 != 1) {
            group->method = PICK_BY_DP_HASH;
        }
        return;
    }
    fill_list(group, true, SIZE_MAX);
    if (!strcmp(props->selection_method, "hash")
        && props->fields.values_size) {
        group->method = PICK_BY_FIELDS;
        group->fields = props->fields;
        group->fields.values = lb_xmalloc(props->fields.values_size);
        memcpy(group->fields.values, props->fields.values,
               props->fields.values_size);
    }
}

struct pick_group *
pick_group_create(const struct of_group *of_group, const struct alive *alive)
{
    struct ofputil_group_mod gm;
    struct pick_group *group;

    if (ofputil_decode_group_mod(of_group->message->data, &gm)) {
        return NULL;
    }
    group = lb_xcalloc(1, sizeof *group);
    group->id = gm.group_id;
    fill_buckets(group, &gm, alive);
    if (gm.type == OFPGT11_FF) {
        group->method = PICK_FIRST;
        fill_list(group, false, 1);
    } else {
        set_method(group, &gm.props);
    }
    ofputil_uninit_group_mod(&gm);
    return group;
}

struct pick_group *
pick_follow(const struct alive *alive, uint32_t *id)
{
    struct pick_group *group = NULL;
    uint32_t next = *id;

    /* A chain has few links, but what is there may not be lbgen's work. */
    for (int i = 0; i < 16 && next != OFPG_ANY; i++) {
        const struct of_group *of_group = ofstate_find_group(alive->groups,
                                                             next);

        pick_group_destroy(group);
        group = of_group ? pick_group_create(of_group, alive) : NULL;
        *id = next;
        next = (group && group->method == PICK_FIRST && group->n_slots
                ? group->buckets[group->slots[0]].group : OFPG_ANY);
    }
    return group;
}

void
pick_group_destroy(struct pick_group *group)
{
    if (group) {
        pick_group_destroy(group->high);
        pick_group_destroy(group->low);
        free(group->fields.values);
        free(group->buckets);
        free(group->slots);
        free(group->table);
        free(group);
    }
}

static bool
bitmap_test(const struct mf_bitmap *bitmap, size_t i)
{
    const size_t bits = 8 * sizeof bitmap->bm[0];

    return bitmap->bm[i / bits] >> i % bits & 1;
}

const uint8_t *
pick_group_mask(const struct pick_group *group, enum mf_field_id id)
{
    const uint8_t *mask = group->fields.values;

    for (size_t i = 0; i < MFF_N_IDS; i++) {
        if (bitmap_test(&group->fields.used, i)) {
            if (i == id) {
                return mask;
            }
            mask += mf_from_id(i)->n_bytes;
        }
    }
    return NULL;
}

/* The packet as libopenvswitch knows packets. */
static void
packet_to_flow(const struct pick_packet *packet, struct flow *flow)
{
    const struct ovs_tuple *tuple = &packet->tuple;

    memset(flow, 0, sizeof *flow);
    if (ip_is_v4(&tuple->src)) {
        flow->dl_type = htons(0x0800);
        flow->nw_src = htonl(ip_v4(&tuple->src));
        flow->nw_dst = htonl(ip_v4(&tuple->dst));
    } else {
        flow->dl_type = htons(0x86dd);
        flow->ipv6_src = tuple->src.addr;
        flow->ipv6_dst = tuple->dst.addr;
    }
    flow->nw_proto = tuple->protocol;
    flow->tp_src = htons(tuple->src_port);
    flow->tp_dst = htons(tuple->dst_port);
}

/* Whether the value of a field is known of 'packet'. */
static enum pick_result
field_is_known(enum mf_field_id id, const struct pick_packet *packet)
{
    switch (id) {
    case MFF_ETH_TYPE:
    case MFF_IP_PROTO:
    case MFF_IPV4_SRC:
    case MFF_IPV4_DST:
    case MFF_IPV6_SRC:
    case MFF_IPV6_DST:
        return PICK_FOUND;
    case MFF_TCP_DST:
    case MFF_UDP_DST:
    case MFF_SCTP_DST:
        return packet->has_dst_port ? PICK_FOUND : PICK_NEEDS_PORT;
    case MFF_TCP_SRC:
    case MFF_UDP_SRC:
    case MFF_SCTP_SRC:
        return packet->has_src_port ? PICK_FOUND : PICK_NEEDS_PORT;
    default:
        return PICK_UNKNOWN;
    }
}

/* Stores in '*hash' the hash of the fields, in the order of their ids, as
 * pick_hash_fields_select_group() in ofproto/ofproto-dpif-xlate.c computes
 * it. */
static enum pick_result
hash_fields(const struct pick_group *group, enum ovs_hash_build build,
            const struct pick_packet *packet, uint32_t *hash)
{
    const uint8_t *mask = group->fields.values;
    struct flow flow;

    packet_to_flow(packet, &flow);
    *hash = ovs_hash_uint64(build, group->param, 0);
    for (size_t i = 0; i < MFF_N_IDS; i++) {
        if (bitmap_test(&group->fields.used, i)) {
            const struct mf_field *field = mf_from_id(i);

            if (mf_are_prereqs_ok(field, &flow, NULL)) {
                enum pick_result known = field_is_known(i, packet);
                union mf_value value;

                if (known != PICK_FOUND) {
                    return known;
                }
                mf_get_value(field, &flow, &value);
                for (unsigned int j = 0; j < field->n_bytes; j++) {
                    value.b[j] &= mask[j];
                }
                *hash = ovs_hash_bytes(build, &value, field->n_bytes, *hash);
            }
            mask += field->n_bytes;
        }
    }
    return PICK_FOUND;
}

/* The slot whose bucket has the highest score, the last one of equals:
 * group_best_live_bucket() in ofproto/ofproto-dpif-xlate.c. */
static size_t
best_slot(const struct pick_group *group, enum ovs_hash_build build,
          uint32_t hash)
{
    uint32_t best_score = 0;
    size_t best = 0;

    for (size_t i = 0; i < group->n_slots; i++) {
        const struct pick_bucket *b = &group->buckets[group->slots[i]];
        uint32_t score = ((ovs_hash_int(build, b->id, hash) & 0xffff)
                          * b->weight);

        if (score >= best_score) {
            best_score = score;
            best = i;
        }
    }
    return best;
}

/* The last bits of the address, as many as number the slots. */
static uint32_t
low_bits(const struct pick_group *group, const struct ip *ip)
{
    const uint8_t *addr = ip->addr.s6_addr;

    return (addr[14] << 8 | addr[15]) & (group->n_slots - 1);
}

/* Two groups in a row; the hash is that of the second. */
static enum pick_result
pick_by_steps(const struct pick_group *group, enum ovs_hash_build build,
              const struct pick_packet *packet, struct pick *pick)
{
    struct pick high;
    enum pick_result result = pick_compute(group->high, build, packet, &high);

    if (result == PICK_FOUND) {
        result = pick_compute(group->low, build, packet, pick);
    }
    if (result == PICK_FOUND) {
        pick->slot += high.slot * group->low->n_slots;
    }
    return result;
}

enum pick_result
pick_compute(const struct pick_group *group, enum ovs_hash_build build,
             const struct pick_packet *packet, struct pick *pick)
{
    if (!group->n_slots) {
        return PICK_NONE;
    }
    switch (group->method) {
    case PICK_BY_DP_HASH:
        if (!packet->has_src_port || !packet->has_dst_port) {
            return PICK_NEEDS_PORT;
        }
        pick->hash = ovs_hash_dp(build, &packet->tuple, group->param);
        pick->slot = pick->hash & (group->n_slots - 1);
        break;

    case PICK_BY_FIELDS: {
        enum pick_result result = hash_fields(group, build, packet,
                                              &pick->hash);

        if (result != PICK_FOUND) {
            return result;
        }
        pick->slot = best_slot(group, build, pick->hash);
        break;
    }

    case PICK_BY_STEPS: {
        enum pick_result result = pick_by_steps(group, build, packet, pick);

        if (result != PICK_FOUND) {
            return result;
        }
        break;
    }

    case PICK_BY_LOW_BITS:
        pick->hash = low_bits(group, &packet->tuple.src);
        pick->slot = pick->hash;
        break;

    case PICK_FIRST:
        pick->hash = 0;
        pick->slot = 0;
        break;

    case PICK_OTHERWISE:
    default:
        return PICK_UNKNOWN;
    }
    pick->bucket = group->slots[pick->slot];
    return PICK_FOUND;
}
