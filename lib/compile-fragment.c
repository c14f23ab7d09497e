/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "lib/compile-pool.h"

#include "lib/actions.h"
#include "lib/path.h"

/* Fragments of IP
 * ===============
 *
 * Only the first fragment of a packet has ports, and as Open vSwitch handles
 * fragments by default, flows do not see those either.  So fragments to a VIP
 * are told apart by protocol alone.
 *
 *   - Connection tracking holds fragments back until the packet is whole, and
 *     gives all of them the mark of its connection and its translation.  So
 *     for tracked pools they go there, and those of known connections go the
 *     way of these.  Of new ones only the first fragment can be told to be for
 *     some pool, by the ports of its connection.  The last one to be committed
 *     decides for all; so the others go to the same pool if there is but one,
 *     and else nowhere.  From servers, those of no connection to a VIP are
 *     passed on, each by itself again.  Where a server sees a VIP or "snat"
 *     instead of a client, only connection tracking tells what it answers to
 *     that from what it asks: so what is to such an address is looked up in
 *     both zones, as for whole packets the ports have it, and the forward
 *     table gives replies to the reverse table.
 *
 *   - In stateless pools there is no telling which pool a fragment is for, it
 *     hashes to another server than the next one, and ovs-vswitchd 3.1, when
 *     it sets an address, takes the beginning of each fragment for a header
 *     and puts a checksum there.  Parts of a packet would be worse than none,
 *     so none of its fragments get to a server.
 *
 *   - In direct pools no address is set.  There fragments are right in a pool
 *     that goes by client and has a protocol of the VIP to itself, with all
 *     its ports; in others they are dropped as well.
 */

/* Of IPv6, Open vSwitch gives all but the first fragment the protocol 44, that
 * of the header that says so: only the VIP tells whose they are. */
static void
match_to(struct compiler *c, const struct pool *pool, const struct ip *vip)
{
    compiler_match_vlan(c, pool->path.vlan);
    compiler_match_protocol(c, ip_family(vip), ip_is_v4(vip) ? pool->protocol
                                               : PROTOCOL_ANY);
    compiler_match_ip_dst(c, vip);
}

/* The priority of the flow that drops fragments to a VIP; the one that tracks
 * them is above it. */
static uint16_t
fragment_priority(const struct pool *pool)
{
    return (pool->protocol == PROTOCOL_ANY ? PRIORITY_FRAGMENT_ALL
            : PRIORITY_FRAGMENT);
}

/* Whether more than one tracked pool may be meant by a fragment for 'pool', or
 * of IPv6, any other pool. */
static bool
is_ambiguous(const struct compiler *c, const struct pool *pool,
             const struct ip *vip)
{
    struct model_vips at = model_pools_at(c->model, vip);

    for (size_t i = 0; i < at.n; i++) {
        const struct pool *other = *at.vips[i].pool;

        if (ip_is_v4(vip) ? (other->connections == CONNECTIONS_TRACKED
                             && pool_may_be_meant(other, pool, vip))
            : other != pool && other->path.vlan == pool->path.vlan) {
            return true;
        }
    }
    return false;
}

/* After connection tracking, all but the first fragment of what begins a
 * connection. */
static void
emit_later(struct compiler *c, const struct assignment *a,
           const struct ip *vip)
{
    const struct pool *pool = a->pool;

    match_to(c, pool, vip);
    compiler_match_ct(c, CT_NEW, CT_NEW | CT_INVALID);
    match_set_nw_frag_masked(&c->match, FLOW_NW_FRAG_MASK,
                             FLOW_NW_FRAG_MASK);
    if (is_ambiguous(c, pool, vip)) {
        compiler_emit(c, compiler_table(c, TABLE_FORWARD), 12,
                      cookie_make(COOKIE_FRAGMENT, 0, 0), &pool->loc);
    } else {
        compiler_put_pick(c, a);
        compiler_emit(c, compiler_table(c, TABLE_FORWARD), 12,
                      cookie_make(COOKIE_NEW, a->id, 0), &pool->loc);
    }
}

/* Ends a flow for fragments to an address that servers may see as their
 * client. */
static void
emit_lookup(struct compiler *c, const struct pool *pool,
            enum layout_table table, uint16_t priority,
            const struct source_loc *loc)
{
    compiler_match_fragment(c, true);
    act_ct_nat(&c->acts, path_snat_zone(c->settings, pool), CT_HERE);
    act_ct_nat(&c->acts, path_zone(c->settings, pool),
               compiler_table(c, table));
    compiler_emit_entry(c, priority, cookie_make(COOKIE_FRAGMENT, 0, 0), loc);
}

void
compile_fragments_back(struct compiler *c, const struct pool *pool,
                       const struct ip *ip)
{
    match_to(c, pool, ip);
    emit_lookup(c, pool, TABLE_FORWARD,
                fragment_priority(pool) + 1 + compiler_vlan_step(pool),
                &pool->loc);
}

static bool
is_away(const struct pool *pool, const struct server *server)
{
    return path_server_vlan(pool, server) != pool->path.vlan;
}

/* What is in another VLAN than the pool is no request. */
void
compile_fragments_side(struct compiler *c, const struct pool *pool,
                       const struct server *server, uint16_t port,
                       const struct ip *source)
{
    const struct ip *ip = ips_find(&server->ips, ip_family(source));

    if (ip && is_away(pool, server)) {
        compiler_match_side(c, pool, server, port);
        compiler_match_protocol(c, ip_family(ip),
                                ip_is_v4(ip) ? pool->protocol : PROTOCOL_ANY);
        compiler_match_ip_src(c, ip);
        compiler_match_ip_dst(c, source);
        emit_lookup(c, pool, TABLE_REVERSE, PRIORITY_FRAGMENT_SIDE,
                    &server->loc);
    }
}

void
compile_fragments_to(struct compiler *c, const struct assignment *a,
                     const struct ip *vip)
{
    const struct pool *pool = a->pool;

    match_to(c, pool, vip);
    emit_lookup(c, pool, TABLE_FORWARD, fragment_priority(pool) + 1,
                &pool->loc);
    if (pool_scope(pool) == POOL_SCOPE_PORTS) {
        compiler_match_vlan(c, pool->path.vlan);
        compiler_match_ct(c, CT_NEW, CT_NEW | CT_INVALID);
        compiler_match_fragment_to(c, pool->protocol, vip, &pool->ports);
        compiler_put_pick(c, a);
        compiler_emit(c, compiler_table(c, TABLE_FORWARD), 10,
                      cookie_make(COOKIE_NEW, a->id, 0), &pool->loc);
    }
    if (pool->protocol != PROTOCOL_ANY) {
        emit_later(c, a, vip);
    }
}

/* Emits a flow for fragments of new connections of a resident, whatever the
 * match says so far. */
static void
emit_resident(struct compiler *c, const struct assignment *a, size_t index,
              const struct ip *client, int prefix, uint16_t priority)
{
    uint16_t member = a->members[index];

    compiler_match_vlan(c, a->pool->path.vlan);
    compiler_match_ct(c, CT_NEW, CT_NEW | CT_INVALID);
    compiler_match_client(c, client, prefix);
    act_set_u32(&c->acts, REG_MEMBER, member);
    act_resubmit(&c->acts, compiler_table(c, TABLE_SERVER));
    compiler_emit(c, compiler_table(c, TABLE_FORWARD), priority,
                  cookie_make(COOKIE_RESIDENT, a->id, member),
                  &a->pool->servers[index].loc);
}

/* What begins a TCP connection fits into a packet, and a pool for every
 * protocol does not tell fragments from other packets. */
void
compile_resident_fragments(struct compiler *c, const struct assignment *a,
                           size_t index, const struct ip *client, int prefix)
{
    const struct pool *pool = a->pool;
    const struct ip *vip = ips_find(&pool->vips, ip_family(client));

    if (pool->protocol != PROTOCOL_UDP) {
        return;
    }
    if (pool_scope(pool) == POOL_SCOPE_PORTS) {
        compiler_match_fragment_to(c, pool->protocol, vip, &pool->ports);
        emit_resident(c, a, index, client, prefix, 11);
    }
    if (!is_ambiguous(c, pool, vip)) {
        match_to(c, pool, vip);
        match_set_nw_frag_masked(&c->match, FLOW_NW_FRAG_MASK,
                                 FLOW_NW_FRAG_MASK);
        emit_resident(c, a, index, client, prefix, 13);
    }
}

void
compile_fragments_from(struct compiler *c, const struct pool *pool,
                       const struct server *server, const struct ip *ip,
                       uint16_t port)
{
    compiler_match_side(c, pool, server, port);
    compiler_match_protocol(c, ip_family(ip), ip_is_v4(ip) ? pool->protocol
                                              : PROTOCOL_ANY);
    compiler_match_ip_src(c, ip);
    compiler_match_fragment(c, true);
    act_ct_nat(&c->acts, path_zone(c->settings, pool),
               compiler_table(c, TABLE_REVERSE));
    compiler_emit_entry(c, PRIORITY_RETURN_FRAGMENT + is_away(pool, server),
                        cookie_make(COOKIE_FRAGMENT, 0, 0), &server->loc);
}

void
compile_lost_fragments(struct compiler *c, const struct pool *pool,
                       const struct ip *vip)
{
    if (!model_keeps_fragments(c->model, pool, vip)) {
        match_to(c, pool, vip);
        compiler_match_fragment(c, true);
        compiler_emit_entry(c, fragment_priority(pool),
                            cookie_make(COOKIE_FRAGMENT, 0, 0), &pool->loc);
    }
}
