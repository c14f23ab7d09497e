/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LB_ALIVE_H
#define LB_ALIVE_H 1

/* What the switch takes for alive
 * ===============================
 *
 * A model of bucket_is_alive() and group_is_alive() in
 * ofproto/ofproto-dpif-xlate.c: a bucket that watches nothing is alive, one
 * that watches a port or a group is if that is, and a group is as long as one
 * of its buckets is.  Pure. */

#include <stdbool.h>

#include "lib/ofstate.h"
#include "lib/ports.h"

/* What can be watched on a bridge. */
struct alive {
    const struct ofstate *groups;   /* And flows. */
    const struct ports *ports;
};

bool alive_bucket(const struct alive *, const struct ofputil_bucket *);

#endif /* lib/alive.h */
