/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "lib/compile-pool.h"

#include "lib/actions.h"

/* Affinity: a client stays with its server
 * ========================================
 *
 * Where a server has been picked for a client's connection, learn() leaves a
 * flow in the affinity table, from the client's address to the member id.  The
 * next connection of the client finds it there before anything is picked.  All
 * packets of the client to the pool, also those of known connections, go by
 * that table, so the flow's idle time-out is the time that the client has been
 * silent for.
 *
 * What is found there counts only as long as the dispatch table has a flow for
 * the member: a server that is gone, drains or is in maint has none, and the
 * client is treated as a new one and gets another server, which takes the
 * place of the old one in the affinity table.  Flows of that table have the
 * cookie of the member and go with the flows that learn them, so nothing
 * outdated is left there either.
 *
 * Where the switch watches the member's port and that is down, the client is
 * treated as a new one, too.
 *
 * A client beyond the limit is not remembered and meets the policy with each
 * connection.
 *
 * In the userspace datapath the switch handles one first packet after the
 * other, and the flow is there when the next is looked at: two connections at
 * the same moment get the same server.  Where a group picks by the datapath's
 * hash, packets leave for the datapath in between and others may come first,
 * so the table is asked again once they are back. */

/* In the register for turns, which such pools do not have: asked again. */
#define STAGE_ASKED_AGAIN 1
#define STAGE_HELD 2            /* Sent to the server that the client has. */

static bool
has_affinity(const struct assignment *a)
{
    return a->pool->affinity.by != AFFINITY_NONE;
}

void
compiler_put_use(struct compiler *c, const struct assignment *a)
{
    if (has_affinity(a)) {
        act_set_u32(&c->acts, REG_POOL, a->id);
        act_resubmit(&c->acts, compiler_table(c, TABLE_AFFINITY));
    }
}

void
compiler_put_remember(struct compiler *c, const struct assignment *a,
                      enum family family, uint16_t member)
{
    const struct affinity *affinity = &a->pool->affinity;

    if (has_affinity(a)) {
        act_learn_affinity(&c->acts, compiler_table(c, TABLE_AFFINITY),
                           cookie_make(COOKIE_AFFINITY, a->id, member),
                           family, affinity->timeout, affinity->limit,
                           REG_POOL, a->id, REG_AFFINITY, member);
    }
}

uint8_t
compiler_picked_table(const struct compiler *c, const struct assignment *a)
{
    return compiler_table(c, (has_affinity(a) ? TABLE_DISPATCH
                              : compiler_server_table(a->pool)));
}

void
compiler_put_dispatch(struct compiler *c, const struct assignment *a)
{
    act_set_u32(&c->acts, REG_POOL, a->id);
    act_set_u32(&c->acts, REG_MEMBER, 0);
    act_set_u32(&c->acts, REG_TURN, 0);
    if (has_affinity(a)) {
        act_set_u32(&c->acts, REG_AFFINITY, 0);
        act_resubmit(&c->acts, compiler_table(c, TABLE_AFFINITY));
    }
    act_resubmit(&c->acts, compiler_table(c, TABLE_DISPATCH));
}

void
compiler_match_dispatch(struct compiler *c, const struct assignment *a)
{
    match_set_reg(&c->match, REG_POOL - MFF_REG0, a->id);
}

void
compiler_emit_dispatch(struct compiler *c, const struct assignment *a,
                       uint16_t priority, uint16_t member,
                       const struct source_loc *loc)
{
    compiler_emit(c, compiler_table(c, TABLE_DISPATCH), priority,
                  cookie_make(COOKIE_DISPATCH, a->id, member), loc);
}

/* The client has this server. */
static void
emit_pinned(struct compiler *c, const struct assignment *a, size_t i)
{
    uint32_t hold = compiler_hold_server(c, a, i);
    uint16_t member = a->members[i];

    compiler_match_dispatch(c, a);
    match_set_reg(&c->match, REG_AFFINITY - MFF_REG0, member);
    if (hold == OFPG_ANY) {
        act_set_u32(&c->acts, REG_MEMBER, member);
        act_resubmit(&c->acts, compiler_table(c, TABLE_SERVER));
    } else {
        act_set_u32(&c->acts, REG_TURN, STAGE_HELD);
        act_group(&c->acts, hold);
    }
    compiler_emit_dispatch(c, a, DISPATCH_PINNED, member,
                           &a->pool->servers[i].loc);
}

/* The pool's group has picked this server for a client of 'family'. */
static void
emit_picked(struct compiler *c, const struct assignment *a, size_t i,
            enum family family, uint32_t stage, uint16_t priority)
{
    uint16_t member = a->members[i];

    compiler_match_dispatch(c, a);
    compiler_match_protocol(c, family, a->pool->protocol);
    compiler_match_member(c, member);
    match_set_reg(&c->match, REG_TURN - MFF_REG0, stage);
    compiler_put_remember(c, a, family, member);
    act_resubmit(&c->acts, compiler_table(c, TABLE_SERVER));
    compiler_emit_dispatch(c, a, priority, member, &a->pool->servers[i].loc);
}

/* The server that the client has is alive. */
static void
emit_held(struct compiler *c, const struct assignment *a, size_t i)
{
    uint16_t member = a->members[i];

    compiler_match_dispatch(c, a);
    compiler_match_member(c, member);
    match_set_reg(&c->match, REG_TURN - MFF_REG0, STAGE_HELD);
    match_set_reg(&c->match, REG_AFFINITY - MFF_REG0, member);
    act_resubmit(&c->acts, compiler_table(c, TABLE_SERVER));
    compiler_emit_dispatch(c, a, DISPATCH_HELD, member,
                           &a->pool->servers[i].loc);
}

/* Where no server is picked yet, pick one; where one is, see whether the
 * client has got one meanwhile. */
static void
emit_stages(struct compiler *c, const struct assignment *a)
{
    compiler_match_dispatch(c, a);
    match_set_reg(&c->match, REG_MEMBER - MFF_REG0, 0);
    compiler_put_slots(c, a);
    compiler_emit_dispatch(c, a, DISPATCH_BEGIN, 0, &a->pool->loc);

    compiler_match_dispatch(c, a);
    match_set_reg(&c->match, REG_TURN - MFF_REG0, 0);
    act_set_u32(&c->acts, REG_TURN, STAGE_ASKED_AGAIN);
    act_set_u32(&c->acts, REG_AFFINITY, 0);
    act_resubmit(&c->acts, compiler_table(c, TABLE_AFFINITY));
    act_resubmit(&c->acts, compiler_table(c, TABLE_DISPATCH));
    compiler_emit_dispatch(c, a, DISPATCH_DEFAULT, 0, &a->pool->loc);
}

/* Pools that go by turns: the client has this server; if that is alive, so be
 * it. */
static void
emit_pinned_by_turn(struct compiler *c, const struct assignment *a, size_t i)
{
    uint16_t member = a->members[i];

    compiler_match_dispatch(c, a);
    match_set_reg(&c->match, REG_MEMBER - MFF_REG0, 0);
    match_set_reg(&c->match, REG_AFFINITY - MFF_REG0, member);
    compiler_put_stay(c, a, i);
    compiler_emit_dispatch(c, a, DISPATCH_PINNED, member,
                           &a->pool->servers[i].loc);

    compiler_match_dispatch(c, a);
    compiler_match_member(c, member);
    match_set_reg(&c->match, REG_TURN - MFF_REG0, 0);
    match_set_reg(&c->match, REG_AFFINITY - MFF_REG0, member);
    act_resubmit(&c->acts, compiler_table(c, TABLE_SERVER));
    compiler_emit_dispatch(c, a, DISPATCH_HELD, member,
                           &a->pool->servers[i].loc);
}

/* Likewise; if that is dead, the client is a new one. */
static void
emit_forget(struct compiler *c, const struct assignment *a)
{
    compiler_match_dispatch(c, a);
    match_set_reg(&c->match, REG_MEMBER - MFF_REG0, MEMBER_DEAD);
    match_set_reg(&c->match, REG_TURN - MFF_REG0, 0);
    act_set_u32(&c->acts, REG_MEMBER, 0);
    act_set_u32(&c->acts, REG_AFFINITY, 0);
    act_resubmit(&c->acts, compiler_table(c, TABLE_DISPATCH));
    compiler_emit_dispatch(c, a, DISPATCH_HELD, 0, &a->pool->loc);
}

/* The pool's group, or a backup's, has picked this server for a client of
 * 'family', since so many were dead. */
static void
emit_stood_in(struct compiler *c, const struct assignment *a, size_t i,
              enum family family)
{
    uint16_t member = a->members[i];

    compiler_match_dispatch(c, a);
    compiler_match_protocol(c, family, a->pool->protocol);
    compiler_match_member(c, member);
    compiler_put_remember(c, a, family, member);
    act_resubmit(&c->acts, compiler_table(c, TABLE_SERVER));
    compiler_emit_dispatch(c, a, DISPATCH_STOOD_IN, member,
                           &a->pool->servers[i].loc);
}

/* What there is of server 'i' in a pool that goes by turns. */
static void
emit_by_turn(struct compiler *c, const struct assignment *a, size_t i)
{
    emit_pinned_by_turn(c, a, i);
    for (size_t j = 0; compiler_has_chain(c, a) && j < a->pool->vips.n; j++) {
        emit_stood_in(c, a, i, ip_family(&a->pool->vips.ip[j]));
    }
}

/* What there is of it in another pool. */
static void
emit_by_slot(struct compiler *c, const struct assignment *a, size_t i)
{
    emit_pinned(c, a, i);
    emit_held(c, a, i);
    for (size_t j = 0; j < a->pool->vips.n; j++) {
        enum family family = ip_family(&a->pool->vips.ip[j]);

        emit_picked(c, a, i, family, STAGE_ASKED_AGAIN, DISPATCH_TAKEN);
        emit_picked(c, a, i, family, STAGE_HELD, DISPATCH_STEPPED_IN);
    }
}

void
compile_affinity(struct compiler *c, const struct assignment *a)
{
    bool by_turn = pool_selection(a->pool) == POLICY_BY_TURN;

    for (size_t i = 0; i < a->pool->n_servers; i++) {
        if (server_effective_weight(&a->pool->servers[i])) {
            (by_turn ? emit_by_turn : emit_by_slot)(c, a, i);
        }
    }
    if (!by_turn) {
        emit_stages(c, a);
    } else if (compiler_has_chain(c, a)) {
        emit_forget(c, a);
    }
}
