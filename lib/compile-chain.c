/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "lib/compile-pool.h"

#include <openvswitch/ofp-actions.h>

#include "lib/actions.h"
#include "lib/tiers.h"

/* Chains: what is tried when something is dead
 * ============================================
 *
 * A group of type "fast failover" takes the first bucket that is alive.  The
 * chain of a pool has a bucket for each of its tiers, in their order, and a
 * last one for when none is left.  A tier is alive while one of its servers
 * is: its bucket watches its group, whose buckets watch the servers' ports,
 * or, with one server only, that server's port.  The switch looks at all that
 * when it works out what to do with packets, and does so anew as soon as a
 * port goes down or comes up; nothing of lbgen needs to run for it.
 *
 * Buckets of such groups have to watch something.  Those that are always alive
 * watch a group that is.
 *
 * In a pool that goes by turns, its first tier is not a group but whose turn
 * it is; the group is there to be watched.
 *
 * A bucket is an action set, so nothing but what it resubmits to can do
 * more than choose. */

/* Adds to 'gm' a bucket with 'acts', which end up there. */
static struct ofputil_bucket *
add_bucket(struct ofputil_group_mod *gm, struct ofpbuf *acts)
{
    struct ofputil_bucket *bucket = lb_xcalloc(1, sizeof *bucket);

    bucket->watch_port = OFPP_ANY;
    bucket->watch_group = OFPG_ANY;
    bucket->ofpacts_len = acts->size;
    bucket->ofpacts = ofpbuf_steal_data(acts);
    ovs_list_push_back(&gm->buckets, &bucket->list_node);
    return bucket;
}

struct ofputil_bucket *
chain_add_server(struct compiler *c, const struct assignment *a, size_t index,
                 struct ofputil_group_mod *gm)
{
    uint16_t port = watcher_find_port(c->watcher, a->pool,
                                    &a->pool->servers[index]);
    struct ofputil_bucket *bucket;
    struct ofpbuf acts;

    ofpbuf_init(&acts, 64);
    compiler_put_server(c, a, index, &acts);
    bucket = add_bucket(gm, &acts);
    if (port != PORT_NONE) {
        bucket->watch_port = (OVS_FORCE ofp_port_t) port;
    }
    return bucket;
}

/* Makes a bucket of a fast failover group that watches nothing be always
 * alive. */
static void
watch_always(struct compiler *c, struct ofputil_bucket *bucket,
             const struct source_loc *loc)
{
    struct ofputil_group_mod gm = {
        .type = OFPGT11_INDIRECT,
        .group_id = GROUP_ALWAYS,
    };
    struct ofpbuf acts;

    bucket->watch_group = GROUP_ALWAYS;
    ovs_list_init(&gm.buckets);
    ofpbuf_init(&acts, 8);
    add_bucket(&gm, &acts);
    compiler_emit_group(c, &gm, loc);
    ofputil_uninit_group_mod(&gm);
}

/* Adds a bucket that goes on to another group as long as that is alive. */
static void
add_group(uint32_t group_id, struct ofputil_group_mod *gm)
{
    struct ofpbuf acts;

    ofpbuf_init(&acts, 16);
    act_group(&acts, group_id);
    add_bucket(gm, &acts)->watch_group = group_id;
}

/* Adds a bucket that goes on in 'table' with 'member' in its register. */
static struct ofputil_bucket *
add_member(struct ofputil_group_mod *gm, uint32_t member, uint8_t table)
{
    struct ofpbuf acts;

    ofpbuf_init(&acts, 32);
    act_set_u32(&acts, REG_MEMBER, member);
    act_resubmit(&acts, table);
    return add_bucket(gm, &acts);
}

/* Makes 'bucket' be alive as long as 'tier' is. */
static void
watch_tier(struct compiler *c, const struct assignment *a, size_t tier,
           struct ofputil_bucket *bucket)
{
    uint32_t group_id = tier_group_id(a, tier);
    uint16_t port;
    size_t index = 0;

    if (group_id != OFPG_ANY) {
        bucket->watch_group = group_id;
        return;
    }
    tier_n_taking(a->pool, tier, &index);
    port = watcher_find_port(c->watcher, a->pool, &a->pool->servers[index]);
    if (port != PORT_NONE) {
        bucket->watch_port = (OVS_FORCE ofp_port_t) port;
    } else {
        watch_always(c, bucket, &a->pool->loc);
    }
}

/* Adds what stands for 'tier', of which a server at least takes
 * connections. */
static void
add_tier(struct compiler *c, const struct assignment *a, size_t tier,
         struct ofputil_group_mod *gm)
{
    uint32_t group_id = tier_group_id(a, tier);
    struct ofpbuf acts;
    size_t index = 0;

    ofpbuf_init(&acts, 64);
    if (pool_selection(a->pool) == POLICY_BY_TURN
        && tier == tier_first(a->pool)) {
        act_resubmit(&acts, compiler_table(c, TABLE_DISPATCH));
    } else if (group_id != OFPG_ANY) {
        act_group(&acts, group_id);
    } else {
        tier_n_taking(a->pool, tier, &index);
        compiler_put_server(c, a, index, &acts);
    }
    watch_tier(c, a, tier, add_bucket(gm, &acts));
}

/* Adds the bucket for when there is nobody else. */
static void
add_last(struct compiler *c, const struct assignment *a,
         struct ofputil_group_mod *gm)
{
    struct ofpbuf acts;

    ofpbuf_init(&acts, 64);
    act_set_u32(&acts, REG_MEMBER, 0);
    act_set_u32(&acts, REG_POOL, a->id);
    act_resubmit(&acts, compiler_table(c, TABLE_SERVER));
    watch_always(c, add_bucket(gm, &acts), &a->pool->loc);
}

/* Emits the flow for packets that no server is there for. */
static void
emit_empty(struct compiler *c, const struct assignment *a)
{
    const struct pool *pool = a->pool;

    compiler_match_member(c, 0);
    match_set_reg(&c->match, REG_POOL - MFF_REG0, a->id);
    if (pool->on_empty == ON_EMPTY_PASS) {
        act_set_u32(&c->acts, REG_POOL, 0);
        act_set_u32(&c->acts, REG_PIN, 0);
        if (pool->connections == CONNECTIONS_TRACKED) {
            act_ct_clear(&c->acts);
        }
        compiler_put_pass(c);
    }
    compiler_emit(c, compiler_table(c, TABLE_SERVER), 1,
                  cookie_make(COOKIE_EMPTY, a->id, 0), &pool->loc);
}

bool
compiler_is_watched(const struct compiler *c, const struct assignment *a,
                    size_t index)
{
    return (watcher_find_port(c->watcher, a->pool, &a->pool->servers[index])
            != PORT_NONE);
}

/* Whether the switch may find 'tier' dead. */
static bool
tier_may_die(const struct compiler *c, const struct assignment *a, size_t tier)
{
    const struct pool *pool = a->pool;

    for (size_t i = 0; i < pool->n_servers; i++) {
        if (pool->servers[i].tier == tier && server_takes(pool, i)
            && !compiler_is_watched(c, a, i)) {
            return false;
        }
    }
    return true;
}

/* Whether the switch watches any server that takes connections. */
static bool
watches_any(const struct compiler *c, const struct assignment *a)
{
    const struct pool *pool = a->pool;

    for (size_t i = 0; i < pool->n_servers; i++) {
        if (server_takes(pool, i) && compiler_is_watched(c, a, i)) {
            return true;
        }
    }
    return false;
}

bool
compiler_has_chain(const struct compiler *c, const struct assignment *a)
{
    size_t first = tier_first(a->pool);

    if (!tier_n_taking(a->pool, first, NULL)) {
        return true;
    } else if (pool_has_slot_flows(a->pool)
               || pool_selection(a->pool) == POLICY_BY_TURN) {
        return watches_any(c, a);
    }
    return ((a->pool->affinity.by != AFFINITY_NONE && watches_any(c, a))
            || tier_group_id(a, first) != assignment_group_id(a)
            || tier_may_die(c, a, first));
}

/* Emits the group for 'tier' as long as that is alive. */
static void
emit_hold(struct compiler *c, const struct assignment *a, size_t tier)
{
    struct ofputil_group_mod gm = {
        .type = OFPGT11_FF,
        .group_id = group_make(GROUP_HOLD_TIER, tier_member(a, tier)),
    };

    ovs_list_init(&gm.buckets);
    add_tier(c, a, tier, &gm);
    add_group(group_make(GROUP_CHAIN, a->id), &gm);
    compiler_emit_group(c, &gm, &a->pool->loc);
    ofputil_uninit_group_mod(&gm);
}

void
compile_chain(struct compiler *c, const struct assignment *a)
{
    struct ofputil_group_mod gm = {
        .type = OFPGT11_FF,
        .group_id = group_make(GROUP_CHAIN, a->id),
    };

    if (!compiler_has_chain(c, a)) {
        return;
    }
    ovs_list_init(&gm.buckets);
    for (size_t tier = 0; tier < a->pool->n_tiers; tier++) {
        if (tier_n_taking(a->pool, tier, NULL)) {
            add_tier(c, a, tier, &gm);
            if (compiler_has_pin(a)) {
                emit_hold(c, a, tier);
            }
        }
    }
    add_last(c, a, &gm);
    compiler_emit_group(c, &gm, &a->pool->loc);
    ofputil_uninit_group_mod(&gm);
    emit_empty(c, a);
    if (compiler_has_pin(a)) {
        compile_pin(c, a);
    }
}

void
compiler_put_stay(struct compiler *c, const struct assignment *a, size_t index)
{
    uint8_t table = compiler_table(c, TABLE_DISPATCH);
    struct ofputil_group_mod gm = {
        .type = OFPGT11_FF,
        .group_id = group_make(GROUP_STAY, a->members[index]),
    };

    if (!compiler_is_watched(c, a, index)) {
        act_set_u32(&c->acts, REG_MEMBER, a->members[index]);
        act_resubmit(&c->acts, table);
        return;
    }
    ovs_list_init(&gm.buckets);
    add_member(&gm, a->members[index], table)->watch_port
        = (OVS_FORCE ofp_port_t) watcher_find_port(c->watcher, a->pool,
                                                   &a->pool->servers[index]);
    watch_always(c, add_member(&gm, MEMBER_DEAD, table), &a->pool->loc);
    compiler_emit_group(c, &gm, &a->pool->loc);
    ofputil_uninit_group_mod(&gm);
    act_group(&c->acts, gm.group_id);
}

/* Adds a bucket for a client whose server is dead, in a pool that stays where
 * it is: it goes there like one that is not known. */
static void
add_newcomer(struct compiler *c, const struct assignment *a,
             struct ofputil_group_mod *gm)
{
    struct ofpbuf acts;

    ofpbuf_init(&acts, 64);
    act_set_u32(&acts, REG_MEMBER, 0);
    act_set_u32(&acts, REG_AFFINITY, 0);
    act_resubmit(&acts, compiler_table(c, TABLE_DISPATCH));
    watch_always(c, add_bucket(gm, &acts), &a->pool->loc);
}

/* That one client has a server says nothing of where a pool stays, so the pin
 * table does not hear of it. */
uint32_t
compiler_hold_server(struct compiler *c, const struct assignment *a,
                     size_t index)
{
    struct ofputil_group_mod gm = {
        .type = OFPGT11_FF,
        .group_id = group_make(GROUP_HOLD, a->members[index]),
    };
    uint16_t port = watcher_find_port(c->watcher, a->pool,
                                      &a->pool->servers[index]);

    if (port == PORT_NONE) {
        return OFPG_ANY;
    }
    ovs_list_init(&gm.buckets);
    add_member(&gm, a->members[index], compiler_picked_table(c, a))->watch_port
        = (OVS_FORCE ofp_port_t) port;
    if (compiler_has_pin(a) && a->pool->affinity.by != AFFINITY_NONE) {
        add_newcomer(c, a, &gm);
    } else {
        add_group(group_make(GROUP_CHAIN, a->id), &gm);
    }
    compiler_emit_group(c, &gm, &a->pool->loc);
    ofputil_uninit_group_mod(&gm);
    return gm.group_id;
}
