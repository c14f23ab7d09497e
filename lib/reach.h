/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LB_REACH_H
#define LB_REACH_H 1

/* Which servers new connections reach now
 * =======================================
 *
 * Slots say what is meant to be; what is alive says what is.  Computed from
 * the groups and ports of a bridge as they were read.  Pure. */

#include "lib/bridge.h"
#include "lib/liveness.h"
#include "lib/pick.h"

struct server_reach {
    bool is_watched;            /* The switch watches its port. */
    bool is_up;                 /* Its port, watched or not, is alive. */
    double share;               /* Of new connections, 0 to 1. */
};

struct reach {
    struct server_reach *servers;   /* As those of the pool. */
    double unserved;            /* Share that no server is there for. */
    bool counts_unserved;
    uint64_t n_unserved;        /* Packets that no server was there for. */
    bool is_pinned;             /* The pool stays at a tier. */
    size_t pinned_tier;
};

/* What is the same for all pools of a bridge, found out once. */
struct reach_view {
    const struct bridge *bridge;    /* Borrowed. */
    struct watcher watcher;
    const struct of_flow **empty;   /* By pool id, what counts packets that no
                                     * server was there for, or NULL. */
};

void reach_view_init(struct reach_view *, const struct bridge *);
void reach_view_uninit(struct reach_view *);

/* Fills in '*reach' for 'a', a pool of the bridge of 'view'. */
void reach_compute(const struct reach_view *view, const struct assignment *a,
                   struct reach *reach);
void reach_uninit(struct reach *);

/* Whether new connections pass over server 'index' because its port is
 * down. */
bool reach_is_down(const struct reach *, const struct assignment *a,
                   size_t index);

/* The tier that the pool of 'a' stays at, or SIZE_MAX. */
size_t reach_pinned_tier(const struct bridge *, const struct assignment *a);

/* The id of the group that new connections to 'a' meet first. */
uint32_t reach_first_group(const struct bridge *, const struct assignment *a);

#endif /* lib/reach.h */
