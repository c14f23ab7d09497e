/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LB_OFSTATE_H
#define LB_OFSTATE_H 1

/* A set of flows and groups: what should be, or what is, on a bridge
 * ==================================================================
 *
 * Both the compiler and the reader of a bridge end here, and each entry keeps
 * the OpenFlow 1.5 message that would add it.  Two entries are the same if
 * these messages are, byte for byte.  (Comparing actions in any other form
 * finds differences that are none: a bridge gives back "set_field" for
 * "load".)
 *
 * Flows are known by table, priority and match, groups by id. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <openvswitch/hmap.h>
#include <openvswitch/match.h>
#include <openvswitch/ofp-flow.h>
#include <openvswitch/ofp-group.h>
#include <openvswitch/ofpbuf.h>

#include "lib/diag.h"

struct of_flow {
    struct hmap_node node;      /* In 'flows' of struct ofstate. */
    struct of_flow *next;       /* The one that was added after it. */
    uint8_t table;
    uint16_t priority;
    struct minimatch match;
    uint64_t cookie;            /* Host byte order. */
    struct ofpbuf *message;     /* OFPT_FLOW_MOD that adds it, xid 0; not to
                                 * be changed. */
    struct source_loc loc;      /* Desired: what asked for it. */

    /* Installed: counters. */
    uint64_t n_packets;
    uint64_t n_bytes;
    uint32_t duration;          /* Seconds. */

    /* 'message' and its bytes are one piece of memory with the flow: there
     * are many, and to allocate and free each apart took a tenth of an
     * "apply". */
    struct ofpbuf buf;
    uint64_t bytes[];
};

struct of_group {
    struct hmap_node node;      /* In 'groups' of struct ofstate. */
    uint32_t id;
    struct ofpbuf *message;     /* OFPT_GROUP_MOD, "add or modify", xid 0. */
    struct source_loc loc;      /* Desired: what asked for it. */
};

struct ofstate {
    struct hmap flows;
    struct of_flow *first_flow;
    struct of_flow *last_flow;
    struct hmap groups;
};

/* Goes through the flows in the order in which they were added, which is about
 * that of their addresses: with a hundred thousand of them, what takes time is
 * to wait for memory. */
#define OFSTATE_FOR_EACH_FLOW(FLOW, STATE) \
    for ((FLOW) = (STATE)->first_flow; (FLOW); (FLOW) = (FLOW)->next)

void ofstate_init(struct ofstate *);
void ofstate_uninit(struct ofstate *);

/* Adds the flow that 'fm' describes (an OFPFC_ADD; still the caller's).
 * Returns it, or NULL if the state already has a flow with that table,
 * priority and match, which stays as it is. */
struct of_flow *ofstate_add_flow(struct ofstate *,
                                 const struct ofputil_flow_mod *fm);

/* Adds a copy of 'flow', which is in another state, unless there is one of
 * that key already. */
void ofstate_copy_flow(struct ofstate *, const struct of_flow *flow);

/* Adds the group that 'gm' describes (still the caller's).  Returns it, or
 * NULL if the state already has one with that id, which stays as it is. */
struct of_group *ofstate_add_group(struct ofstate *,
                                   struct ofputil_group_mod *gm);

/* Adds the group 'id' that 'message' (taken over), an "add or modify" with
 * transaction id 0, makes.  It need not be encoded as libopenvswitch would do
 * it.  Returns it, or NULL if the state already has a group with that id,
 * which stays as it is. */
struct of_group *ofstate_add_group_message(struct ofstate *, uint32_t id,
                                           struct ofpbuf *message);

/* The entry of 'state' that has the same key as 'like', which is in another
 * state, or NULL. */
struct of_flow *ofstate_find_flow(const struct ofstate *state,
                                  const struct of_flow *like);
struct of_group *ofstate_find_group(const struct ofstate *state, uint32_t id);

/* Whether 'state' has a flow with that key. */
bool ofstate_has_flow(const struct ofstate *state, uint8_t table,
                      uint16_t priority, const struct minimatch *match);

/* Whether the flow that 'fm' describes is in 'state', with all that counts. */
bool ofstate_has_same_flow(const struct ofstate *,
                           const struct ofputil_flow_mod *fm);

/* Likewise for the group that 'gm' describes, as ofstate_add_group() has
 * it. */
bool ofstate_has_same_group(const struct ofstate *,
                            struct ofputil_group_mod *gm);

/* A flow of 'state' with the table and priority of 'like' that some packet
 * matches as well as 'like', so that the switch may take either; or NULL.
 * Looks at all flows, and returns the first in their order. */
struct of_flow *ofstate_find_overlap(const struct ofstate *state,
                                     const struct of_flow *like);

/* The order of ofstate_sorted_*(): less than, equal to or greater than 0. */
int of_flow_compare(const struct of_flow *, const struct of_flow *);
int of_group_compare(const struct of_group *, const struct of_group *);

/* True if both entries, of the same key, are the same in all that counts. */
bool of_flow_equal(const struct of_flow *, const struct of_flow *);
bool of_group_equal(const struct of_group *, const struct of_group *);

/* Gives a group that is no select group the mark that makes it lbgen's: ids of
 * its buckets, of which it needs one at least.  (A select group carries its
 * mark in 'props', beside what it seeds the hash with.) */
void group_mark(struct ofputil_group_mod *gm);

/* Whether a group is lbgen's, by the mark that it carries. */
bool group_is_ours(const struct ofputil_group_desc *);

/* Whether a group that has no mark could be one of lbgen's that has lost it,
 * saved and restored in a version of OpenFlow without selection methods and
 * ids of buckets. */
bool group_has_lost_mark(const struct ofputil_group_desc *);

/* Arrays of all flows (by table, falling priority, text of the match) or
 * groups (by id), NULL at the end: a stable order for people.  The caller
 * frees the array, not the entries. */
struct of_flow **ofstate_sorted_flows(const struct ofstate *);
struct of_group **ofstate_sorted_groups(const struct ofstate *);

#endif /* lib/ofstate.h */
