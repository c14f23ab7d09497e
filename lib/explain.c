/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "lib/explain.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <net/ethernet.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/compile.h"
#include "lib/found.h"
#include "lib/layout.h"
#include "lib/oftext.h"
#include "lib/path.h"
#include "lib/reach.h"
#include "lib/slots.h"
#include "lib/summary.h"

/* Short, since it is called so often. */
#define add_note explain_add_note

void
explain_add_note(struct explanation *e, const char *format, ...)
{
    va_list args;
    char *text;

    va_start(args, format);
    if (vasprintf(&text, format, args) < 0) {
        abort();
    }
    va_end(args);
    e->notes = lb_grow(e->notes, e->n_notes, &e->allocated_notes,
                       sizeof *e->notes);
    e->notes[e->n_notes++] = text;
}

size_t
explain_find_member(const struct assignment *a, uint16_t member)
{
    for (size_t i = 0; i < a->pool->n_servers; i++) {
        if (member && a->members[i] == member) {
            return i;
        }
    }
    return SIZE_MAX;
}

const struct pick_bucket *
explain_bucket(const struct explanation *e)
{
    return &e->group->buckets[e->pick.bucket];
}

static const struct server *
get_server(const struct explanation *e, size_t i)
{
    return &e->assignment->pool->servers[i];
}

static size_t
slot_server(const struct explanation *e, size_t slot)
{
    size_t bucket = e->group->slots[slot];

    return explain_find_member(e->assignment,
                               e->group->buckets[bucket].member);
}

/* The server that has all slots, so that nothing depends on a hash; or
 * SIZE_MAX. */
static size_t
only_server(const struct explanation *e)
{
    size_t n = e->group ? e->group->n_slots : 0;

    for (size_t i = 0; n && i < e->assignment->pool->n_servers; i++) {
        if (e->n_slots[i] == n) {
            return i;
        }
    }
    return SIZE_MAX;
}

static void
count_slots(struct explanation *e)
{
    for (size_t slot = 0; slot < e->group->n_slots; slot++) {
        size_t server = slot_server(e, slot);

        if (server != SIZE_MAX) {
            e->n_slots[server]++;
        }
    }
}

/* Decides 'e->answer' from what the group does with the packet. */
static void
set_answer(struct explanation *e)
{
    bool is_dp_hash = e->group->method == PICK_BY_DP_HASH;
    size_t server = only_server(e);

    e->result = pick_compute(e->group, e->facts.build, &e->packet, &e->pick);
    e->has_pick = (e->result == PICK_FOUND
                   && e->group->method != PICK_FIRST
                   && (e->facts.hash != EXPLAIN_HASH_FOREIGN
                       || e->group->method == PICK_BY_LOW_BITS)
                   && !(is_dp_hash && (e->facts.datapath
                                       == EXPLAIN_DATAPATH_KERNEL)));
    if (e->has_pick) {
        server = slot_server(e, e->pick.slot);
    }
    if (server != SIZE_MAX) {
        e->answer = EXPLAIN_SERVER;
        e->server = server;
    } else if (e->result == PICK_NONE) {
        e->answer = EXPLAIN_NONE;
        add_note(e, "the group has no bucket that takes new connections");
    } else if (e->group->method == PICK_FIRST) {
        e->answer = EXPLAIN_NONE;
        e->is_passed = e->assignment->pool->on_empty == ON_EMPTY_PASS;
        add_note(e, "no server is left to take new connections");
    } else if (e->result == PICK_UNKNOWN) {
        e->answer = EXPLAIN_UNKNOWN;
        add_note(e, "the group picks a bucket by something that lbgen never "
                 "asks for; --live shows what the switch does");
    } else if (e->has_pick) {
        e->answer = EXPLAIN_UNKNOWN;
        add_note(e, "bucket %"PRIu32" stands for no server of the pool; "
                 "--live shows what it does", explain_bucket(e)->id);
    } else {
        e->answer = EXPLAIN_ANY;
    }
}

/* Whether 'ip' is 'network' where 'mask' is 1. */
static bool
ip_in_network(const struct ip *ip, const struct in6_addr *network,
              const struct in6_addr *mask)
{
    for (int i = 0; i < 16; i++) {
        if ((ip->addr.s6_addr[i] ^ network->s6_addr[i]) & mask->s6_addr[i]) {
            return false;
        }
    }
    return true;
}

/* Where slots are flows, one whose server is dead leads to the chain, which
 * then decides. */
static void
follow_dead_slot(struct explanation *e, const struct bridge *bridge)
{
    const struct alive alive = { &bridge->installed, &bridge->ports };
    uint32_t hold;

    if (!e->group->is_flows || !e->has_pick || e->answer != EXPLAIN_SERVER) {
        return;
    }
    hold = group_make(GROUP_HOLD, e->assignment->members[e->server]);
    if (ofstate_find_group(&bridge->installed, hold)) {
        struct pick_group *group = pick_follow(&alive, &hold);

        if (group && group_kind(hold) != GROUP_HOLD) {
            add_note(e, "slot %zu belongs to server %s, and server %s is not "
                     "alive", e->pick.slot, get_server(e, e->server)->name,
                     get_server(e, e->server)->name);
            pick_group_destroy(e->group);
            e->group = group;
            e->group_id = hold;
            memset(e->n_slots, 0,
                   e->assignment->pool->n_servers * sizeof *e->n_slots);
            count_slots(e);
            set_answer(e);
        } else {
            pick_group_destroy(group);
        }
    }
}

/* Whether the flow of a resident is for the packet in question. */
static bool
flow_means(const struct of_flow *flow, const struct explanation *e)
{
    const struct ip *client = &e->packet.tuple.src;
    struct match match;

    minimatch_expand(&flow->match, &match);
    if (ip_is_v4(client)) {
        return (match.flow.dl_type == htons(ETHERTYPE_IP)
                && !((htonl(ip_v4(client)) ^ match.flow.nw_src)
                     & match.wc.masks.nw_src));
    }
    return (match.flow.dl_type == htons(ETHERTYPE_IPV6)
            && ip_in_network(client, &match.flow.ipv6_src,
                             &match.wc.masks.ipv6_src));
}

/* Looks for the client among those that stay with a server that drains. */
static void
find_resident(struct explanation *e, const struct bridge *bridge)
{
    const struct of_flow *flow;

    OFSTATE_FOR_EACH_FLOW (flow, &bridge->residents) {
        size_t server = explain_find_member(e->assignment,
                                            cookie_member(flow->cookie));

        if (cookie_pool(flow->cookie) == e->assignment->id
            && server != SIZE_MAX && flow_means(flow, e)) {
            e->answer = EXPLAIN_SERVER;
            e->server = server;
            e->is_resident = true;
            add_note(e, "server %s drains, and the client was there when that "
                     "began, %"PRIu32" s ago: until drain_timeout is over, it "
                     "stays there", get_server(e, server)->name,
                     flow->duration);
        }
    }
}

/* The slot that a flow of the slot table is for. */
static uint32_t
flow_slot(const struct of_flow *flow)
{
    struct match match;

    minimatch_expand(&flow->match, &match);
    return match.flow.regs[REG_SLOT - MFF_REG0];
}

/* Whether 'flow' is for packets of the client's family, or of any, and to the
 * port in question. */
static bool
is_of_kind(const struct explanation *e, const struct of_flow *flow)
{
    bool v4 = ip_is_v4(&e->packet.tuple.src);
    struct match match;

    minimatch_expand(&flow->match, &match);
    if (e->packet.has_dst_port
        && (match.flow.tp_dst ^ htons(e->packet.tuple.dst_port))
           & match.wc.masks.tp_dst) {
        return false;
    }
    return (!match.wc.masks.dl_type
            || match.flow.dl_type == htons(v4 ? ETHERTYPE_IP
                                           : ETHERTYPE_IPV6));
}

/* Whether packets that the answer speaks of meet 'flow'. */
static bool
on_path(const struct explanation *e, const struct of_flow *flow)
{
    uint64_t cookie = flow->cookie;
    size_t server;

    if (cookie_pool(cookie) != e->assignment->id || !is_of_kind(e, flow)) {
        return false;
    }
    switch (cookie_kind(cookie)) {
    case COOKIE_ENTRY:
        return true;
    case COOKIE_NEW:
    case COOKIE_PINNED:
        return !e->is_resident;
    case COOKIE_SLOT:
        return e->has_pick && flow_slot(flow) == e->pick.slot;
    case COOKIE_EMPTY:
        return e->answer == EXPLAIN_NONE;
    case COOKIE_SETTLE:
    case COOKIE_SERVER:
        server = explain_find_member(e->assignment, cookie_member(cookie));
        return (server != SIZE_MAX
                && (e->answer == EXPLAIN_SERVER ? server == e->server
                    : e->n_slots[server] > 0));
    default:
        return false;
    }
}

/* Notes a flow that is gone or changed.  Nothing is foretold then. */
static void
note_flow(struct explanation *e, const struct bridge *bridge,
          const struct of_flow *desired)
{
    const struct of_flow *installed = ofstate_find_flow(&bridge->installed,
                                                        desired);
    struct ds s = DS_EMPTY_INITIALIZER;

    if (installed && of_flow_equal(desired, installed)) {
        return;
    }
    oftext_flow(installed ? installed : desired, &bridge->ports, &s);
    add_note(e, "a flow on the way is %s: %s",
             installed ? "not as lbgen left it" : "gone", ds_cstr(&s));
    ds_destroy(&s);
    e->answer = installed ? EXPLAIN_UNKNOWN : EXPLAIN_NONE;
}

/* Whether a group is the pool's. */
static bool
is_own_group(const struct explanation *e, uint32_t group_id)
{
    uint16_t id = group_id;

    switch (group_kind(group_id)) {
    case GROUP_TIER:
    case GROUP_HOLD:
    case GROUP_HOLD_TIER:
    case GROUP_STAY:
        return explain_find_member(e->assignment, id) != SIZE_MAX;
    default:
        return id == e->assignment->id;
    }
}

/* Notes if a group is gone, or another one than the record asks for. */
static void
note_group(struct explanation *e, const struct bridge *bridge,
           const struct of_group *desired)
{
    const struct assignment *a = e->assignment;
    const struct of_group *installed = ofstate_find_group(&bridge->installed,
                                                          desired->id);

    if (!installed) {
        add_note(e, "the pool's group %"PRIu32" is gone from the bridge, or "
                 "is not lbgen's any more", desired->id);
        return;
    } else if (of_group_equal(desired, installed)) {
        return;
    }
    add_note(e, "the group is not as lbgen left it; this is about the one "
             "that is there");
    if (desired->id == e->group_id && e->has_pick
        && e->group->n_slots == a->pool->n_slots
        && a->slots[e->pick.slot] != SLOT_NONE) {
        add_note(e, "as lbgen left it, slot %zu was of server %s",
                 e->pick.slot,
                 get_server(e, a->slots[e->pick.slot])->name);
    }
}

static void
note_groups(struct explanation *e, const struct bridge *bridge,
            const struct ofstate *desired)
{
    struct of_group **groups = ofstate_sorted_groups(desired);

    for (size_t i = 0; groups[i] && !e->is_resident; i++) {
        if (is_own_group(e, groups[i]->id)) {
            note_group(e, bridge, groups[i]);
        }
    }
    free(groups);
}

/* Compares what packets meet with what the records ask for. */
static void
check_path(struct explanation *e, const struct bridge *bridge,
           const char *name)
{
    struct diags *diags = diags_create();
    struct ofstate desired;
    struct model model;

    bridge_model(bridge, &model, NULL, NULL);
    ofstate_init(&desired);
    if (bridge->has_settings
        && compile(&model, &bridge->assignments, &bridge->ports, name,
                   &desired, diags)) {
        struct of_flow **flows = ofstate_sorted_flows(&desired);

        note_groups(e, bridge, &desired);
        for (size_t i = 0; flows[i]; i++) {
            if (on_path(e, flows[i])) {
                note_flow(e, bridge, flows[i]);
            }
        }
        free(flows);
    } else {
        add_note(e, "flows were not checked: the records on the bridge do not "
                 "fit it any more");
    }
    ofstate_uninit(&desired);
    bridge_model_uninit(&model);
    diags_destroy(diags);
}

/* Notes what a forecast of the datapath's hash takes for granted. */
static void
note_dp_hash(struct explanation *e)
{
    if (!e->packet.has_dst_port) {
        add_note(e, "the pool has more than one port, and each new connection "
                 "is hashed by its own as well, so that none is foretold; "
                 "give --vip-port %s to learn about one",
                 e->assignment->pool->protocol == PROTOCOL_ANY
                 ? "PORT/PROTOCOL" : "PORT");
        return;
    }
    if (!e->packet.has_src_port) {
        add_note(e, "each new connection is hashed by its source port as "
                 "well; give CLIENT:PORT to learn about one");
        return;
    }
    switch (e->facts.datapath) {
    case EXPLAIN_DATAPATH_KERNEL:
        add_note(e, "the bridge is in the kernel, whose hash cannot be "
                 "foretold; --live shows what each step does");
        return;
    case EXPLAIN_DATAPATH_UNKNOWN:
        add_note(e, "holds if the bridge is in the userspace datapath, which "
                 "only the switch's control socket tells");
        break;
    case EXPLAIN_DATAPATH_USERSPACE:
    default:
        break;
    }
    if (e->facts.nic_port) {
        add_note(e, "port %s is a DPDK port: packets that come in there have "
                 "the hash of its NIC, and may reach another server",
                 e->facts.nic_port);
    }
}

static void
note_method(struct explanation *e)
{
    if (e->group->method == PICK_FIRST) {
        return;
    }
    if (e->group->method == PICK_BY_DP_HASH && !e->facts.nic_port
        && e->answer == EXPLAIN_SERVER && !e->has_pick) {
        return;
    }
    if (e->group->method == PICK_BY_DP_HASH) {
        note_dp_hash(e);
    } else if (e->result == PICK_NEEDS_PORT) {
        add_note(e, "the group hashes the source port; give CLIENT:PORT to "
                 "learn about one connection");
    }
    if (e->group->method == PICK_BY_LOW_BITS) {
        return;
    }
    if (e->has_pick && e->facts.hash == EXPLAIN_HASH_ASSUMED) {
        add_note(e, "holds if Open vSwitch was built without SSE 4.2, as "
                 "distributions do");
    } else if (e->result == PICK_FOUND
               && e->facts.hash == EXPLAIN_HASH_FOREIGN) {
        add_note(e, "the switch has a hash function that lbgen does not "
                 "know, so that nothing can be foretold");
    }
}

/* Notes what is odd about the buckets. */
static void
note_buckets(struct explanation *e)
{
    bool uneven = false;

    for (size_t i = 0; i < e->group->n_buckets; i++) {
        uneven |= e->group->buckets[i].weight != e->group->buckets[0].weight;
    }
    if (uneven && e->group->method == PICK_BY_FIELDS) {
        add_note(e, "buckets differ in weight, so that shares are not those "
                 "of the slots");
    }
}

/* Notes which servers new connections pass over, and what that does to the
 * slot in question. */
static void
note_dead(struct explanation *e, const struct reach *reach)
{
    const struct assignment *a = e->assignment;

    for (size_t i = 0; i < a->pool->n_servers; i++) {
        if (reach_is_down(reach, a, i)) {
            add_note(e, "server %s is passed over, its port %s is down",
                     get_server(e, i)->name,
                     server_interface(get_server(e, i)));
        }
    }
    if (e->has_pick && e->group->table
        && e->group->table[e->pick.slot] != e->pick.bucket) {
        size_t owner = explain_find_member(
            a, e->group->buckets[e->group->table[e->pick.slot]].member);

        add_note(e, "the next slot that is alive stands in for slot %zu%s%s",
                 e->pick.slot, owner == SIZE_MAX ? "" : ", which belongs to ",
                 owner == SIZE_MAX ? "" : get_server(e, owner)->name);
    }
}

/* What 'server' of 'pool' sees as the client of its own connections, or NULL
 * if it gets none: see lib/compile-tracked.c, lib/compile-stateless.c. */
static const struct ip *
find_own_client(const struct pool *pool, const struct server *server,
                enum family family)
{
    const struct ip *snat = ips_find(&pool->path.snat_ips, family);
    bool can = pool_scope(pool) == POOL_SCOPE_PORTS;

    if (pool->connections == CONNECTIONS_STATELESS) {
        can = can && !server->via.n
              && path_server_vlan(pool, server) == pool->path.vlan;
    }
    return snat ? snat : can ? ips_find(&pool->vips, family) : NULL;
}

/* Notes what concerns the client. */
static void
note_client(struct explanation *e)
{
    const struct pool *pool = e->assignment->pool;
    const struct ip *client = &e->packet.tuple.src;
    const struct ip *seen;
    char text[IP_STRLEN];

    if (e->answer != EXPLAIN_SERVER
        || !ips_contain(&get_server(e, e->server)->ips, client)) {
        return;
    }
    seen = find_own_client(pool, get_server(e, e->server), ip_family(client));
    if (pool->connections == CONNECTIONS_DIRECT) {
        add_note(e, "the client is that server, which has the VIP itself: its "
                 "connections never leave it");
    } else if (seen) {
        add_note(e, "the client is that server, which sees %s instead of "
                 "itself", ip_format(seen, text));
    } else {
        add_note(e, "the client is that server, and a switch sends no packet "
                 "back where it came from: there will be no connection");
    }
}

static void
init_packet(struct explanation *e, const struct explain_question *q)
{
    const struct pool *pool = e->assignment->pool;
    uint16_t vip_port = q->vip_port ? q->vip_port
                                    : port_set_single(&pool->ports);
    bool has_protocol = pool->protocol != PROTOCOL_ANY || q->protocol;

    e->packet = (struct pick_packet) {
        .tuple = {
            .src = q->client,
            .dst = *ips_find(&pool->vips, ip_family(&q->client)),
            .protocol = pool->protocol ? pool->protocol : q->protocol,
            .src_port = q->client_port,
            .dst_port = (vip_port ? vip_port
                         : pool->ports.n ? pool->ports.ranges[0].first : 0),
        },
        .has_src_port = q->client_port != 0,
        .has_dst_port = vip_port != 0 && has_protocol,
    };
}

/* Whether there is a turn that a server takes which is not down. */
static bool
has_turns(const struct assignment *a, const struct reach *reach)
{
    for (size_t i = 0; i < a->pool->n_servers; i++) {
        if (pool_selection(a->pool) == POLICY_BY_TURN
            && assignment_n_slots(a, i) && !reach_is_down(reach, a, i)) {
            return true;
        }
    }
    return false;
}

/* The answer that the pool's policy gives. */
static void
answer_by_policy(struct explanation *e, const struct bridge *bridge,
                 const struct reach *reach, const struct learned *learned)
{
    const struct alive alive = { &bridge->installed, &bridge->ports };
    const struct assignment *a = e->assignment;

    if (has_turns(a, reach)) {
        explain_by_turn(e, reach, learned);
        explain_by_affinity(e, reach, learned);
        return;
    }
    e->group = (pool_has_slot_flows(a->pool)
                ? pick_slots_create(&alive, a)
                : pick_follow(&alive, &e->group_id));
    if (!e->group) {
        e->answer = EXPLAIN_NONE;
        return;
    }
    count_slots(e);
    set_answer(e);
    follow_dead_slot(e, bridge);
    note_method(e);
    note_buckets(e);
    explain_note_tier(e, bridge);
    if (only_server(e) == SIZE_MAX) {
        explain_by_affinity(e, reach, learned);
    }
}

struct explanation *
explain_create(const struct bridge *bridge, const char *name,
               const struct assignment *a,
               const struct explain_question *question,
               const struct explain_facts *facts,
               const struct learned *learned)
{
    struct explanation *e = lb_xcalloc(1, sizeof *e);
    struct reach_view view;
    struct reach reach;

    e->assignment = a;
    e->facts = *facts;
    e->n_slots = lb_xcalloc(a->pool->n_servers, sizeof *e->n_slots);
    e->asked = lb_xcalloc(a->pool->n_servers, sizeof *e->asked);
    e->n_tracked = lb_xcalloc(a->pool->n_servers, sizeof *e->n_tracked);
    e->tracked_server = SIZE_MAX;
    pool_asked_shares(a->pool, e->asked);
    init_packet(e, question);

    reach_view_init(&view, bridge);
    reach_compute(&view, a, &reach);
    reach_view_uninit(&view);
    e->group_id = reach_first_group(bridge, a);
    find_resident(e, bridge);
    if (!e->is_resident) {
        answer_by_policy(e, bridge, &reach, learned);
        note_dead(e, &reach);
    }
    reach_uninit(&reach);
    explain_note_health(e);
    check_path(e, bridge, name);
    note_client(e);
    return e;
}

void
explain_add_connections(struct explanation *e,
                        const struct connection_list *connections)
{
    const struct ovs_tuple *tuple = &e->packet.tuple;

    e->knows_tracked = true;
    for (size_t i = 0; i < connections->n; i++) {
        const struct connection *c = &connections->connections[i];
        size_t server = explain_find_member(e->assignment,
                                            connection_member(c));

        if (server == SIZE_MAX || (tuple->protocol != PROTOCOL_ANY
                                  && c->protocol != tuple->protocol)
            || !ip_equal(&c->client, &tuple->src)
            || !ip_equal(&c->vip, &tuple->dst)
            || !port_set_has(&e->assignment->pool->ports, c->vip_port)) {
            continue;
        }
        e->n_tracked[server]++;
        if (e->packet.has_src_port && e->packet.has_dst_port
            && c->client_port == tuple->src_port
            && c->vip_port == tuple->dst_port) {
            e->tracked_server = server;
            memcpy(e->tracked_state, c->state, sizeof e->tracked_state);
        }
    }
}

void
explain_destroy(struct explanation *e)
{
    if (e) {
        for (size_t i = 0; i < e->n_notes; i++) {
            free(e->notes[i]);
        }
        free(e->notes);
        free(e->n_slots);
        free(e->asked);
        free(e->n_tracked);
        pick_group_destroy(e->group);
        free(e);
    }
}
