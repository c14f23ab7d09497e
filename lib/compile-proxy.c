/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "lib/compile-pool.h"

#include <net/ethernet.h>
#include <net/if_arp.h>
#include <string.h>

#include "lib/actions.h"
#include "lib/path.h"

/* "proxy_arp"
 * ===========
 *
 * The switch answers what servers ask by ARP for their clients with the VIP's
 * MAC, so that no server ever hears of a client's.  Replies then come for that
 * MAC and get the client's out of their connection's label.
 *
 * Only requests that a server makes in its own name count, and by the port
 * that it is behind.  So looking for duplicates of an address (RFC 5227)
 * works as ever.  What asks for another server goes the bridge's own way. */

/* Requests that 'server' makes at 'port', of 'pool'. */
static void
match_request(struct compiler *c, const struct pool *pool,
              const struct server *server, uint16_t port)
{
    const struct ip *asks = ips_find(path_next_hop(server), FAMILY_V4);

    compiler_match_vlan(c, path_server_vlan(pool, server));
    match_set_in_port(&c->match, (OVS_FORCE ofp_port_t) port);
    match_set_dl_type(&c->match, htons(ETHERTYPE_ARP));
    match_set_nw_proto(&c->match, ARPOP_REQUEST);
    match_set_nw_src(&c->match, htonl(ip_v4(asks)));
}

static void
emit_answer(struct compiler *c, const struct pool *pool,
            const struct server *server, uint16_t port,
            const struct prefix *prefix)
{
    match_request(c, pool, server, port);
    if (prefix) {
        struct ip mask = ip_prefix_mask(FAMILY_V4, prefix->length);

        match_set_nw_dst_masked(&c->match, htonl(ip_v4(&prefix->ip)),
                                htonl(ip_v4(&mask)));
    }
    compiler_put_arp_reply(c, &pool->vip_mac, NULL);
    compiler_emit_entry(c, PRIORITY_PROXY,
                        cookie_make(COOKIE_PROXY_ARP, 0, 0), &server->loc);
}

/* What a server sends to the VIP's MAC is looked at: a reply goes to its
 * client, and anything else is for an address that has been answered for,
 * where it cannot get.  It must not be flooded in search of that MAC.  Another
 * pool may have a server behind the same port, in another VLAN: what that one
 * sends comes first. */
static void
emit_rest(struct compiler *c, const struct pool *pool,
          const struct server *server, uint16_t port)
{
    struct eth_addr mac;

    memcpy(mac.ea, pool->vip_mac.ea, sizeof mac.ea);
    compiler_match_vlan(c, path_server_vlan(pool, server));
    match_set_in_port(&c->match, (OVS_FORCE ofp_port_t) port);
    match_set_dl_dst(&c->match, mac);
    match_set_dl_type(&c->match, htons(ETHERTYPE_IP));
    act_ct_nat(&c->acts, path_zone(c->settings, pool),
               compiler_table(c, TABLE_REVERSE));
    compiler_emit_entry(c, PRIORITY_PROXY, cookie_make(COOKIE_PROXY, 0, 0),
                        &server->loc);

    match_set_in_port(&c->match, (OVS_FORCE ofp_port_t) port);
    match_set_dl_dst(&c->match, mac);
    compiler_emit_seen(c, PRIORITY_PROXY, cookie_make(COOKIE_PROXY, 0, 0),
                       &server->loc);
}

void
compile_proxy(struct compiler *c, const struct pool *pool)
{
    const struct path *path = &pool->path;

    for (size_t i = 0; i < pool->n_servers; i++) {
        const struct server *server = &pool->servers[i];
        uint16_t port = compiler_port(c, server);

        if (port == PORT_NONE) {
            continue;
        }
        if (path->proxy_arp == PROXY_ARP_ALL) {
            emit_answer(c, pool, server, port, NULL);
        }
        for (size_t j = 0; j < path->n_prefixes; j++) {
            emit_answer(c, pool, server, port, &path->prefixes[j]);
        }
        emit_rest(c, pool, server, port);
    }
}

/* Servers and the routers before them answer for themselves. */
static void
emit_exception(struct compiler *c, const struct ips *ips,
               const struct source_loc *loc)
{
    const struct ip *ip = ips_find(ips, FAMILY_V4);

    if (ip) {
        match_set_dl_type(&c->match, htons(ETHERTYPE_ARP));
        match_set_nw_proto(&c->match, ARPOP_REQUEST);
        match_set_nw_dst(&c->match, htonl(ip_v4(ip)));
        compiler_put_pass(c);
        compiler_emit_entry(c, PRIORITY_ENTRY,
                            cookie_make(COOKIE_PROXY_ARP, 0, 0), loc);
    }
}

void
compile_proxy_common(struct compiler *c)
{
    const struct model *model = c->model;
    bool any = false;

    for (size_t i = 0; i < model->n_pools; i++) {
        any |= model->pools[i]->path.proxy_arp != PROXY_ARP_OFF;
    }
    for (size_t i = 0; any && i < model->n_pools; i++) {
        const struct pool *pool = model->pools[i];

        for (size_t j = 0; j < pool->n_servers; j++) {
            const struct server *server = &pool->servers[j];

            emit_exception(c, &server->ips, &server->loc);
            emit_exception(c, &server->via, &server->loc);
        }
    }
}
