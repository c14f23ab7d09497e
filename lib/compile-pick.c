/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "lib/compile-pool.h"

#include "lib/actions.h"
#include "lib/tiers.h"

/* Picking a server
 * ================
 *
 * What a kind of "connections:" does with a packet that needs a server, up to
 * the point where one is chosen.  How packets are rewritten then is not known
 * here, nor here how it came about there.
 *
 * A pool that stays at the tier it has ("failover: {preempt: false}") has its
 * memory in the switch: a flow of the pin table, which the switch itself
 * learns when a server of another tier is chosen.
 *
 *   pick:    pin table, for the tier       learned: its first member
 *            pin table, for a server       that tier's group, else the chain
 *   bucket:  pin table, to remember it     learn, unless it is that tier
 *            server table
 *
 * Nothing is learned as long as the tier is the same, and the flow goes with
 * those that it comes from when the servers of its tier take no connections
 * any more. */

uint16_t
tier_member(const struct assignment *a, size_t tier)
{
    size_t i = 0;

    while (a->pool->servers[i].tier != tier) {
        i++;
    }
    return a->members[i];
}

bool
compiler_has_pin(const struct assignment *a)
{
    return (a->pool->policy->in_order
            && !a->pool->params[FAILOVER_PREEMPT]);
}

void
compiler_put_slots(struct compiler *c, const struct assignment *a)
{
    struct ofpbuf *acts = &c->acts;

    if (compiler_has_pin(a)) {
        act_set_u32(acts, REG_POOL, a->id);
        act_set_u32(acts, REG_PIN, PIN_LOOK);
        act_resubmit(acts, compiler_table(c, TABLE_PIN));
        act_set_bits(acts, REG_PIN, PIN_GO, PIN_STAGE_MASK);
        act_resubmit(acts, compiler_table(c, TABLE_PIN));
    } else if (pool_has_slot_flows(a->pool)
               && tier_n_taking(a->pool, tier_first(a->pool), NULL)) {
        compiler_put_slot(c, a);
    } else if (compiler_has_chain(c, a)) {
        act_group(acts, group_make(GROUP_CHAIN, a->id));
    } else {
        act_group(acts, assignment_group_id(a));
    }
}

void
compiler_put_server(const struct compiler *c, const struct assignment *a,
                    size_t index, struct ofpbuf *acts)
{
    act_set_u32(acts, REG_MEMBER, a->members[index]);
    if (compiler_has_pin(a)) {
        act_set_bits(acts, REG_PIN, PIN_SETTLE, PIN_STAGE_MASK);
        act_resubmit(acts, compiler_table(c, TABLE_PIN));
    } else {
        act_resubmit(acts, compiler_picked_table(c, a));
    }
}

/* Where the pool stays at 'tier', to that. */
static void
emit_pinned(struct compiler *c, const struct assignment *a, size_t tier)
{
    uint16_t member = tier_member(a, tier);

    match_set_reg(&c->match, REG_POOL - MFF_REG0, a->id);
    match_set_reg(&c->match, REG_PIN - MFF_REG0, PIN_GO | member);
    act_group(&c->acts, group_make(GROUP_HOLD_TIER, member));
    compiler_emit(c, compiler_table(c, TABLE_PIN), 20,
                  cookie_make(COOKIE_PINNED, a->id, member), &a->pool->loc);
}

/* Where it has been nowhere yet, or at a tier that is gone, to the chain. */
static void
emit_not_pinned(struct compiler *c, const struct assignment *a)
{
    match_set_reg(&c->match, REG_POOL - MFF_REG0, a->id);
    match_set_reg_masked(&c->match, REG_PIN - MFF_REG0, PIN_GO,
                         PIN_STAGE_MASK);
    act_group(&c->acts, group_make(GROUP_CHAIN, a->id));
    compiler_emit(c, compiler_table(c, TABLE_PIN), 10,
                  cookie_make(COOKIE_PINNED, a->id, 0), &a->pool->loc);
}

/* Remembers the tier of server 'index', which is chosen, if it is another
 * one. */
static void
emit_settle(struct compiler *c, const struct assignment *a, size_t index)
{
    const struct server *server = &a->pool->servers[index];
    uint16_t tier = tier_member(a, server->tier);
    uint64_t cookie = cookie_make(COOKIE_SETTLE, a->id, a->members[index]);

    compiler_match_member(c, a->members[index]);
    match_set_reg(&c->match, REG_PIN - MFF_REG0, PIN_SETTLE | tier);
    act_resubmit(&c->acts, compiler_picked_table(c, a));
    compiler_emit(c, compiler_table(c, TABLE_PIN), 20, cookie, &server->loc);

    compiler_match_member(c, a->members[index]);
    match_set_reg_masked(&c->match, REG_PIN - MFF_REG0, PIN_SETTLE,
                         PIN_STAGE_MASK);
    act_learn_pin(&c->acts, compiler_table(c, TABLE_PIN),
                  cookie_make(COOKIE_PIN, a->id, tier), a->id, tier);
    act_resubmit(&c->acts, compiler_picked_table(c, a));
    compiler_emit(c, compiler_table(c, TABLE_PIN), 10, cookie, &server->loc);
}

void
compile_pin(struct compiler *c, const struct assignment *a)
{
    emit_not_pinned(c, a);
    for (size_t tier = 0; tier < a->pool->n_tiers; tier++) {
        if (tier_n_taking(a->pool, tier, NULL)) {
            emit_pinned(c, a, tier);
        }
    }
    for (size_t i = 0; i < a->pool->n_servers; i++) {
        if (server_takes(a->pool, i)) {
            emit_settle(c, a, i);
        }
    }
}

void
compiler_put_pick(struct compiler *c, const struct assignment *a)
{
    if (pool_selection(a->pool) == POLICY_BY_TURN
        || a->pool->affinity.by != AFFINITY_NONE) {
        compiler_put_dispatch(c, a);
    } else {
        compiler_put_slots(c, a);
    }
}
