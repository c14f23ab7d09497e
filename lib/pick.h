/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LB_PICK_H
#define LB_PICK_H 1

/* How the switch picks a bucket of a group
 * ========================================
 *
 * A model of what Open vSwitch does with a group that is on a bridge, be it as
 * lbgen made it or as somebody has left it since: the table that it makes of a
 * "dp_hash" group, the scores that it gives the buckets of a "hash" group, the
 * first bucket of a fast failover group; and how it gets around buckets that
 * are dead.  Pure. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/alive.h"
#include "lib/assign.h"
#include "lib/ofstate.h"
#include "lib/ovs-hash.h"

/* What the switch picks by. */
enum pick_method {
    PICK_BY_DP_HASH,            /* The datapath's hash of the 5-tuple. */
    PICK_BY_FIELDS,             /* A hash of fields that the group names. */
    PICK_BY_STEPS,              /* Two groups, each for a part of the slot. */
    PICK_BY_LOW_BITS,           /* The last bits of the client's address. */
    PICK_FIRST,                 /* The first bucket that is alive. */
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
    uint32_t group;             /* That it goes on to, OFPG_ANY for none. */
    bool is_alive;
};

/* A select group, or one that takes the first bucket that is alive; or the
 * flows of the slot table that take the place of one, each of them as a
 * bucket, with the group that leads there, if any. */
struct pick_group {
    uint32_t id;                /* 0 if there is no group. */
    bool is_flows;
    enum pick_method method;
    uint64_t param;             /* selection_method_param. */
    struct field_array fields;  /* PICK_BY_FIELDS. */

    struct pick_bucket *buckets;    /* In the group's order. */
    size_t n_buckets;

    /* Slots: for PICK_BY_DP_HASH those of the switch's table, else one for
     * each bucket that can be picked.  Indexes into 'buckets': who gets the
     * slot, which is always alive.  'table' is the same before the switch
     * looks at that; only for PICK_BY_DP_HASH. */
    uint16_t *slots;
    uint16_t *table;
    size_t n_slots;

    /* PICK_BY_STEPS: the groups, owned, that pick the upper and the lower
     * bits of the slot. */
    struct pick_group *high, *low;
};

/* Returns NULL if the group cannot be decoded, or is of another type. */
struct pick_group *pick_group_create(const struct of_group *,
                                     const struct alive *);
void pick_group_destroy(struct pick_group *);

/* Likewise from the flows of a pool that has slots as flows, whether their
 * servers are alive or not.  Returns NULL if a group that leads there is not
 * there. */
struct pick_group *pick_slots_create(const struct alive *,
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

/* The group with the id '*id' or, as long as that only goes on to another
 * group, that one, whose id it stores in '*id'.  NULL if there is no group
 * with that id, or none that is modelled here. */
struct pick_group *pick_follow(const struct alive *, uint32_t *id);

/* Fills in '*pick' if it returns PICK_FOUND.  A "dp_hash" is that of the
 * userspace datapath. */
enum pick_result pick_compute(const struct pick_group *, enum ovs_hash_build,
                              const struct pick_packet *, struct pick *pick);

#endif /* lib/pick.h */
