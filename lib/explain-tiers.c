/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "lib/explain.h"

#include <stdlib.h>

#include "lib/health.h"
#include "lib/reach.h"
#include "lib/tiers.h"

/* Explanations of whom new connections pass over, and in whose favour. */

void
explain_note_health(struct explanation *e)
{
    for (size_t i = 0; i < e->assignment->pool->n_servers; i++) {
        const struct server *server = &e->assignment->pool->servers[i];
        const struct health *h = &server->health;

        if (h->state == HEALTH_DOWN || h->state == HEALTH_STARTING) {
            explain_add_note(
                e, "server %s is %s%s%s%s %s", server->name,
                health_state_name(h->state), h->error ? " (" : "",
                h->error ? h->error : "", h->error ? ")" : "",
                (!h->out ? "and counts as up, because so many are"
                 : h->state == HEALTH_DOWN ? "and gets no new connections"
                 : "and gets no connections before it passes a check"));
        }
    }
}

/* Notes that the first tier is too busy. */
static void
note_spill(struct explanation *e)
{
    const struct pool *pool = e->assignment->pool;
    size_t first = tier_first(pool);
    uint16_t *shares;

    if (tiers_spill(pool, &shares)) {
        explain_add_note(e, "%s is too busy: %.2f%% of its new connections go "
                         "to those behind it", tier_name(pool, first),
                         100.0 * (TIERS_WHOLE - shares[first]) / TIERS_WHOLE);
    }
    free(shares);
}

void
explain_note_tier(struct explanation *e, const struct bridge *bridge)
{
    const struct pool *pool = e->assignment->pool;
    size_t pinned = reach_pinned_tier(bridge, e->assignment);
    size_t tier = SIZE_MAX;

    for (size_t i = 0; i < pool->n_servers; i++) {
        if (e->n_slots[i] && pool->servers[i].tier < tier) {
            tier = pool->servers[i].tier;   /* Later ones are spilled to. */
        }
    }
    if (tier != SIZE_MAX && tier == pinned && tier > tier_first(pool)) {
        explain_add_note(e, "the pool stays where it is, with \"preempt\" "
                         "false");
    } else if (tier != SIZE_MAX && tier > tier_first(pool)) {
        explain_add_note(e, "nothing that comes before it in the pool is "
                         "alive");
    } else if (tier != SIZE_MAX) {
        note_spill(e);
    }
}
