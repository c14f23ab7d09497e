/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LB_GROUP_DESC_H
#define LB_GROUP_DESC_H 1

/* Groups as a switch describes them
 * =================================
 *
 * A description has the same bytes as the message that makes the group, but
 * for the first few.  So a group that has not changed is known by them, and
 * nobody has to look into its hundreds of buckets: libopenvswitch, which
 * compares the id of each with those of all before it, took a fifth of an
 * "apply" for that. */

#include <openvswitch/ofp-group.h>
#include <openvswitch/ofpbuf.h>

/* One description, as it came; in the reply that it is part of. */
struct ofp15_group_desc_stats;

/* Takes the next description off 'part', a part of the reply to a request for
 * them, and stores it in '*descp' and, as ofputil_decode_group_desc_reply()
 * does it, in '*gd', which the caller uninitialises; but of a select group
 * with only the first of the buckets.  Returns 0, EOF after the last, or
 * another value if the part makes no sense. */
int group_desc_pull(struct ofpbuf *part, struct ofputil_group_desc *gd,
                    const struct ofp15_group_desc_stats **descp);

/* The message that makes such a group, "add or modify", with transaction id
 * 0.  Its bytes are those that libopenvswitch would encode if the switch does
 * as that does.  The caller frees it. */
struct ofpbuf *group_desc_message(const struct ofp15_group_desc_stats *);

#endif /* lib/group-desc.h */
