/* SPDX-License-Identifier: Apache-2.0 */

#include "lib/path.h"

#include <inttypes.h>

/* How far apart the zones of a pool are. */
#define SNAT_ZONES (PATH_ZONES / 2)

/* Ports that checks from the switch may come from. */
#define CHECK_PORT_FIRST 512
#define CHECK_PORT_LAST 1023

/* Whether some pool of 'model' takes packets to 'ip' in 'vlan', of 'protocol'
 * and some of 'ports'. */
static bool
are_taken(const struct model *model, uint16_t vlan, enum protocol protocol,
          const struct ip *ip, const struct port_set *ports)
{
    struct model_vips at = model_pools_at(model, ip);

    for (size_t i = 0; i < at.n; i++) {
        const struct pool *other = *at.vips[i].pool;

        if ((other->protocol == protocol || other->protocol == PROTOCOL_ANY
             || protocol == PROTOCOL_ANY)
            && other->path.vlan == vlan
            && port_set_overlap(&other->ports, ports)) {
            return true;
        }
    }
    return false;
}

bool
path_snat_ports(const struct model *model, const struct pool *pool,
                const struct ip *ip, struct port_set *ports)
{
    uint16_t vlan = pool->path.vlan;

    ports->n = 0;
    if (pool->protocol == PROTOCOL_ANY) {
        return !are_taken(model, vlan, pool->protocol, ip, ports);
    }

    /* The upper half of all ports, then the upper half of the lower half, and
     * so on, but none of those below 1024. */
    ports->n = 1;
    for (uint32_t first = 1 << 15; first >= 1024; first >>= 1) {
        ports->ranges[0] = (struct port_range) { first, 2 * first - 1 };
        if (!are_taken(model, vlan, pool->protocol, ip, ports)) {
            return true;
        }
    }
    return false;
}

struct mac
path_snat_mac(const struct model *model, const struct pool *pool,
              const struct ip *ip)
{
    struct model_vips at = model_pools_at(model, ip);

    if (ips_contain(&pool->vips, ip)) {
        return pool->vip_mac;
    }
    for (size_t i = 0; i < at.n; i++) {
        if ((*at.vips[i].pool)->path.vlan == pool->path.vlan) {
            return (*at.vips[i].pool)->vip_mac;
        }
    }
    return ip_derive_mac(ip);
}

/* path_snat_ports() leaves out those below 1024.  Where a pool takes every
 * port it does not matter which one it is: nobody connects from the port that
 * a service is at. */
uint16_t
path_check_port(const struct model *model, uint16_t vlan, const struct ip *ip)
{
    for (uint16_t port = CHECK_PORT_LAST; port >= CHECK_PORT_FIRST; port--) {
        struct port_set ports = { .n = 1, .ranges = { { port, port } } };

        if (!are_taken(model, vlan, PROTOCOL_TCP, ip, &ports)) {
            return port;
        }
    }
    return CHECK_PORT_LAST;
}

bool
path_replies_to_sender(const struct pool *pool)
{
    const struct path *path = &pool->path;

    return (path->reply_to == REPLY_TO_SENDER || path->snat
            || path->proxy_arp != PROXY_ARP_OFF);
}

uint16_t
path_server_vlan(const struct pool *pool, const struct server *server)
{
    return server->vlan != VLAN_ANY ? server->vlan : pool->path.vlan;
}

bool
path_vlans_meet(uint16_t a, uint16_t b)
{
    return a == b || a == VLAN_ANY || b == VLAN_ANY;
}

const struct ips *
path_next_hop(const struct server *server)
{
    return server->via.n ? &server->via : &server->ips;
}

/* The zone 'offset' above 'zone'.  After the last comes the first, which is 1:
 * zone 0 is that of those who know of none. */
static uint16_t
zone_above(uint16_t zone, uint16_t offset)
{
    return 1 + ((uint32_t) zone - 1 + offset) % UINT16_MAX;
}

/* The same addresses and ports in two VLANs are two connections. */
uint16_t
path_vlan_zone(uint16_t zone, uint16_t vlan)
{
    return zone_above(zone, vlan == VLAN_NONE ? 0 : vlan);
}

uint16_t
path_zone(const struct settings *settings, const struct pool *pool)
{
    return path_vlan_zone(settings->zone, pool->path.vlan);
}

/* One ct() action translates the source of a connection or its destination. To
 * do both takes two, and two connections, which must not meet. */
uint16_t
path_zone_for_snat(uint16_t zone)
{
    return zone_above(zone, SNAT_ZONES);
}

uint16_t
path_snat_zone(const struct settings *settings, const struct pool *pool)
{
    return path_zone_for_snat(path_zone(settings, pool));
}

const char *
vlan_format(uint16_t vlan, char buf[VLAN_STRLEN])
{
    if (vlan == VLAN_ANY || vlan == VLAN_NONE) {
        return vlan == VLAN_ANY ? "any" : "none";
    }
    snprintf(buf, VLAN_STRLEN, "%"PRIu16, vlan);
    return buf;
}

const char *
prefix_format(const struct prefix *prefix, char buf[PREFIX_STRLEN])
{
    char ip[IP_STRLEN];

    snprintf(buf, PREFIX_STRLEN, "%s/%d", ip_format(&prefix->ip, ip),
             prefix->length);
    return buf;
}

/* Text that is put together piece by piece, with commas. */
struct text {
    char *buf;
    size_t size;
    size_t length;
};

static void
put_piece(struct text *text, const char *name, const char *value)
{
    size_t left = text->size - text->length;
    int n = snprintf(text->buf + text->length, left, "%s%s %s",
                     text->length ? ", " : "", name, value);

    text->length += n >= 0 && (size_t) n < left ? (size_t) n : left - 1;
}

static void
put_ips(struct text *text, const char *name, const struct ips *ips)
{
    char ip[IP_STRLEN];

    for (size_t i = 0; i < ips->n; i++) {
        put_piece(text, name, ip_format(&ips->ip[i], ip));
    }
}

static void
put_proxy_arp(struct text *text, const struct path *path)
{
    char prefix[PREFIX_STRLEN];

    if (path->proxy_arp == PROXY_ARP_ALL) {
        put_piece(text, "proxy_arp", "true");
    }
    for (size_t i = 0; i < path->n_prefixes; i++) {
        put_piece(text, "proxy_arp",
                  prefix_format(&path->prefixes[i], prefix));
    }
}

static void
put_vlan(struct text *text, uint16_t vlan)
{
    char buf[VLAN_STRLEN];

    if (vlan != VLAN_ANY) {
        put_piece(text, "vlan", vlan_format(vlan, buf));
    }
}

void
path_format(const struct pool *pool, char *buf, size_t size)
{
    const struct path *path = &pool->path;
    struct text text = { buf, size, 0 };

    if (path->reply_to == REPLY_TO_SENDER) {
        put_piece(&text, "reply_to", "sender");
    }
    put_ips(&text, "snat", &path->snat_ips);
    if (path->snat && !path->snat_ips.n) {
        put_piece(&text, "snat", "true");
    }
    put_proxy_arp(&text, path);
    put_vlan(&text, path->vlan);
    if (!text.length) {
        snprintf(buf, size, "none");
    }
}

void
path_format_server(const struct server *server, char *buf, size_t size)
{
    struct text text = { buf, size, 0 };

    put_ips(&text, "via", &server->via);
    put_vlan(&text, server->vlan);
    if (!text.length) {
        snprintf(buf, size, "none");
    }
}
