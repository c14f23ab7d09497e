/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LB_ATTEMPT_ROUTE_H
#define LB_ATTEMPT_ROUTE_H 1

/* Which way this host would go to a neighbour
 * ===========================================
 *
 * For checks that ask a neighbour who it is, by ARP or neighbour discovery:
 * such questions need to be told which interface they go out of. */

#include <linux/if_packet.h>
#include <stdbool.h>

#include "lib/attempt.h"

struct attempt_route {
    struct ip source;           /* This host's address towards there. */
    struct sockaddr_ll link;    /* The interface, with its MAC. */
};

/* Fills in '*route' to 'ip'.  Returns 0, ENODEV if this host has none, or none
 * by an interface with Ethernet, or another errno value if it cannot tell. */
int attempt_find_route(const struct ip *ip, struct attempt_route *route);

#endif /* lib/attempt-route.h */
