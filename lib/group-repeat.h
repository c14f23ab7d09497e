/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LB_GROUP_REPEAT_H
#define LB_GROUP_REPEAT_H 1

/* Groups that have the same few buckets again and again
 * =====================================================
 *
 * A pool of ten servers has a group of 256 buckets, of which only ten differ
 * in more than their ids.  To have libopenvswitch encode each took a tenth of
 * an "apply"; so each is encoded once, and copied. */

#include <stddef.h>
#include <stdint.h>

#include <openvswitch/ofp-group.h>
#include <openvswitch/ofpbuf.h>

/* The bucket that comes next: number 'bucket' of the group, with another
 * id. */
struct group_repeat {
    size_t bucket;
    uint32_t id;
};

/* The message, "add or modify" with transaction id 0, that makes 'gm' (still
 * the caller's) but with the 'n' buckets that 'repeats' says in place of its
 * own.  Its bytes are those that libopenvswitch would encode.  The caller
 * frees it. */
struct ofpbuf *group_repeat_message(struct ofputil_group_mod *gm,
                                    const struct group_repeat *repeats,
                                    size_t n);

#endif /* lib/group-repeat.h */
