/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "lib/reach.h"

#include <stdlib.h>

#include "lib/found.h"
#include "lib/layout.h"
#include "lib/tiers.h"

/* The member id that 'a' stays at, or 0. */
static uint16_t
find_pin(const struct bridge *bridge, const struct assignment *a)
{
    const struct of_flow *flow;

    OFSTATE_FOR_EACH_FLOW (flow, &bridge->pins) {
        if (cookie_pool(flow->cookie) == a->id) {
            return cookie_member(flow->cookie);
        }
    }
    return 0;
}

size_t
reach_pinned_tier(const struct bridge *bridge, const struct assignment *a)
{
    size_t i = assignment_find_member(a, find_pin(bridge, a));

    return i == SIZE_MAX ? SIZE_MAX : a->pool->servers[i].tier;
}

uint32_t
reach_first_group(const struct bridge *bridge, const struct assignment *a)
{
    uint32_t hold = group_make(GROUP_HOLD_TIER, find_pin(bridge, a));
    uint32_t chain = group_make(GROUP_CHAIN, a->id);

    return (ofstate_find_group(&bridge->installed, hold) ? hold
            : ofstate_find_group(&bridge->installed, chain) ? chain
            : group_make(GROUP_MAIN, a->id));
}

/* Shares of a pool that goes by turns: those of servers that are down go to
 * the others, as their turns say.  Returns what nobody is left for, 0 or 1. */
static double
take_turns(const struct assignment *a, struct reach *reach)
{
    uint16_t *counts = lb_xcalloc(a->pool->n_servers, sizeof *counts);
    size_t n_living = 0;

    assignment_count_slots(a, counts);
    for (size_t i = 0; i < a->pool->n_servers; i++) {
        n_living += reach_is_down(reach, a, i) ? 0 : counts[i];
    }
    for (size_t i = 0; n_living && i < a->pool->n_servers; i++) {
        if (!reach_is_down(reach, a, i)) {
            reach->servers[i].share = (double) counts[i] / n_living;
        }
    }
    free(counts);
    return !n_living;
}

/* Shares as the slots say, for a pool that no group says them of.  Returns
 * that of servers that are down, which do not get it. */
static double
take_slots(const struct assignment *a, struct reach *reach)
{
    uint16_t *counts = lb_xcalloc(a->pool->n_servers, sizeof *counts);
    size_t size = assignment_size(a);
    double dead = 0;

    assignment_count_slots(a, counts);
    for (size_t i = 0; i < a->pool->n_servers; i++) {
        double share = size ? (double) counts[i] / size : 0;

        if (reach_is_down(reach, a, i)) {
            dead += share;
        } else {
            reach->servers[i].share = share;
        }
    }
    free(counts);
    return dead;
}

/* Divides a share of 'part' of all new connections as 'group' says. */
static void
take_group(const struct assignment *a, const struct pick_group *group,
           double part, struct reach *reach)
{
    reach->unserved = part;
    for (size_t slot = 0; slot < group->n_slots; slot++) {
        size_t i = assignment_find_member(
            a, group->buckets[group->slots[slot]].member);

        if (i != SIZE_MAX) {
            reach->servers[i].share += part / group->n_slots;
            reach->unserved -= part / group->n_slots;
        }
    }
    if (reach->unserved < 1e-9) {
        reach->unserved = 0;
    }
}

void
reach_view_init(struct reach_view *view, const struct bridge *bridge)
{
    const struct of_flow *flow;
    struct model model;

    view->bridge = bridge;
    bridge_model(bridge, &model, NULL, NULL);
    watcher_init(&view->watcher, &model, &bridge->ports);
    bridge_model_uninit(&model);
    view->empty = lb_xcalloc(UINT16_MAX + 1, sizeof *view->empty);
    OFSTATE_FOR_EACH_FLOW (flow, &bridge->installed) {
        if (cookie_kind(flow->cookie) == COOKIE_EMPTY) {
            view->empty[cookie_pool(flow->cookie)] = flow;
        }
    }
}

void
reach_view_uninit(struct reach_view *view)
{
    watcher_uninit(&view->watcher);
    free(view->empty);
}

/* Looks at the servers' ports. */
static void
take_ports(const struct reach_view *view, const struct assignment *a,
           struct reach *reach)
{
    const struct ports *ports = &view->bridge->ports;

    for (size_t i = 0; i < a->pool->n_servers; i++) {
        const struct server *server = &a->pool->servers[i];
        struct server_reach *r = &reach->servers[i];

        r->is_watched = (watcher_find_port(&view->watcher, a->pool, server)
                         != PORT_NONE);
        r->is_up = (server_is_located(server)
                    && ports_is_live(ports,
                                     ports_find(ports,
                                                server_interface(server))));
    }
}

static void
count_unserved(const struct reach_view *view, const struct assignment *a,
               struct reach *reach)
{
    const struct of_flow *flow = view->empty[a->id];

    if (flow) {
        reach->counts_unserved = true;
        reach->n_unserved = flow->n_packets;
    }
}

void
reach_compute(const struct reach_view *view, const struct assignment *a,
              struct reach *reach)
{
    const struct bridge *bridge = view->bridge;
    const struct alive alive = { &bridge->installed, &bridge->ports };
    uint32_t id = reach_first_group(bridge, a);
    struct pick_group *group = pick_follow(&alive, &id);

    *reach = (struct reach) {
        .servers = lb_xcalloc(a->pool->n_servers, sizeof *reach->servers),
        .pinned_tier = reach_pinned_tier(bridge, a),
    };
    reach->is_pinned = reach->pinned_tier != SIZE_MAX;
    take_ports(view, a, reach);
    count_unserved(view, a, reach);
    if (!group || pool_has_slot_flows(a->pool)
        || pool_selection(a->pool) == POLICY_BY_TURN) {
        double dead = (pool_selection(a->pool) == POLICY_BY_TURN
                       ? take_turns(a, reach) : take_slots(a, reach));

        if (group && dead > 0) {
            take_group(a, group, dead, reach);
        }
    } else {
        take_group(a, group, 1, reach);
    }
    pick_group_destroy(group);
}

void
reach_uninit(struct reach *reach)
{
    free(reach->servers);
}

bool
reach_is_down(const struct reach *reach, const struct assignment *a,
              size_t index)
{
    return (reach->servers[index].is_watched && !reach->servers[index].is_up
            && server_takes(a->pool, index));
}
