/* SPDX-License-Identifier: Apache-2.0 */

/* What concerns more than one value of the model. */

#include "lib/model-internal.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lib/arena.h"
#include "lib/check.h"
#include "lib/path.h"
#include "lib/strmap.h"

/* A server or, with 'server' NULL, a pool, and where the file has it. */
struct place {
    const struct pool *pool;
    const struct server *server;
    const struct node *node;
};

/* Everything that is looked up, by its text form: what has it first, as struct
 * place. */
struct checker {
    struct diags *diags;
    struct arena arena;
    struct strmap pool_names;
    struct strmap vips;
    struct strmap server_ips;
    struct strmap server_macs;  /* IPs of servers that have a MAC. */
    struct strmap server_interfaces; /* And of those with an interface. */
    struct strmap macs;         /* Of servers, with their VLANs. */
};

/* "10.0.0.1" or "10.0.0.1 in VLAN 100", which is another host. */
static const char *
format_ip(struct arena *arena, const struct ip *ip, uint16_t vlan)
{
    char buf[IP_STRLEN], number[VLAN_STRLEN];

    return (vlan == VLAN_ANY || vlan == VLAN_NONE
            ? arena_printf(arena, "%s", ip_format(ip, buf))
            : arena_printf(arena, "%s in VLAN %s", ip_format(ip, buf),
                           vlan_format(vlan, number)));
}

/* Returns the place that 'key' has in 'map'.  If it has none, gives it 'place'
 * and returns NULL. */
static const struct place *
map_place(struct strmap *map, struct arena *arena, const char *key,
          const struct place *place)
{
    struct strmap_entry *entry = strmap_add(map, key);
    struct place *copy;

    if (entry->value) {
        return entry->value;
    }
    copy = arena_alloc(arena, sizeof *copy);
    *copy = *place;
    entry->value = copy;
    return NULL;
}

/* Within one pool. */

static void
check_server_names(const struct place *place, struct strmap *names,
                   struct arena *arena, struct diags *diags)
{
    const char *name = place->server->name;
    const struct place *first;

    first = name ? map_place(names, arena, name, place) : NULL;
    if (first) {
        diag_error(diags, node_locate(place->node, "name"),
                   "server \"%s\" is given twice", name);
        diag_note(diags, node_locate(first->node, "name"),
                  "it is first given here");
    }
}

static void
check_server_endpoint(const struct place *place, const struct ip *ip,
                      struct strmap *endpoints, struct arena *arena,
                      struct diags *diags)
{
    const struct server *server = place->server;
    const struct port_set ports = server_ports(place->pool, server);
    const struct place *first;
    char text[CLAIM_STRLEN];
    const char *key;

    key = arena_printf(arena, "%s",
                       claim_format(ip, &ports, place->pool->protocol, text));
    first = map_place(endpoints, arena, key, place);
    if (first) {
        char owner[OWNER_SIZE];

        diag_error(diags, node_locate(place->node, "ip"),
                   "%s: %s is in this pool already",
                   owner_format("server", server->name, owner), key);
        diag_note(diags, node_locate(first->node, "ip"), "%s has it",
                  owner_format("server", first->server->name, owner));
    }
}

/* Commands name sets as they do servers. */
static void
check_set_names(const struct pool *pool, struct strmap *names,
                struct arena *arena, struct diags *diags)
{
    for (size_t i = 0; i < pool->n_sets; i++) {
        const struct server_set *set = &pool->sets[i];
        struct place place = { pool, NULL, set->node };
        const struct place *first;

        first = set->name ? map_place(names, arena, set->name, &place) : NULL;
        if (first) {
            diag_error(diags, node_locate(set->node, "set"),
                       "set \"%s\" has a name that is taken in this pool",
                       set->name);
            diag_note(diags, node_locate(first->node, first->server ? "name"
                                                               : "set"),
                      "it is first given here");
        }
    }
}

static void
check_backups(const struct pool *pool, struct diags *diags)
{
    for (size_t i = 0; i < pool->n_servers; i++) {
        if (!pool->servers[i].backup) {
            return;
        }
    }
    if (pool->n_servers) {
        char owner[OWNER_SIZE];

        diag_error(diags, node_locate(pool->servers[0].node, "backup"),
                   "%s: every server is a backup, and there is none that "
                   "they stand in for",
                   owner_format("pool", pool->name, owner));
    }
}

/* Open vSwitch refuses buckets that watch the bridge's own port. */
static void
check_watch(const struct pool *pool, const struct server *server,
            struct diags *diags)
{
    enum link_watch watch = server->watch ? server->watch : pool->watch;

    if (watch == WATCH_LINK && server->interface
        && !strcasecmp(server->interface, "LOCAL")) {
        char owner[OWNER_SIZE];

        diag_error(diags, node_locate(server->node, "interface"),
                   "%s: a switch cannot watch its LOCAL port; give the server "
                   "\"watch: none\"",
                   owner_format("server", server->name, owner));
    }
}

void
pool_check(const struct pool *pool, struct diags *diags)
{
    struct strmap names = { NULL, 0, 0 };
    struct strmap endpoints = { NULL, 0, 0 };
    struct arena arena = { NULL, 0, 0 };

    for (size_t i = 0; i < pool->n_servers; i++) {
        const struct server *server = &pool->servers[i];
        struct place place = { pool, server, server->node };

        check_server_names(&place, &names, &arena, diags);
        check_watch(pool, server, diags);
        for (size_t j = 0; j < place.server->ips.n; j++) {
            check_server_endpoint(&place, &place.server->ips.ip[j], &endpoints,
                                  &arena, diags);
        }
    }
    check_set_names(pool, &names, &arena, diags);
    check_backups(pool, diags);
    strmap_uninit(&names);
    strmap_uninit(&endpoints);
    arena_uninit(&arena);
}

/* Between pools. */

static void
check_pool_name(struct checker *c, const struct place *place)
{
    const char *name = place->pool->name;
    const struct place *first;

    first = name ? map_place(&c->pool_names, &c->arena, name, place) : NULL;
    if (first) {
        diag_error(c->diags, node_locate(place->node, "name"),
                   "pool \"%s\" is given twice", name);
        diag_note(c->diags, node_locate(first->node, "name"),
                  "it is first given here");
    }
}

static const char *
say_if_derived(const struct place *pool)
{
    return node_get(pool->node, "vip_mac") ? "" : " (by default)";
}

/* A VIP has one answer to the question who has it. */
static void
check_vip_mac(struct checker *c, const struct place *place,
              const struct ip *vip)
{
    const struct pool *pool = place->pool;
    const struct place *first;
    const char *key = format_ip(&c->arena, vip, pool->path.vlan);

    first = map_place(&c->vips, &c->arena, key, place);
    if (first && !mac_equal(&first->pool->vip_mac, &pool->vip_mac)) {
        char owner[OWNER_SIZE], mac[MAC_STRLEN];

        diag_error(c->diags, node_locate(place->node, "vip_mac"),
                   "%s: vip_mac of %s is %s%s here, and another one "
                   "elsewhere; give both pools the same",
                   owner_format("pool", pool->name, owner), key,
                   mac_format(&pool->vip_mac, mac), say_if_derived(place));
        diag_note(c->diags, node_locate(first->node, "vip_mac"), "%s has %s%s",
                  owner_format("pool", first->pool->name, owner),
                  mac_format(&first->pool->vip_mac, mac),
                  say_if_derived(first));
    }
}

/* Servers of all pools. */

static void
check_server_mac(struct checker *c, const struct place *place, const char *ip)
{
    const struct server *server = place->server;
    const struct place *first;
    char owner[OWNER_SIZE], mac[MAC_STRLEN];

    if (!server->has_mac) {
        return;
    }
    first = map_place(&c->server_macs, &c->arena, ip, place);
    if (first && !mac_equal(&first->server->mac, &server->mac)) {
        diag_error(c->diags, node_locate(place->node, "mac"),
                   "%s: mac of %s is %s here, and another one elsewhere",
                   owner_format("server", server->name, owner), ip,
                   mac_format(&server->mac, mac));
        diag_note(c->diags, node_locate(first->node, "mac"), "%s has %s",
                  owner_format("server", first->server->name, owner),
                  mac_format(&first->server->mac, mac));
    }
}

static void
check_server_interface(struct checker *c, const struct place *place,
                       const char *ip)
{
    const struct server *server = place->server;
    const struct place *first;
    char owner[OWNER_SIZE];

    if (!server->interface) {
        return;
    }
    first = map_place(&c->server_interfaces, &c->arena, ip, place);
    if (first && strcmp(first->server->interface, server->interface)) {
        diag_error(c->diags, node_locate(place->node, "interface"),
                   "%s: interface of %s is \"%s\" here, and another one "
                   "elsewhere", owner_format("server", server->name, owner),
                   ip, server->interface);
        diag_note(c->diags, node_locate(first->node, "interface"),
                  "%s has \"%s\"",
                  owner_format("server", first->server->name, owner),
                  first->server->interface);
    }
}

/* The same MAC in another VLAN may be another host's. */
static const char *
format_mac(struct arena *arena, const struct mac *mac, uint16_t vlan)
{
    char buf[MAC_STRLEN], number[VLAN_STRLEN];

    return arena_printf(arena, "%s %s", mac_format(mac, buf),
                        vlan_format(vlan, number));
}

/* Whether two ports are certainly not the same one. */
static bool
are_other_ports(const char *a, const char *b)
{
    bool is_number = !a[strspn(a, "0123456789")];

    return is_number == !b[strspn(b, "0123456789")] && strcmp(a, b);
}

/* A host is behind one port; a router may be behind several. */
static void
check_mac_place(struct checker *c, const struct place *place)
{
    const struct server *server = place->server;
    uint16_t vlan = path_server_vlan(place->pool, server);
    const struct place *first;
    char owner[OWNER_SIZE], mac[MAC_STRLEN];

    if (!server->has_mac) {
        return;
    }
    first = map_place(&c->macs, &c->arena,
                      format_mac(&c->arena, &server->mac, vlan), place);
    if (first && server->interface && first->server->interface
        && !server->via.n && !first->server->via.n
        && !ips_meet(&server->ips, &first->server->ips)
        && are_other_ports(server->interface, first->server->interface)) {
        diag_warning(c->diags, node_locate(place->node, "mac"),
                     "%s: mac %s is behind interface \"%s\" here, and behind "
                     "another one elsewhere; no host is in two places",
                     owner_format("server", server->name, owner),
                     mac_format(&server->mac, mac), server->interface);
        diag_note(c->diags, node_locate(first->node, "mac"),
                  "%s has it behind \"%s\"",
                  owner_format("server", first->server->name, owner),
                  first->server->interface);
    }
}

static void
check_server(struct checker *c, const struct place *place)
{
    const struct ips *ips = &place->server->ips;

    for (size_t i = 0; i < ips->n; i++) {
        const char *ip = format_ip(&c->arena, &ips->ip[i],
                                   path_server_vlan(place->pool,
                                                    place->server));

        map_place(&c->server_ips, &c->arena, ip, place);
        check_server_mac(c, place, ip);
        check_server_interface(c, place, ip);
    }
    check_mac_place(c, place);
}

/* A VIP answers for its pool, so no server can have it.  Needs all servers. */
static void
check_vip_is_no_server(struct checker *c, const struct place *place,
                       const struct ip *vip)
{
    const char *ip = format_ip(&c->arena, vip, place->pool->path.vlan);
    char owner[OWNER_SIZE];
    const struct place *server;

    server = strmap_get(&c->server_ips, ip);
    if (server) {
        diag_error(c->diags, node_locate(place->node, "vip"),
                   "%s: vip %s is the address of a server",
                   owner_format("pool", place->pool->name, owner), ip);
        diag_note(c->diags, node_locate(server->node, "ip"), "%s has it",
                  owner_format("server", server->server->name, owner));
    }
}

/* Nor can it have the MAC of a VIP.  Needs all servers. */
static void
check_vip_mac_is_no_server(struct checker *c, const struct place *place)
{
    const struct pool *pool = place->pool;
    char owner[OWNER_SIZE], mac[MAC_STRLEN];
    const struct place *server;

    server = strmap_get(&c->macs, format_mac(&c->arena, &pool->vip_mac,
                                             pool->path.vlan));
    if (server) {
        diag_error(c->diags, node_locate(place->node, "vip_mac"),
                   "%s: vip_mac %s is the mac of a server",
                   owner_format("pool", pool->name, owner),
                   mac_format(&pool->vip_mac, mac));
        diag_note(c->diags, node_locate(server->node, "mac"), "%s has it",
                  owner_format("server", server->server->name, owner));
    }
}

/* What checks from the switch come from, nobody else has.  Needs all VIPs and
 * servers. */
static void
check_source_is_free(struct checker *c, const struct pool *pool,
                     const struct check *check)
{
    const char *ip;
    char owner[OWNER_SIZE];

    if (!check || !check->has_source) {
        return;
    }
    ip = format_ip(&c->arena, &check->source, pool->path.vlan);
    if (strmap_get(&c->vips, ip) || strmap_get(&c->server_ips, ip)
        || ips_contain(&pool->path.snat_ips, &check->source)) {
        diag_error(c->diags, &check->loc, "%s: source %s of a check must be "
                   "an address that nobody has",
                   owner_format("pool", pool->name, owner), ip);
    }
}

static void
check_sources(struct checker *c, const struct pool *pool)
{
    check_source_is_free(c, pool, pool->check);
    for (size_t i = 0; i < pool->n_servers; i++) {
        check_source_is_free(c, pool, pool->servers[i].check);
    }
}

static void
check_pool(struct checker *c, const struct place *place)
{
    const struct pool *pool = place->pool;

    check_pool_name(c, place);
    for (size_t i = 0; i < pool->vips.n; i++) {
        check_vip_mac(c, place, &pool->vips.ip[i]);
    }
    for (size_t i = 0; i < pool->n_servers; i++) {
        struct place server = { pool, &pool->servers[i],
                                pool->servers[i].node };

        check_server(c, &server);
    }
}

void
model_check(const struct model *model, const struct node *pools_node,
            struct diags *diags)
{
    struct checker c = { .diags = diags };

    for (size_t i = 0; i < model->n_pools; i++) {
        struct place place = { model->pools[i], NULL, pools_node->items[i] };

        check_pool(&c, &place);
    }
    model_check_claims(model, pools_node, diags);
    model_check_paths(model, pools_node, diags);
    for (size_t i = 0; i < model->n_pools; i++) {
        struct place place = { model->pools[i], NULL, pools_node->items[i] };

        for (size_t j = 0; j < place.pool->vips.n; j++) {
            check_vip_is_no_server(&c, &place, &place.pool->vips.ip[j]);
        }
        check_vip_mac_is_no_server(&c, &place);
        check_sources(&c, place.pool);
    }
    strmap_uninit(&c.pool_names);
    strmap_uninit(&c.vips);
    strmap_uninit(&c.server_ips);
    strmap_uninit(&c.server_macs);
    strmap_uninit(&c.server_interfaces);
    strmap_uninit(&c.macs);
    arena_uninit(&c.arena);
}
