/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LB_GENERATION_H
#define LB_GENERATION_H 1

/* Generations: noticing that somebody else was faster
 * ===================================================
 *
 * Between reading a bridge and changing it, another lbgen may have changed it,
 * perhaps from another host.  Then the changes no longer fit.  OpenFlow has no
 * "change this if it still is what I saw", but it has a group whose one bucket
 * has a number, and a message that removes the bucket with that number, and
 * fails, and the whole bundle with it, if there is none.
 *
 * So one group of lbgen's, which no flow points to, has a bucket whose id is
 * the generation: a hash of all that lbgen wants to be on the bridge, or of
 * the generation before and what changed.  Each bundle begins with the removal
 * of the bucket that was read and goes on with the bucket that will be.  Where
 * no group was read, it is added, which fails if there is one by now.  The
 * bucket carries a note of who made it.
 *
 * The group is no part of what is compared or shown. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <openvswitch/ofp-group.h>
#include <openvswitch/ofpbuf.h>

#include "lib/ofstate.h"

#define GENERATION_WHO_SIZE 96

/* A generation, or none. */
struct generation {
    bool exists;                /* Whether there is a group. */
    bool has_id;                /* False if somebody emptied it. */
    uint32_t id;
    char who[GENERATION_WHO_SIZE];  /* "root@host", "" if not known. */
};

/* Fills in '*generation' with that of 'desired', made by this user on this
 * host.  Where nothing is desired, it does not exist. */
void generation_compute(const struct ofstate *desired,
                        struct generation *generation);

/* Fills in '*generation' with one that follows 'old' when a part of what is
 * desired, of which the rest is not known, becomes 'desired'. */
void generation_follow(const struct generation *old,
                       const struct ofstate *desired,
                       struct generation *generation);

/* If 'gd' is the group, stores what it says and returns true. */
bool generation_read(const struct ofputil_group_desc *gd,
                     struct generation *generation);

/* Who made it, for messages. */
const char *generation_who(const struct generation *);

bool generation_equal(const struct generation *, const struct generation *);

/* Stores in 'messages' those for the head of a bundle that turns 'old' into
 * 'new', and returns their number.  The caller frees them. */
#define GENERATION_MAX_MESSAGES 2
size_t generation_messages(const struct generation *old,
                           const struct generation *new,
                           struct ofpbuf *messages[GENERATION_MAX_MESSAGES]);

/* Whether 'error', an OFPERR_* code, for one of these messages means that the
 * bridge has another generation than 'old'. */
bool generation_is_conflict(int error);

#endif /* lib/generation.h */
