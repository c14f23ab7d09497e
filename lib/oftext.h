/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LB_OFTEXT_H
#define LB_OFTEXT_H 1

/* Flows and groups as text that ovs-ofctl(8) reads
 * ================================================ */

#include <stddef.h>

#include <openvswitch/dynamic-string.h>

#include "lib/ofstate.h"
#include "lib/ports.h"

/* Appends 'flow' to 's': "cookie=...,table=...,... actions=...".  Ports appear
 * by their names in 'ports'. */
void oftext_flow(const struct of_flow *flow, const struct ports *ports,
                 struct ds *s);

/* A group as text in parts: the head, "group_id=...,type=...", and one part
 * for each bucket, "bucket=...".  With commas between them they are a
 * group. */
struct oftext_group {
    char *head;
    char **buckets;
    size_t n_buckets;
};

void oftext_group_init(struct oftext_group *, const struct of_group *group,
                       const struct ports *ports);
void oftext_group_uninit(struct oftext_group *);

#endif /* lib/oftext.h */
