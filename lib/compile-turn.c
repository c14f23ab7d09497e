/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "lib/compile-pool.h"

#include "lib/actions.h"
#include "lib/tiers.h"
#include "lib/turns.h"

/* Turns: a switch that counts connections
 * =======================================
 *
 * Whose turn it is stands in one flow of the turn table, which learn()
 * replaces with each new connection.  The first packet of one asks that table,
 * goes to the flow of that turn in the dispatch table, and that learns the
 * next turn and sends the packet to the server.
 *
 * For that to be exact, each new connection must come to ovs-vswitchd and none
 * may be handled by what the datapath remembers of another:
 *
 *   - The datapath's flow for the first packet must match nothing but packets
 *     of that client's address and port.  It does because the two are moved
 *     into a register.
 *
 *   - It must not stay: its actions lead to a turn that is over, and counting
 *     its packets means learning that turn's successor once more.  A learn()
 *     with a "limit" is never cached when the datapath's flows are gone
 *     through the next time, since its outcome may change (XC_LEARN and
 *     avoid_caching in ofproto-dpif-xlate.c, revalidate_ukey__() in
 *     ofproto-dpif-upcall.c), and learning itself brings that about.  So the
 *     flow is gone after some milliseconds, and however many connections
 *     there are, the datapath holds a handful of such flows.  (A client that
 *     begins another connection from the very same port before that gets the
 *     same server again.)
 *
 * Later packets of the connection, SYNs sent again included, are known to
 * connection tracking and take no turn.
 *
 * In the userspace datapath one thread handles the first packets of all
 * ports that are not DPDK's, one after the other, and sees what the one before
 * has learned: the order is exact at any rate that it can do.  Where several
 * threads do, in the kernel's datapath or with DPDK, connections at the same
 * moment may take the same turn.
 *
 * Where the switch watches a server's port and that is down, that server's
 * turns are passed over: the connection goes to the next turn of another
 * server, and is counted as having taken that.  So those that are left take
 * turns among themselves, in the order that they would have without it.  Each
 * turn that is passed over makes the switch's work on that packet a little
 * deeper, which it bounds (MAX_DEPTH in ofproto-dpif-xlate.c), so that after
 * TURNS_MAX_PASSED in a row a hash chooses among those that are alive.  That
 * there are any the pool's chain has seen before.
 *
 * Turns are known by server, so that the switch goes on with the right one
 * when the pool changes: see turn_find(), which says the same. */

/* How long a pool's turn is remembered after the last new connection. */
#define TURN_IDLE_TIMEOUT 3600

/* In the register for turns: a hash has chosen, whoever's turn it was. */
#define STAGE_LOST 1

/* Appends actions that go on as if it were turn 'turn'. */
static void
put_turn(struct compiler *c, uint32_t id)
{
    act_set_u32(&c->acts, REG_TURN, id);
    act_resubmit(&c->acts, compiler_table(c, TABLE_DISPATCH));
}

/* A new connection, of 'family' and 'protocol', asks whose turn it is; the
 * first server's if nobody knows. */
static void
emit_begin(struct compiler *c, const struct assignment *a,
           enum family family, enum protocol protocol,
           const struct turns *turns)
{
    compiler_match_dispatch(c, a);
    compiler_match_protocol(c, family, protocol);
    match_set_reg(&c->match, REG_TURN - MFF_REG0, 0);
    act_look_at(&c->acts, family == FAMILY_V4 ? MFF_IPV4_SRC : MFF_IPV6_SRC,
                REG_TURN);
    if (protocol != PROTOCOL_ANY) {
        act_look_at(&c->acts,
                    protocol == PROTOCOL_TCP ? MFF_TCP_SRC : MFF_UDP_SRC,
                    REG_TURN);
    }
    act_set_u32(&c->acts, REG_TURN, turn_id(a, turns, 0));
    act_resubmit(&c->acts, compiler_table(c, TABLE_TURN));
    if (compiler_has_chain(c, a)) {
        act_set_u32(&c->acts, REG_PASSED, 1);
        act_group(&c->acts, group_make(GROUP_CHAIN, a->id));
    } else {
        act_resubmit(&c->acts, compiler_table(c, TABLE_DISPATCH));
    }
    compiler_emit_dispatch(c, a, (protocol == PROTOCOL_ANY ? DISPATCH_BEGIN_ANY
                                  : DISPATCH_BEGIN), 0, &a->pool->loc);
}

/* Flows can look at ports only of packets whose protocol they match. */
static void
emit_begins(struct compiler *c, const struct assignment *a,
            enum family family, const struct turns *turns)
{
    if (a->pool->protocol == PROTOCOL_ANY) {
        emit_begin(c, a, family, PROTOCOL_TCP, turns);
        emit_begin(c, a, family, PROTOCOL_UDP, turns);
    }
    emit_begin(c, a, family, a->pool->protocol, turns);
}

/* It is this turn: its server takes the connection, if it is alive. */
static void
emit_turn(struct compiler *c, const struct assignment *a,
          const struct turns *turns, size_t turn)
{
    uint16_t server = turns->servers[turn];

    compiler_match_dispatch(c, a);
    match_set_reg(&c->match, REG_MEMBER - MFF_REG0, 0);
    match_set_reg(&c->match, REG_TURN - MFF_REG0, turn_id(a, turns, turn));
    compiler_put_stay(c, a, server);
    compiler_emit_dispatch(c, a, DISPATCH_TURN, a->members[server],
                           &a->pool->servers[server].loc);
}

/* It is not: it is the turn of the next one. */
static void
emit_passed(struct compiler *c, const struct assignment *a,
            const struct turns *turns, size_t turn)
{
    size_t next = turn_after(turns, turn);
    uint16_t server = turns->servers[turn];

    if (next == turn || !compiler_is_watched(c, a, server)) {
        return;
    }
    compiler_match_dispatch(c, a);
    match_set_reg(&c->match, REG_MEMBER - MFF_REG0, MEMBER_DEAD);
    match_set_reg(&c->match, REG_TURN - MFF_REG0, turn_id(a, turns, turn));
    act_shift_left(&c->acts, REG_PASSED);
    act_set_u32(&c->acts, REG_TURN, turn_id(a, turns, next));
    compiler_put_stay(c, a, turns->servers[next]);
    compiler_emit_dispatch(c, a, DISPATCH_TAKEN, a->members[server],
                           &a->pool->servers[server].loc);
}

/* Too many have been passed over: any that is alive. */
static void
emit_lost(struct compiler *c, const struct assignment *a)
{
    uint32_t group_id = tier_group_id(a, tier_first(a->pool));

    if (group_id == OFPG_ANY) {
        return;
    }
    compiler_match_dispatch(c, a);
    match_set_reg(&c->match, REG_MEMBER - MFF_REG0, MEMBER_DEAD);
    match_set_reg_masked(&c->match, REG_PASSED - MFF_REG0,
                         UINT32_C(1) << TURNS_MAX_PASSED,
                         UINT32_C(1) << TURNS_MAX_PASSED);
    act_set_u32(&c->acts, REG_TURN, STAGE_LOST);
    act_group(&c->acts, group_id);
    compiler_emit_dispatch(c, a, DISPATCH_LOST, 0, &a->pool->loc);
}

/* Its server has taken it, from a client of 'family': on to the next turn. */
static void
emit_taken(struct compiler *c, const struct assignment *a,
           enum family family, const struct turns *turns, size_t turn)
{
    uint16_t server = turns->servers[turn];
    uint16_t member = a->members[server];

    compiler_match_dispatch(c, a);
    compiler_match_protocol(c, family, a->pool->protocol);
    compiler_match_member(c, member);
    match_set_reg(&c->match, REG_TURN - MFF_REG0, turn_id(a, turns, turn));
    act_learn_turn(&c->acts, compiler_table(c, TABLE_TURN),
                   cookie_make(COOKIE_TURN, a->id, 0), TURN_IDLE_TIMEOUT,
                   REG_POOL, a->id, REG_TURN,
                   turn_id(a, turns, (turn + 1) % turns->n));
    compiler_put_remember(c, a, family, member);
    act_resubmit(&c->acts, compiler_table(c, TABLE_SERVER));
    compiler_emit_dispatch(c, a, DISPATCH_TAKEN, member,
                           &a->pool->servers[server].loc);
}

/* Turns that there were when they were learned. */
static void
emit_outdated(struct compiler *c, const struct assignment *a,
              const struct turns *turns)
{
    for (size_t i = 0; i < a->pool->n_servers; i++) {
        size_t turn = turns->first[i];

        compiler_match_dispatch(c, a);
        match_set_reg(&c->match, REG_MEMBER - MFF_REG0, 0);
        match_set_reg_masked(&c->match, REG_TURN - MFF_REG0,
                             (uint32_t) a->members[i] << TURN_MEMBER_SHIFT,
                             TURN_MEMBER_MASK);
        put_turn(c, turn_id(a, turns, turn));
        compiler_emit_dispatch(c, a, DISPATCH_SERVER, a->members[i],
                               &a->pool->servers[i].loc);
    }
    compiler_match_dispatch(c, a);
    match_set_reg(&c->match, REG_MEMBER - MFF_REG0, 0);
    put_turn(c, turn_id(a, turns, 0));
    compiler_emit_dispatch(c, a, DISPATCH_DEFAULT, 0, &a->pool->loc);
}

void
compile_turns(struct compiler *c, const struct assignment *a)
{
    struct turns turns;

    turns_compute(a->pool, &turns);
    for (size_t i = 0; turns.n && i < a->pool->vips.n; i++) {
        enum family family = ip_family(&a->pool->vips.ip[i]);

        emit_begins(c, a, family, &turns);
        for (size_t turn = 0; turn < turns.n; turn++) {
            emit_taken(c, a, family, &turns, turn);
        }
    }
    for (size_t turn = 0; turn < turns.n; turn++) {
        emit_turn(c, a, &turns, turn);
        emit_passed(c, a, &turns, turn);
    }
    if (turns.n && compiler_has_chain(c, a)) {
        emit_lost(c, a);
    }
    if (turns.n) {
        emit_outdated(c, a, &turns);
    } else {
        compiler_match_dispatch(c, a);
        act_group(&c->acts, group_make(GROUP_CHAIN, a->id));
        compiler_emit_dispatch(c, a, DISPATCH_DEFAULT, 0, &a->pool->loc);
    }
    turns_uninit(&turns);
}
