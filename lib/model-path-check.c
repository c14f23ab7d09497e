/* SPDX-License-Identifier: Apache-2.0 */

/* Ways that are at odds
 * =====================
 *
 * What lib/path.h is about, where the pools of a file do not go together.
 * Whatever can be wrong here is about an address that two of them have.  So
 * first it is noted, for each address, who has it first of those that could
 * be at odds with others; then everybody is held against these.  That takes
 * as long as there are addresses, not pairs of them. */

#include "lib/model-internal.h"

#include "lib/arena.h"
#include "lib/path.h"
#include "lib/strmap.h"

/* Who has an address: a pool, and where it says so, by a key of its own
 * mapping or that of a server. */
struct holder {
    const struct pool *pool;
    const struct node *node;
    const char *key;
};

/* The first holder of each address. */
struct path_checker {
    const struct model *model;
    struct diags *diags;
    struct arena arena;
    struct strmap vlan_vips;    /* Of pools that say which VLAN. */
    struct strmap vlan_snats;   /* Likewise. */
    struct strmap vlan_all;     /* Both. */
    struct strmap vlan_servers; /* Likewise. */
    struct strmap snats;        /* By address and VLAN. */
    struct strmap all;          /* VIPs and "snat".  Likewise. */
    struct strmap servers;      /* Likewise. */
    struct strmap routers;      /* "via".  Likewise. */
    struct strmap proxies;      /* Servers that ask for clients.  Likewise. */
    struct strmap ways;         /* The same, by format_way(). */
};

static const char *
format_key(struct path_checker *c, const struct ip *ip)
{
    char buf[IP_STRLEN];

    return arena_printf(&c->arena, "%s", ip_format(ip, buf));
}

/* The same address in another VLAN is another host. */
static const char *
format_vlan_key(struct path_checker *c, const struct ip *ip, uint16_t vlan)
{
    char buf[IP_STRLEN], number[VLAN_STRLEN];

    return arena_printf(&c->arena, "%s %s", ip_format(ip, buf),
                        vlan_format(vlan, number));
}

/* What packets for clients are known by, of a server that only knows the
 * VIP's MAC. */
static const char *
format_way(struct path_checker *c, const struct pool *pool,
           const struct server *server)
{
    char mac[MAC_STRLEN], number[VLAN_STRLEN];

    return arena_printf(&c->arena, "%s %s %s", server->interface,
                        vlan_format(path_server_vlan(pool, server), number),
                        mac_format(&pool->vip_mac, mac));
}

/* Noting. */

static void
take(struct path_checker *c, struct strmap *map, const char *key,
     const struct pool *pool, const struct node *node, const char *where)
{
    struct strmap_entry *entry = strmap_add(map, key);

    if (!entry->value) {
        struct holder *holder = arena_alloc(&c->arena, sizeof *holder);

        *holder = (struct holder) { pool, node, where };
        entry->value = holder;
    }
}

static void
note_server(struct path_checker *c, const struct pool *pool,
            const struct server *server)
{
    uint16_t vlan = path_server_vlan(pool, server);

    for (size_t i = 0; i < server->ips.n; i++) {
        const struct ip *ip = &server->ips.ip[i];
        const char *key = format_vlan_key(c, ip, vlan);

        take(c, &c->servers, key, pool, server->node, "ip");
        if (pool->path.vlan != VLAN_ANY) {
            take(c, &c->vlan_servers, format_key(c, ip), pool, server->node,
                 "ip");
        }
        if (pool->path.proxy_arp != PROXY_ARP_OFF) {
            take(c, &c->proxies, key, pool, server->node, "ip");
        }
    }
    if (pool->path.proxy_arp != PROXY_ARP_OFF && server->interface) {
        take(c, &c->ways, format_way(c, pool, server), pool, server->node,
             "interface");
    }
    for (size_t i = 0; i < server->via.n; i++) {
        take(c, &c->routers, format_vlan_key(c, &server->via.ip[i], vlan),
             pool, server->node, "via");
    }
}

/* Notes a VIP or "snat" of a pool that says which VLAN. */
static void
note_own(struct path_checker *c, const struct ip *ip, const struct pool *pool,
         const struct node *node, bool is_snat)
{
    const char *text = format_key(c, ip);
    const char *key = format_vlan_key(c, ip, pool->path.vlan);
    const char *where = is_snat ? "snat" : "vip";

    take(c, is_snat ? &c->vlan_snats : &c->vlan_vips, text, pool, node, where);
    take(c, &c->vlan_all, text, pool, node, where);
    take(c, &c->all, key, pool, node, where);
    if (is_snat) {
        take(c, &c->snats, key, pool, node, where);
    }
}

static void
note_pool(struct path_checker *c, const struct pool *pool,
          const struct node *node)
{
    const struct ips *vips = &pool->vips, *snats = &pool->path.snat_ips;

    for (size_t i = 0; i < vips->n && pool->path.vlan != VLAN_ANY; i++) {
        note_own(c, &vips->ip[i], pool, node, false);
    }
    for (size_t i = 0; i < snats->n && pool->path.vlan != VLAN_ANY; i++) {
        note_own(c, &snats->ip[i], pool, node, true);
    }
    for (size_t i = 0; i < pool->n_servers; i++) {
        note_server(c, pool, &pool->servers[i]);
    }
}

/* Checking. */

/* Packets of one pool could be taken for those of another one if only one of
 * them says which VLAN it is in.  'key' is where the address stands. */
static void
check_vlan(struct path_checker *c, const struct strmap *map,
           const struct ip *ip, const struct pool *pool,
           const struct node *node, const char *key, const char *owner)
{
    const char *text = format_key(c, ip);
    const struct holder *other = strmap_get(map, text);
    char name[OWNER_SIZE];

    if (pool->path.vlan == VLAN_ANY && other) {
        owner_format("pool", other->pool->name, name);
        diag_error(c->diags, node_locate(node, key), "%s: %s %s is in %s too, "
                   "which has a vlan; this pool needs one as well, to tell "
                   "them apart", owner, key, text, name);
        diag_note(c->diags, node_locate(other->node, other->key),
                  "%s has it here", name);
    }
}

/* Likewise if one of its servers is in the VLAN of the other one: what that
 * sends to the address, which it may see as its client, could be for either.
 * One of the two pools has it as "snat". */
static void
check_away(struct path_checker *c, const struct strmap *map,
           const struct ip *ip, const struct pool *pool,
           const struct node *node, const char *key, const char *owner)
{
    const struct holder *other = NULL;
    char name[OWNER_SIZE], server[OWNER_SIZE], text[IP_STRLEN];

    for (size_t i = 0; i < pool->n_servers && !other; i++) {
        uint16_t vlan = path_server_vlan(pool, &pool->servers[i]);

        if (vlan != pool->path.vlan) {
            other = strmap_get(map, format_vlan_key(c, ip, vlan));
            owner_format("server", pool->servers[i].name, server);
        }
    }
    if (other) {
        owner_format("pool", other->pool->name, name);
        diag_error(c->diags, node_locate(node, key), "%s: %s %s is in %s too, "
                   "in the vlan of %s of this pool; give one of them another "
                   "snat", owner, key, ip_format(ip, text), name, server);
        diag_note(c->diags, node_locate(other->node, other->key),
                  "%s has it here", name);
    }
}

/* A server that never hears of its clients' MACs sends its replies to the
 * VIP's, whatever the pool. */
static void
check_proxy(struct path_checker *c, const struct pool *pool,
            const struct server *server, const struct ip *ip)
{
    const struct holder *proxy = strmap_get(
        &c->proxies, format_vlan_key(c, ip, path_server_vlan(pool, server)));
    const struct source_loc *loc = node_locate(server->node, "ip");
    char owner[OWNER_SIZE], name[OWNER_SIZE];

    if (!proxy || proxy->pool == pool) {
        return;
    }
    owner_format("server", server->name, owner);
    owner_format("pool", proxy->pool->name, name);
    if (!path_replies_to_sender(pool)) {
        diag_error(c->diags, loc, "%s is in %s too, whose proxy_arp hides "
                   "clients from it; this pool needs %s\"reply_to: sender\"",
                   owner, name, pool->connections == CONNECTIONS_TRACKED ? ""
                   : "\"connections: tracked\" and ");
    } else if (pool->path.proxy_arp != PROXY_ARP_OFF
               && !mac_equal(&pool->vip_mac, &proxy->pool->vip_mac)) {
        diag_error(c->diags, loc, "%s is in %s too, and both have proxy_arp; "
                   "give them the same vip_mac", owner, name);
    } else {
        return;
    }
    diag_note(c->diags, node_locate(proxy->node, "ip"), "%s has it here",
              name);
}

/* What a server sends to the VIP's MAC is looked up in the zone of its pool's
 * VLAN: pools in two VLANs cannot both have it. */
static void
check_way(struct path_checker *c, const struct pool *pool,
          const struct server *server)
{
    const struct holder *other;
    char owner[OWNER_SIZE], name[OWNER_SIZE];

    if (pool->path.proxy_arp == PROXY_ARP_OFF || !server->interface) {
        return;
    }
    other = strmap_get(&c->ways, format_way(c, pool, server));
    if (other->pool->path.vlan != pool->path.vlan) {
        owner_format("pool", other->pool->name, name);
        diag_error(c->diags, node_locate(server->node, "interface"),
                   "%s: a server of %s, which is in another vlan, is behind "
                   "the same interface in the same vlan, and both have "
                   "proxy_arp; give the pools different vip_macs",
                   owner_format("server", server->name, owner), name);
        diag_note(c->diags, node_locate(other->node, other->key),
                  "%s has it here", name);
    }
}

/* The switch answers ARP for an address that servers see as their client, and
 * needs ports at it that are no pool's. */
static void
check_snat(struct path_checker *c, const struct pool *pool,
           const struct node *node, const struct ip *ip)
{
    const char *key = format_vlan_key(c, ip, pool->path.vlan);
    const struct holder *server = strmap_get(&c->servers, key);
    const struct holder *router = strmap_get(&c->routers, key);
    const struct source_loc *loc = node_locate(node, "snat");
    struct port_set ports;
    char owner[OWNER_SIZE], text[IP_STRLEN];

    owner_format("pool", pool->name, owner);
    ip_format(ip, text);
    if (server || router) {
        diag_error(c->diags, loc, "%s: snat %s is the address of a %s, which "
                   "could not be reached any more", owner, text,
                   server ? "server" : "router");
    } else if (pool_ports_are_read(pool, node)
               && !path_snat_ports(c->model, pool, ip, &ports)) {
        diag_error(c->diags, loc, "%s: snat has no ports left at %s, which is "
                   "a vip; give an address that is none", owner, text);
    }
}

static void
check_vip_is_no_router(struct path_checker *c, const struct pool *pool,
                       const struct node *node, const struct ip *vip)
{
    const struct holder *router
        = strmap_get(&c->routers, format_vlan_key(c, vip, pool->path.vlan));
    char owner[OWNER_SIZE], text[IP_STRLEN];

    if (router) {
        diag_error(c->diags, node_locate(node, "vip"), "%s: vip %s is the "
                   "address of a router, which could not be reached any more",
                   owner_format("pool", pool->name, owner),
                   ip_format(vip, text));
        diag_note(c->diags, node_locate(router->node, "via"),
                  "it is the way to a server here");
    }
}

static void
check_server(struct path_checker *c, const struct pool *pool,
             const struct server *server)
{
    char owner[OWNER_SIZE];

    owner_format("server", server->name, owner);
    for (size_t i = 0; i < server->ips.n; i++) {
        const struct ip *ip = &server->ips.ip[i];

        check_vlan(c, &c->vlan_servers, ip, pool, server->node, "ip", owner);
        check_proxy(c, pool, server, ip);
    }
}

static void
check_pool(struct path_checker *c, const struct pool *pool,
           const struct node *node)
{
    const struct ips *snats = &pool->path.snat_ips;
    char owner[OWNER_SIZE];

    owner_format("pool", pool->name, owner);
    for (size_t i = 0; i < pool->vips.n; i++) {
        const struct ip *vip = &pool->vips.ip[i];
        const struct ip *ip = ips_find(&pool->path.snat_ips, ip_family(vip));

        check_vlan(c, &c->vlan_vips, vip, pool, node, "vip", owner);
        check_vlan(c, &c->vlan_snats, vip, pool, node, "vip", owner);
        check_away(c, &c->snats, vip, pool, node, "vip", owner);
        check_vip_is_no_router(c, pool, node, vip);
        if (pool->path.snat) {
            check_snat(c, pool, node, ip ? ip : vip);
        }
    }
    for (size_t i = 0; i < snats->n; i++) {
        check_vlan(c, &c->vlan_all, &snats->ip[i], pool, node, "snat", owner);
        check_away(c, &c->all, &snats->ip[i], pool, node, "snat", owner);
    }
    for (size_t i = 0; i < pool->n_servers; i++) {
        check_way(c, pool, &pool->servers[i]);
        check_server(c, pool, &pool->servers[i]);
    }
}

void
pool_warn_of_copies(const struct pool *pool, struct diags *diags)
{
    if (pool->connections == CONNECTIONS_DIRECT
        && pool->n_servers > PATH_MAX_COPIES) {
        diag_warning(diags, &pool->loc, "pool \"%s\": ICMP errors about its "
                     "connections are dropped, because each of more than %d "
                     "direct servers would get a copy", pool->name,
                     PATH_MAX_COPIES);
    }
}

void
model_check_paths(const struct model *model, const struct node *pools_node,
                  struct diags *diags)
{
    struct path_checker c = { .model = model, .diags = diags };

    for (size_t i = 0; i < model->n_pools; i++) {
        note_pool(&c, model->pools[i], pools_node->items[i]);
    }
    for (size_t i = 0; i < model->n_pools; i++) {
        check_pool(&c, model->pools[i], pools_node->items[i]);
    }
    strmap_uninit(&c.vlan_vips);
    strmap_uninit(&c.vlan_snats);
    strmap_uninit(&c.vlan_all);
    strmap_uninit(&c.vlan_servers);
    strmap_uninit(&c.snats);
    strmap_uninit(&c.all);
    strmap_uninit(&c.servers);
    strmap_uninit(&c.routers);
    strmap_uninit(&c.proxies);
    strmap_uninit(&c.ways);
    arena_uninit(&c.arena);
}
