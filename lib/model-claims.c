/* SPDX-License-Identifier: Apache-2.0 */

/* Which packets are whose
 * =======================
 *
 * A packet to a VIP goes to one pool: of those that want it, the one that is
 * most particular about it (enum pool_scope), and among equals there must be
 * no choice.  What comes from a server's port can be the reply of one
 * stateless pool only, as it is known by address and port alone.  And of
 * tracked pools, only those of one VLAN can have the same server there: each
 * VLAN has a zone of connection tracking, and what a server sends is looked up
 * in one.
 *
 * All are the same question about ranges.  A protocol and a port are taken
 * for one number, so that each claim is a range of numbers at an address. */

#include "lib/model-internal.h"

#include <stdlib.h>
#include <string.h>

#include "lib/path.h"

#define CLAIM_LAST (UINT32_C(255) << 16 | UINT16_MAX)

/* What a claim is about. */
enum claim_kind {
    CLAIM_REQUESTS,             /* To a VIP. */
    CLAIM_REPLIES,              /* From a server. */
    CLAIM_FRAGMENTS             /* From one of a tracked pool: they have no
                                 * ports. */
};

/* Claims that may reach further than others without being at odds with what
 * these are at odds with. */
enum claim_class {
    CLASS_STATELESS,
    CLASS_DIRECT,
    CLASS_TRACKED,
    N_CLASSES
};

/* What a pool wants of the packets to its VIP or, with a 'server', from
 * there. */
struct claim {
    enum claim_kind kind;
    const struct pool *pool;
    const struct server *server;
    const struct node *node;    /* Of the pool, or of the server. */
    const struct ip *ip;
    enum pool_scope scope;
    uint32_t first, last;       /* Protocol << 16 | port. */
    size_t order;               /* In the file. */
};

struct claims {
    struct claim *claims;
    size_t n;
    size_t allocated;
};

static void
add_range(struct claims *claims, struct claim claim, uint32_t first,
          uint32_t last)
{
    claims->claims = lb_grow(claims->claims, claims->n, &claims->allocated,
                             sizeof *claims->claims);
    claim.first = first;
    claim.last = last;
    claim.order = claims->n;
    claims->claims[claims->n++] = claim;
}

/* Adds what 'claim' says of 'ports' of 'protocol'. */
static void
add_claim(struct claims *claims, const struct claim *claim,
          enum protocol protocol, const struct port_set *ports)
{
    uint32_t base = (uint32_t) protocol << 16;

    if (protocol == PROTOCOL_ANY) {
        add_range(claims, *claim, 0, CLAIM_LAST);
    } else if (!ports->n) {
        add_range(claims, *claim, base, base | UINT16_MAX);
    }
    for (size_t i = 0; i < ports->n; i++) {
        add_range(claims, *claim, base | ports->ranges[i].first,
                  base | ports->ranges[i].last);
    }
}

/* What is in different VLANs is not the same.  Nothing that is in a VLAN meets
 * what is in any: see model_check_vlans(). */
static uint16_t
vlan(const struct claim *claim)
{
    return (claim->server ? path_server_vlan(claim->pool, claim->server)
            : claim->pool->path.vlan);
}

static enum claim_class
class(const struct claim *claim)
{
    switch (claim->pool->connections) {
    case CONNECTIONS_STATELESS:
        return CLASS_STATELESS;
    case CONNECTIONS_DIRECT:
        return CLASS_DIRECT;
    case CONNECTIONS_TRACKED:
    default:
        return CLASS_TRACKED;
    }
}

static int
compare_claims(const void *a_, const void *b_)
{
    const struct claim *a = a_, *b = b_;
    int result = memcmp(a->ip, b->ip, sizeof *a->ip);

    return (result ? result
            : vlan(a) != vlan(b) ? (vlan(a) < vlan(b) ? -1 : 1)
            : a->scope != b->scope ? (a->scope < b->scope ? -1 : 1)
            : a->first != b->first ? (a->first < b->first ? -1 : 1)
            : a->order < b->order ? -1 : 1);
}

/* "10.0.0.1:80/tcp": what both claims are about. */
static const char *
format_overlap(const struct claim *a, const struct claim *b,
               char buf[CLAIM_STRLEN])
{
    uint32_t first = a->first > b->first ? a->first : b->first;
    uint32_t last = a->last < b->last ? a->last : b->last;
    struct port_set ports = { .n = 0 };
    enum protocol protocol = PROTOCOL_ANY;

    if (first >> 16 == last >> 16) {
        protocol = first >> 16;
        if (first & UINT16_MAX) {
            ports.n = 1;
            ports.ranges[0].first = first;
            ports.ranges[0].last = last;
        }
    }
    return claim_format(a->ip, &ports, protocol, buf);
}

static void
report_vip(const struct claim *claim, const struct claim *other,
           struct diags *diags)
{
    char owner[OWNER_SIZE], text[CLAIM_STRLEN];

    diag_error(diags, node_locate(claim->node, "vip"), "%s: %s is taken",
               owner_format("pool", claim->pool->name, owner),
               format_overlap(claim, other, text));
    diag_note(diags, node_locate(other->node, "vip"), "%s has it",
              owner_format("pool", other->pool->name, owner));
}

static void
report_replies(const struct claim *claim, const struct claim *other,
               struct diags *diags)
{
    char owner[OWNER_SIZE], text[CLAIM_STRLEN];

    diag_error(diags, node_locate(claim->node, "ip"),
               "%s: %s is in another pool too, and a stateless pool must "
               "have its servers' ports alone to know their replies",
               owner_format("server", claim->server->name, owner),
               format_overlap(claim, other, text));
    diag_note(diags, node_locate(other->node, "ip"), "%s (%s) has it",
              owner_format("pool", other->pool->name, owner),
              connections_name(other->pool->connections));
}

static void
report_vlans(const struct claim *claim, const struct claim *other,
             struct diags *diags)
{
    char owner[OWNER_SIZE], text[CLAIM_STRLEN], number[VLAN_STRLEN];

    diag_error(diags, node_locate(claim->node, "ip"),
               "%s: %s in vlan %s is in a pool of another vlan too, and there "
               "is no telling whose replies it sends",
               owner_format("server", claim->server->name, owner),
               format_overlap(claim, other, text),
               vlan_format(vlan(claim), number));
    diag_note(diags, node_locate(other->node, "ip"), "%s (vlan %s) has it",
              owner_format("pool", other->pool->name, owner),
              vlan_format(other->pool->path.vlan, number));
}

/* Whether the replies of two claims are looked up in one zone each, not the
 * same.  Those that come whole are no better than fragments. */
static bool
are_zones_apart(const struct claim *a, const struct claim *b)
{
    return (a->kind == CLAIM_FRAGMENTS
            && a->pool->path.vlan != b->pool->path.vlan);
}

/* Whether two claims that overlap cannot be together. */
static bool
is_clash(const struct claim *a, const struct claim *b)
{
    return (a->pool != b->pool
            && (a->kind == CLAIM_REQUESTS
                || a->pool->connections == CONNECTIONS_STATELESS
                || b->pool->connections == CONNECTIONS_STATELESS
                || are_zones_apart(a, b)));
}

/* Reports if 'claim' is about something that 'other', unless NULL, is about as
 * well.  The one that comes second in the file is at fault. */
static void
check_pair(const struct claim *claim, const struct claim *other,
           struct diags *diags)
{
    if (other && other->last >= claim->first && is_clash(claim, other)) {
        const struct claim *a = claim->order > other->order ? claim : other;
        const struct claim *b = a == claim ? other : claim;

        (a->kind == CLAIM_REQUESTS ? report_vip
         : are_zones_apart(a, b) ? report_vlans : report_replies)(a, b, diags);
    }
}

/* Goes through the claims from the lowest to the highest.  Those met so far
 * overlap the next one if the one of them does that reaches furthest; each
 * class is watched apart. */
static void
check_all(struct claims *claims, struct diags *diags)
{
    const struct claim *furthest[N_CLASSES] = { NULL };

    if (claims->n) {
        qsort(claims->claims, claims->n, sizeof *claims->claims,
              compare_claims);
    }
    for (size_t i = 0; i < claims->n; i++) {
        const struct claim *claim = &claims->claims[i];
        const struct claim **mine = &furthest[class(claim)];

        if (i && (claim->scope != claim[-1].scope
                  || vlan(claim) != vlan(&claim[-1])
                  || !ip_equal(claim->ip, claim[-1].ip))) {
            memset(furthest, 0, sizeof furthest);
        }
        for (size_t j = 0; j < N_CLASSES; j++) {
            check_pair(claim, furthest[j], diags);
        }
        if (!*mine || (*mine)->last < claim->last) {
            *mine = claim;
        }
    }
}

static void
add_vips(struct claims *claims, const struct pool *pool,
         const struct node *node)
{
    struct claim claim = {
        .pool = pool, .node = node, .scope = pool_scope(pool)
    };

    for (size_t i = 0; i < pool->vips.n; i++) {
        claim.ip = &pool->vips.ip[i];
        add_claim(claims, &claim, pool->protocol, &pool->ports);
    }
}

/* Of IPv6, not even the protocol is known: see lib/compile-fragment.c. */
static void
add_fragments(struct claims *claims, struct claim claim)
{
    const struct port_set every = { .n = 0 };

    claim.kind = CLAIM_FRAGMENTS;
    if (claim.pool->connections == CONNECTIONS_TRACKED) {
        add_claim(claims, &claim, (ip_is_v4(claim.ip) ? claim.pool->protocol
                                   : PROTOCOL_ANY), &every);
    }
}

static void
add_servers(struct claims *replies, struct claims *fragments,
            const struct pool *pool)
{
    for (size_t i = 0; i < pool->n_servers; i++) {
        const struct server *server = &pool->servers[i];
        struct port_set ports = server_ports(pool, server);
        struct claim claim = {
            .kind = CLAIM_REPLIES, .pool = pool, .server = server,
            .node = server->node
        };

        for (size_t j = 0; j < server->ips.n; j++) {
            claim.ip = &server->ips.ip[j];
            add_claim(replies, &claim, pool->protocol, &ports);
            add_fragments(fragments, claim);
        }
    }
}

void
model_check_claims(const struct model *model, const struct node *pools_node,
                   struct diags *diags)
{
    struct claims vips = { .n = 0 }, replies = { .n = 0 };
    struct claims fragments = { .n = 0 };

    for (size_t i = 0; i < model->n_pools; i++) {
        const struct pool *pool = model->pools[i];
        const struct node *node = pools_node->items[i];

        if (pool_ports_are_read(pool, node)) {
            add_vips(&vips, pool, node);
            add_servers(&replies, &fragments, pool);
        }
    }
    check_all(&vips, diags);
    check_all(&replies, diags);
    check_all(&fragments, diags);
    free(vips.claims);
    free(replies.claims);
    free(fragments.claims);
}

const char *
claim_format(const struct ip *ip, const struct port_set *ports,
             enum protocol protocol, char buf[CLAIM_STRLEN])
{
    char address[IP_STRLEN], text[PORT_SET_STRLEN];

    if (protocol == PROTOCOL_ANY) {
        snprintf(buf, CLAIM_STRLEN, "%s/%s", ip_format(ip, address),
                 protocol_name(protocol));
    } else {
        snprintf(buf, CLAIM_STRLEN, ip_is_v4(ip) ? "%s:%s/%s"
                                                 : "[%s]:%s/%s",
                 ip_format(ip, address), port_set_format(ports, text),
                 protocol_name(protocol));
    }
    return buf;
}
