/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LB_PICK_H
#define LB_PICK_H 1

/* How the switch picks a bucket of a group
 * ========================================
 *
 * A model of what Open vSwitch does with a select group that is on a bridge,
 * be it as lbgen made it or as somebody has left it since: the table that it
 * makes of a "dp_hash" group, the scores that it gives the buckets of a "hash"
 * group.  Pure. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/assign.h"
#include "lib/ofstate.h"
#include "lib/ovs-hash.h"

/* What the switch picks by. */
enum pick_method {
    PICK_BY_DP_HASH,            /* The datapath's hash of the 5-tuple. */
    PICK_BY_FIELDS,             /* A hash of fields that the group names. */
    PICK_BY_STEPS,              /* Two groups, each for a part of the slot. */
    PICK_BY_LOW_BITS,           /* The last bits of the client's address. */
    PICK_OTHERWISE              /* Nothing that is modelled here. */
};

/* A packet.  'tuple.src_port' counts only if 'has_src_port', and the protocol
 * and 'tuple.dst_port' only if 'has_dst_port'. */
struct pick_packet {
    struct ovs_tuple tuple;
    bool has_src_port;
    bool has_dst_port;
};

struct pick_bucket {
    uint32_t id;
    uint16_t weight;
    uint16_t member;            /* Of the server it is for; 0 for none. */
    bool is_watched;            /* May be dead: watch_port or watch_group. */
};

/* A select group; or the flows of the slot table that take the place of one,
 * each of them as a bucket, with the group that leads there, if any. */
struct pick_group {
    uint32_t id;                /* 0 if there is no group. */
    bool is_flows;
    enum pick_method method;
    uint64_t param;             /* selection_method_param. */
    struct field_array fields;  /* PICK_BY_FIELDS. */

    struct pick_bucket *buckets;    /* In the group's order. */
    size_t n_buckets;

    /* Slots: for PICK_BY_DP_HASH those of the switch's table, else one for
     * each bucket with a weight.  Indexes into 'buckets'. */
    uint16_t *slots;
    size_t n_slots;

    /* PICK_BY_STEPS: the groups, owned, that pick the upper and the lower
     * bits of the slot. */
    struct pick_group *high, *low;
};

/* Returns NULL if the group cannot be decoded. */
struct pick_group *pick_group_create(const struct of_group *);
void pick_group_destroy(struct pick_group *);

/* Likewise from what is 'installed' of a pool that has slots as flows.
 * Returns NULL if a group that leads there is not. */
struct pick_group *pick_slots_create(const struct ofstate *installed,
                                     const struct assignment *);

/* The mask of field 'id' among the fields that are hashed, NULL if it is not
 * among them. */
const uint8_t *pick_group_mask(const struct pick_group *, enum mf_field_id);

enum pick_result {
    PICK_FOUND,
    PICK_NEEDS_PORT,            /* The source port decides. */
    PICK_UNKNOWN,               /* So does something else that is not known. */
    PICK_NONE                   /* There is no bucket to be had. */
};

/* What the switch picks for a packet. */
struct pick {
    uint32_t hash;
    size_t slot;                /* Index in 'group->slots'. */
    size_t bucket;              /* Index in 'group->buckets'. */
};

/* Fills in '*pick' if it returns PICK_FOUND.  All buckets count as live.  A
 * "dp_hash" is that of the userspace datapath. */
enum pick_result pick_compute(const struct pick_group *, enum ovs_hash_build,
                              const struct pick_packet *, struct pick *pick);

#endif /* lib/pick.h */
