/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "lib/pick.h"

#include <stdlib.h>

#include "lib/layout.h"

/* How the switch picks one of the flows of the slot table: see
 * lib/compile-slots.c. */

/* The number of slots that the upper and lower groups pick together. */
static bool
steps_fit(const struct pick_group *high, const struct pick_group *low,
          size_t n_slots)
{
    return (high && low && high->method == PICK_BY_FIELDS
            && low->method == PICK_BY_FIELDS
            && high->n_slots * low->n_slots == n_slots);
}

static struct pick_group *
read_group(const struct alive *alive, enum group_kind kind,
           const struct assignment *a)
{
    const struct of_group *group
        = ofstate_find_group(alive->groups, group_make(kind, a->id));

    return group ? pick_group_create(group, alive) : NULL;
}

/* Decides what a slot of 'g' is picked by.  False if that is not there. */
static bool
set_method(struct pick_group *g, const struct alive *alive,
           const struct assignment *a)
{
    enum policy_selection selection = pool_selection(a->pool);

    if (selection == POLICY_BY_LOW_BITS) {
        g->method = PICK_BY_LOW_BITS;
        return true;
    }
    g->high = read_group(alive, GROUP_SLOTS, a);
    g->id = g->high ? g->high->id : 0;
    if (g->high && selection == POLICY_BY_CONNECTION) {
        g->method = g->high->method;
        g->param = g->high->param;
    } else if (g->high && selection == POLICY_BY_CLIENT) {
        g->low = read_group(alive, GROUP_SLOTS_LOW, a);
        g->method = (steps_fit(g->high, g->low, a->pool->n_slots)
                     ? PICK_BY_STEPS : PICK_OTHERWISE);
    }
    return g->id != 0;
}

/* Makes a bucket for each slot, and looks for its flow. */
static void
fill_slots(struct pick_group *g, const struct ofstate *installed,
           const struct assignment *a)
{
    const struct of_flow *flow;

    g->n_slots = g->n_buckets = a->pool->n_slots;
    g->buckets = lb_xcalloc(g->n_buckets, sizeof *g->buckets);
    g->slots = lb_xcalloc(g->n_slots, sizeof *g->slots);
    for (size_t i = 0; i < g->n_slots; i++) {
        g->slots[i] = i;
        g->buckets[i].id = i;
        g->buckets[i].weight = 1;
        g->buckets[i].group = OFPG_ANY;
        g->buckets[i].is_alive = true;
    }
    OFSTATE_FOR_EACH_FLOW (flow, installed) {
        if (cookie_kind(flow->cookie) == COOKIE_SLOT
            && cookie_pool(flow->cookie) == a->id) {
            struct match match;
            uint32_t slot;

            minimatch_expand(&flow->match, &match);
            slot = match.flow.regs[REG_SLOT - MFF_REG0];
            if (slot < g->n_slots) {
                g->buckets[slot].member = cookie_member(flow->cookie);
            }
        }
    }
}

struct pick_group *
pick_slots_create(const struct alive *alive, const struct assignment *a)
{
    struct pick_group *g = lb_xcalloc(1, sizeof *g);

    g->is_flows = true;
    if (!set_method(g, alive, a)) {
        pick_group_destroy(g);
        return NULL;
    }
    fill_slots(g, alive->groups, a);
    return g;
}
