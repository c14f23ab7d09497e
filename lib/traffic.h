/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LB_TRAFFIC_H
#define LB_TRAFFIC_H 1

/* What the switch has counted for each server
 * =========================================== */

#include <stdbool.h>
#include <stdint.h>

#include "lib/bridge.h"

/* Traffic of one server of a pool, or of all of it. */
struct traffic {
    bool counts_connections;    /* Else 'connections' is not known. */
    uint64_t connections;       /* New ones since the pool was set up. */
    uint64_t packets;           /* To the server. */
    uint64_t bytes;
    uint64_t reply_packets;     /* From the server. */
    uint64_t reply_bytes;
};

/* What the counters of the installed flows come to.  Element i is an array,
 * with one element for each server of pool i of 'bridge->assignments'.  Free
 * it with traffic_free(). */
struct traffic **traffic_collect(const struct bridge *bridge);
void traffic_free(struct traffic **, const struct bridge *bridge);

#endif /* lib/traffic.h */
