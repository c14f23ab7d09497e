/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "lib/compile-pool.h"

#include "lib/actions.h"

/* Looking at the same fields
 * ==========================
 *
 * The userspace datapath keeps its flows in one hash table for each set of
 * fields that they match, and goes through these one after the other until it
 * finds a packet's.  For ports that are not DPDK's it never sorts them: those
 * that came first are tried first, and with flows that lead to a recirculation
 * the innermost came first, since its packet had been through before the outer
 * one was put in (handle_packet_upcall() in dpif-netdev.c).  So of the four
 * lookups that packets to a tracked pool meet (untracked; new; picked;
 * known), the most frequent ones used to be the last to be tried, and half the
 * work of the datapath went into that.
 *
 * What a datapath's flow matches is all that OpenFlow's looked at on the way.
 * So packets of such pools have all fields that matter for some of them looked
 * at each time, by copying these into a register that nobody reads: all their
 * flows are in one hash table.  None of these fields tells more such packets
 * apart than are told apart anyway.  (In a pool of several ports the number of
 * the port would, and in one of fewer slots the hash; where a client stays
 * with its server its address is looked at.  They are left out.)
 *
 * Measured in lbgen's bench (docs/benchmarks.md): 1.24 tables for a lookup
 * instead of 2.33, and 16 % fewer instructions for a connection. */

/* Of the datapath's hash, as many as a group of 256 buckets looks at. */
#define HASH_BITS 8

/* Whether the packets of 'pool' are all alike. */
static bool
looks(const struct pool *pool)
{
    return (pool->connections == CONNECTIONS_TRACKED
            && (pool->protocol == PROTOCOL_TCP
                || pool->protocol == PROTOCOL_UDP)
            && pool->affinity.by == AFFINITY_NONE
            && port_set_single(&pool->ports)
            && (pool_selection(pool) != POLICY_BY_CONNECTION
                || pool->n_slots == 1 << HASH_BITS));
}

enum layout_table
compiler_forward_table(const struct pool *pool)
{
    return looks(pool) ? TABLE_LOOK : TABLE_FORWARD;
}

enum layout_table
compiler_server_table(const struct pool *pool)
{
    return looks(pool) ? TABLE_LOOK : TABLE_SERVER;
}

static void
put_look(struct compiler *c)
{
    act_look_at(&c->acts, MFF_CT_STATE, REG_SCRATCH);
    act_look_at(&c->acts, MFF_CT_MARK, REG_SCRATCH);
    act_move(&c->acts, MFF_DP_HASH, REG_SCRATCH, HASH_BITS);
    act_look_at(&c->acts, MFF_ETH_DST, REG_SCRATCH);
}

/* The flow matches the address, the protocol and the port. */
void
compiler_put_look(struct compiler *c, const struct pool *pool)
{
    if (looks(pool)) {
        act_set_u32(&c->acts, REG_MEMBER, 0);
        put_look(c);
    }
}

/* Emits the flow for packets that 'table' comes next for: as long as no server
 * is picked, the forward table. */
static void
emit_look(struct compiler *c, enum family family, enum protocol protocol,
          enum layout_table table)
{
    compiler_match_protocol(c, family, protocol);
    if (table == TABLE_FORWARD) {
        compiler_match_member(c, 0);
    }
    put_look(c);
    act_look_at(&c->acts, family == FAMILY_V4 ? MFF_IPV4_DST : MFF_IPV6_DST,
                REG_SCRATCH);
    act_look_at(&c->acts, protocol == PROTOCOL_TCP ? MFF_TCP_DST : MFF_UDP_DST,
                REG_SCRATCH);
    act_resubmit(&c->acts, compiler_table(c, table));
    compiler_emit(c, compiler_table(c, TABLE_LOOK),
                  table == TABLE_FORWARD ? 20 : 10,
                  cookie_make(COOKIE_LOOK, 0, 0), NULL);
}

/* Later fragments of IPv6, of another protocol (see lib/compile-fragment.c),
 * get here when a server is picked for them. */
static void
emit_fragment(struct compiler *c)
{
    compiler_match_protocol(c, FAMILY_V6, PROTOCOL_ANY);
    match_set_nw_frag_masked(&c->match, FLOW_NW_FRAG_MASK,
                             FLOW_NW_FRAG_MASK);
    act_resubmit(&c->acts, compiler_table(c, TABLE_SERVER));
    compiler_emit(c, compiler_table(c, TABLE_LOOK), 5,
                  cookie_make(COOKIE_LOOK, 0, 0), NULL);
}

void
compile_look(struct compiler *c, const struct pool *pool)
{
    for (size_t i = 0; looks(pool) && i < pool->vips.n; i++) {
        enum family family = ip_family(&pool->vips.ip[i]);

        emit_look(c, family, pool->protocol, TABLE_FORWARD);
        emit_look(c, family, pool->protocol, TABLE_SERVER);
        if (family == FAMILY_V6) {
            emit_fragment(c);
        }
    }
}
