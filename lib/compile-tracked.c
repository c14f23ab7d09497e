/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "lib/compile-pool.h"

#include "lib/actions.h"
#include "lib/found.h"
#include "lib/path.h"

/* "connections: tracked"
 * ======================
 *
 * Only the first packet of a connection meets the group.  It is committed with
 * NAT to the server and goes out at once, without another recirculation.  The
 * rest of the connection takes one recirculation in each direction.
 *
 * A pool with VIPs of both families has two flows where addresses are matched
 * or set, and one for both where the connection's mark says it all. */

/* Priority in the forward table of a flow for new connections: 'base' for the
 * pools that are the most particular about their VIP, and two less for each
 * step down from there. */
static uint16_t
forward_priority(const struct pool *pool, uint16_t base)
{
    return base - 2 * pool_scope(pool);
}

/* Replies, and requests that come back out
 * ----------------------------------------
 *
 * Replies leave by the port in the connection's mark, to the MAC that the
 * server sends them to.  With "reply_to: sender" they go to the MAC that the
 * requests came from, which is in the connection's label, as the port is then.
 *
 * With "snat" the server sees the VIP or another address of the switch's own
 * as the client.  That is a connection of its own, in another zone: a second
 * lookup for each packet, but no further recirculation.  The same is done, in
 * any pool, for a request that came in by the port that its server is behind,
 * be it the server itself: the reply would not come back to the switch, and a
 * server does not talk to its own address over the network. */

/* Priorities in the forward table and the server table. */
#define PRIORITY_NEW 10        /* For forward_priority(). */
#define PRIORITY_KNOWN 20
#define PRIORITY_KNOWN_SNAT 25
#define PRIORITY_SERVER 10
#define PRIORITY_SERVER_BACK 13

/* Client to VIP, first look. */
static void
emit_entry(struct compiler *c, const struct assignment *a,
           const struct ip *vip)
{
    const struct pool *pool = a->pool;

    compiler_match_vlan(c, pool->path.vlan);
    compiler_match_to(c, pool->protocol, vip, &pool->ports);
    compiler_put_look(c, pool);
    act_ct_nat(&c->acts, path_zone(c->settings, pool),
               compiler_table(c, compiler_forward_table(pool)));
    compiler_emit_entry(c, compiler_entry_priority(pool),
                        cookie_make(COOKIE_ENTRY, a->id, 0), &pool->loc);
}

/* Client to VIP, connection not known. */
static void
emit_new(struct compiler *c, const struct assignment *a, const struct ip *vip)
{
    const struct pool *pool = a->pool;

    compiler_match_vlan(c, pool->path.vlan);
    compiler_match_ct(c, CT_NEW, CT_NEW | CT_INVALID);
    compiler_match_to(c, pool->protocol, vip, &pool->ports);
    compiler_put_pick(c, a);
    compiler_emit(c, compiler_table(c, TABLE_FORWARD),
                  forward_priority(pool, PRIORITY_NEW),
                  cookie_make(COOKIE_NEW, a->id, 0), &pool->loc);
}

/* What connections whose clients the server does not see may come from. */
struct snat_source {
    const struct ip *ip;
    struct mac mac;
    struct port_set ports;
};

/* All of a pool, those of "snat" first. */
struct snat_sources {
    struct snat_source sources[2 * N_FAMILIES];
    size_t n;
};

static void
add_sources(struct snat_sources *sources, const struct compiler *c,
            const struct pool *pool, const struct ips *ips)
{
    for (size_t i = 0; i < ips->n; i++) {
        struct snat_source *source = &sources->sources[sources->n];

        source->ip = &ips->ip[i];
        source->mac = path_snat_mac(c->model, pool, source->ip);
        sources->n += path_snat_ports(c->model, pool, source->ip,
                                      &source->ports);
    }
}

/* The first of a family, or NULL. */
static const struct snat_source *
find_source(const struct snat_sources *sources, enum family family)
{
    for (size_t i = 0; i < sources->n; i++) {
        if (ip_family(sources->sources[i].ip) == family) {
            return &sources->sources[i];
        }
    }
    return NULL;
}

/* A server and the port that it is behind. */
struct destination {
    const struct server *server;
    uint16_t member;
    uint16_t port;
    const struct snat_sources *sources;
};

/* Appends the actions that send a packet, whose addresses are right, to the
 * server. */
static void
put_delivery(struct compiler *c, const struct assignment *a,
             const struct destination *to)
{
    const struct path *path = &a->pool->path;

    if (path->proxy_arp != PROXY_ARP_OFF) {
        act_set_mac(&c->acts, MFF_ETH_SRC, &a->pool->vip_mac);
    }
    act_set_mac(&c->acts, MFF_ETH_DST, server_mac(to->server));
    compiler_change_vlan(c, path->vlan,
                         path_server_vlan(a->pool, to->server));
    act_output(&c->acts, to->port);
}

/* Likewise, after giving it 'source'.  It may go out where it came in. */
static void
put_snat_delivery(struct compiler *c, const struct assignment *a,
                  const struct destination *to,
                  const struct snat_source *source)
{
    act_ct_snat(&c->acts, path_snat_zone(c->settings, a->pool), source->ip,
                &source->ports);
    act_set_mac(&c->acts, MFF_ETH_SRC, &source->mac);
    act_set_mac(&c->acts, MFF_ETH_DST, server_mac(to->server));
    compiler_change_vlan(c, a->pool->path.vlan,
                         path_server_vlan(a->pool, to->server));
    act_set_u16(&c->acts, MFF_IN_PORT, 0);
    act_output(&c->acts, to->port);
}

/* Client to VIP, connection known.  It is still "new" to the switch until the
 * server has answered, so that state is not looked at.  Nor is whether the
 * packet fits into the connection: a client that was restarted and uses the
 * same port gets through only if its SYN, the server's surprise, and the reset
 * that this brings about all pass. */
static void
emit_forward(struct compiler *c, const struct assignment *a,
             const struct destination *to)
{
    compiler_match_ct(c, 0, CT_REPLY);
    compiler_match_mark(c, to->member);
    compiler_put_use(c, a);
    put_delivery(c, a, to);
    compiler_emit(c, compiler_table(c, TABLE_FORWARD), PRIORITY_KNOWN,
                  cookie_make(COOKIE_FORWARD, a->id, to->member),
                  &to->server->loc);
}

static void
put_commit(struct compiler *c, const struct assignment *a,
           const struct destination *to, const struct ip *ip, uint16_t special)
{
    act_ct_commit(&c->acts, path_zone(c->settings, a->pool), ip,
                  to->server->port, to->member, special);
}

/* Matches packets that server 'to' is chosen for, by way of a VIP of the
 * family of 'ip'.  Later fragments of IPv6 are of a protocol of their own. */
static void
match_begin(struct compiler *c, const struct assignment *a,
            const struct destination *to, const struct ip *ip)
{
    compiler_match_protocol(c, ip_family(ip), ip_is_v4(ip) ? a->pool->protocol
                                              : PROTOCOL_ANY);
    compiler_match_member(c, to->member);
}

/* Client to VIP, this server chosen, with 'ip' for the VIP's family. */
static void
emit_server(struct compiler *c, const struct assignment *a,
            const struct destination *to, const struct ip *ip)
{
    match_begin(c, a, to, ip);
    put_commit(c, a, to, ip,
               path_replies_to_sender(a->pool) ? MARK_SENDER : 0);
    put_delivery(c, a, to);
    compiler_emit(c, compiler_table(c, TABLE_SERVER), PRIORITY_SERVER,
                  cookie_make(COOKIE_SERVER, a->id, to->member),
                  &to->server->loc);
}

/* All about connections whose clients the server does not see: with
 * 'may_begin', new ones as well.  Without "snat" those are the ones that come
 * in by the server's port. */
static void
emit_snat(struct compiler *c, const struct assignment *a,
          const struct destination *to, const struct ip *ip, bool may_begin)
{
    const struct pool *pool = a->pool;
    const struct snat_source *source = find_source(to->sources, ip_family(ip));
    const struct source_loc *loc = &to->server->loc;

    if (!source) {
        return;
    }
    if (may_begin) {
        match_begin(c, a, to, ip);
        if (!pool->path.snat) {
            match_set_in_port(&c->match, (OVS_FORCE ofp_port_t) to->port);
        }
        put_commit(c, a, to, ip, MARK_SNAT);
        put_snat_delivery(c, a, to, source);
        compiler_emit(c, compiler_table(c, TABLE_SERVER), PRIORITY_SERVER_BACK,
                      cookie_make(COOKIE_SERVER, a->id, to->member), loc);
    }
    /* Of any protocol: an error about it goes the same way. */
    compiler_match_ct(c, 0, CT_REPLY);
    compiler_match_protocol(c, ip_family(ip), PROTOCOL_ANY);
    compiler_match_special(c, to->member, MARK_SNAT);
    put_snat_delivery(c, a, to, source);
    compiler_emit(c, compiler_table(c, TABLE_FORWARD), PRIORITY_KNOWN_SNAT,
                  cookie_make(COOKIE_FORWARD, a->id, to->member), loc);

    if (ip_is_v4(source->ip)) {
        compile_arp_side(c, pool, to->server, to->port, source->ip);
    } else {
        compile_neighbor_side(c, pool, to->server, to->port, source->ip);
        if (pool->path.snat) {
            compile_snat_errors(c, to->member, source->ip, loc);
        }
    }
}

/* The priority of the flow for what 'server' sends to an address that it sees
 * as its client. */
static uint16_t
snat_priority(const struct pool *pool, const struct server *server)
{
    bool is_away = path_server_vlan(pool, server) != pool->path.vlan;

    return ((pool_scope(pool) == POOL_SCOPE_ALL ? PRIORITY_ENTRY_ALL
             : PRIORITY_ENTRY) + compiler_vlan_step(pool) + is_away);
}

/* What the server sends to 'source', first look: if it is for a client that it
 * does not see, that one gets its address again, then the server that of the
 * VIP.  In the pool's VLAN all servers share the flow. */
static void
emit_snat_return(struct compiler *c, const struct assignment *a,
                 const struct destination *to,
                 const struct snat_source *source)
{
    const struct pool *pool = a->pool;
    const struct ip *ip = ips_find(&to->server->ips, ip_family(source->ip));

    compiler_match_side(c, pool, to->server, to->port);
    if (ip && path_server_vlan(pool, to->server) != pool->path.vlan) {
        compiler_match_ip_src(c, ip);
    }
    compiler_match_to(c, pool->protocol, source->ip, &source->ports);
    act_ct_nat(&c->acts, path_snat_zone(c->settings, pool), CT_HERE);
    act_ct_nat(&c->acts, path_zone(c->settings, pool),
               compiler_table(c, TABLE_REVERSE));
    compiler_emit_entry(c, snat_priority(pool, to->server),
                        cookie_make(COOKIE_SNAT, 0, 0), &to->server->loc);
    compile_fragments_side(c, pool, to->server, to->port, source->ip);
}

/* Server to client, first look.  Pools that share the server share the
 * flows. */
static void
emit_return(struct compiler *c, const struct assignment *a,
            const struct destination *to, const struct ip *ip)
{
    struct port_set ports = server_ports(a->pool, to->server);

    compiler_match_side(c, a->pool, to->server, to->port);
    compiler_match_from(c, a->pool->protocol, ip, &ports);
    act_ct_nat(&c->acts, path_zone(c->settings, a->pool),
               compiler_table(c, TABLE_REVERSE));
    compiler_emit_entry(c, PRIORITY_RETURN, cookie_make(COOKIE_RETURN, 0, 0),
                        &to->server->loc);
    compile_errors_from(c, a->pool, to->server, ip_family(ip), to->port);
    compile_fragments_from(c, a->pool, to->server, ip, to->port);
}

/* Server to client, connection known: out where its requests come in. */
static void
emit_reverse(struct compiler *c, const struct assignment *a,
             const struct destination *to)
{
    compiler_match_ct(c, CT_SNAT, CT_SNAT);
    compiler_match_mark(c, to->member);
    act_set_mac(&c->acts, MFF_ETH_SRC, &a->pool->vip_mac);
    compiler_change_vlan(c, path_server_vlan(a->pool, to->server),
                         a->pool->path.vlan);
    act_output_field(&c->acts, REG_PORT, MARK_PORT_BITS);
    compiler_emit(c, compiler_table(c, TABLE_REPLY), 40,
                  cookie_make(COOKIE_REVERSE, a->id, to->member),
                  &to->server->loc);
}

/* What there is of known connections. */
static void
emit_known(struct compiler *c, const struct assignment *a,
           const struct destination *to, bool may_begin)
{
    for (size_t i = 0; i < to->server->ips.n; i++) {
        emit_snat(c, a, to, &to->server->ips.ip[i], may_begin);
    }
    for (size_t i = 0; i < to->sources->n; i++) {
        emit_snat_return(c, a, to, &to->sources->sources[i]);
    }
    emit_forward(c, a, to);
    emit_reverse(c, a, to);
}

/* A server in "maint" gets nothing and nothing of its connections comes back:
 * only the first look at what it sends is left, so that packets with its
 * address do not get out to clients. */
static void
emit_member(struct compiler *c, const struct assignment *a,
            const struct snat_sources *sources, size_t i)
{
    const struct server *server = &a->pool->servers[i];
    struct destination to = {
        server, a->members[i], compiler_port(c, server), sources
    };

    if (to.port == PORT_NONE) {
        return;
    }
    for (size_t j = 0; j < server->ips.n; j++) {
        emit_return(c, a, &to, &server->ips.ip[j]);
    }
    if (server_effective_state(server) == SERVER_MAINT) {
        return;
    }
    for (size_t j = 0; j < server->ips.n && !a->pool->path.snat; j++) {
        emit_server(c, a, &to, &server->ips.ip[j]);
    }
    emit_known(c, a, &to, true);
}

/* A server that is gone from the pool: connections go on, none begins. */
static void
emit_leaving(struct compiler *c, const struct assignment *a,
             const struct snat_sources *sources, const struct leaving *leaving)
{
    const struct server *server = &leaving->server;
    struct destination to = {
        server, leaving->member, compiler_port(c, server), sources
    };

    if (to.port != PORT_NONE) {
        for (size_t i = 0; i < server->ips.n; i++) {
            emit_return(c, a, &to, &server->ips.ip[i]);
        }
        emit_known(c, a, &to, false);
    }
}

void
compile_tracked(struct compiler *c, const struct assignment *a)
{
    struct snat_sources sources = { .n = 0 };

    add_sources(&sources, c, a->pool, &a->pool->path.snat_ips);
    add_sources(&sources, c, a->pool, &a->pool->vips);
    for (size_t i = 0; i < a->pool->vips.n; i++) {
        emit_entry(c, a, &a->pool->vips.ip[i]);
        emit_new(c, a, &a->pool->vips.ip[i]);
        compile_errors_to(c, a->pool, &a->pool->vips.ip[i]);
        compile_fragments_to(c, a, &a->pool->vips.ip[i]);
    }
    for (size_t i = 0; i < a->pool->path.snat_ips.n; i++) {
        compile_errors_to(c, a->pool, &a->pool->path.snat_ips.ip[i]);
        compile_fragments_back(c, a->pool, &a->pool->path.snat_ips.ip[i]);
    }
    compile_look(c, a->pool);
    for (size_t i = 0; i < a->n_leaving; i++) {
        emit_leaving(c, a, &sources, &a->leaving[i]);
    }
    for (size_t i = 0; i < a->pool->n_servers; i++) {
        emit_member(c, a, &sources, i);
    }
}

void
compile_resident(const struct model *model, const struct assignment *a,
                 size_t index, const struct ip *client, int prefix,
                 uint16_t seconds, struct ofstate *flows, struct diags *diags)
{
    const struct pool *pool = a->pool;
    const struct ip *vip = ips_find(&pool->vips, ip_family(client));
    uint16_t member = a->members[index];
    struct compiler c = {
        .model = model,
        .settings = &model->settings,
        .desired = flows,
        .diags = diags,
        .hard_timeout = seconds,
    };

    match_init_catchall(&c.match);
    ofpbuf_init(&c.acts, 64);
    compiler_match_vlan(&c, pool->path.vlan);
    compiler_match_ct(&c, CT_NEW, CT_NEW | CT_INVALID);
    compiler_match_to(&c, pool->protocol, vip, &pool->ports);
    compiler_match_client(&c, client, prefix);
    act_set_u32(&c.acts, REG_MEMBER, member);
    act_resubmit(&c.acts, compiler_table(&c, TABLE_SERVER));
    compiler_emit(&c, compiler_table(&c, TABLE_FORWARD),
                  forward_priority(pool, 11),
                  cookie_make(COOKIE_RESIDENT, a->id, member),
                  &pool->servers[index].loc);
    compile_resident_fragments(&c, a, index, client, prefix);
    ofpbuf_uninit(&c.acts);
}

/* From a server, connection known: that the source has been rewritten says
 * that it is one, since a packet that does not fit into it is not called a
 * reply.  The port is in the mark. */
static void
emit_reply(struct compiler *c)
{
    compiler_match_ct(c, CT_SNAT, CT_SNAT);
    act_move(&c->acts, MFF_CT_MARK, REG_PORT, MARK_PORT_BITS);
    act_resubmit(&c->acts, compiler_table(c, TABLE_REPLY));
    compiler_emit(c, compiler_table(c, TABLE_REVERSE), 10,
                  cookie_make(COOKIE_RESTORE, 0, 0), NULL);
}

/* Likewise, if it is a special one: the port is in the label, beside the MAC
 * that its requests came from.  It may leave by the port that it comes in
 * by. */
static void
emit_restore(struct compiler *c)
{
    compiler_match_ct(c, CT_SNAT, CT_SNAT);
    match_set_ct_mark_masked(&c->match, MARK_SPECIAL, MARK_SPECIAL_MASK);
    act_move(&c->acts, MFF_CT_LABEL, MFF_ETH_DST, LABEL_MAC_BITS);
    act_move_at(&c->acts, MFF_CT_LABEL, LABEL_PORT_OFS, REG_PORT, 0,
                MARK_PORT_BITS);
    act_set_u16(&c->acts, MFF_IN_PORT, 0);
    act_resubmit(&c->acts, compiler_table(c, TABLE_REPLY));
    compiler_emit(c, compiler_table(c, TABLE_REVERSE), 20,
                  cookie_make(COOKIE_RESTORE, 0, 0), NULL);
}

/* Replies among what is to a VIP: see lib/compile-fragment.c. */
static void
emit_fragment_replies(struct compiler *c)
{
    compiler_match_ct(c, CT_SNAT, CT_SNAT);
    act_resubmit(&c->acts, compiler_table(c, TABLE_REVERSE));
    compiler_emit(c, compiler_table(c, TABLE_FORWARD), 5,
                  cookie_make(COOKIE_FRAGMENT, 0, 0), NULL);
}

/* What comes from a server's port but is no part of a connection to a VIP goes
 * back to the entry table as it came, marked as seen, for the bridge's own
 * flows.  A packet of a connection whose server is no longer known has had its
 * source rewritten already and ends here. */
void
compile_tracked_common(struct compiler *c)
{
    emit_reply(c);
    emit_restore(c);
    emit_fragment_replies(c);
    compile_errors_common(c);

    compiler_match_ct(c, CT_SNAT, CT_SNAT);
    compiler_emit(c, compiler_table(c, TABLE_REPLY), 30,
                  cookie_make(COOKIE_STALE, 0, 0), NULL);

    act_ct_clear(&c->acts);
    compiler_put_pass(c);
    compiler_emit(c, compiler_table(c, TABLE_REVERSE), 0,
                  cookie_make(COOKIE_PASS, 0, 0), NULL);
}
