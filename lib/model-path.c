/* SPDX-License-Identifier: Apache-2.0 */

/* Reading, checking and writing what lib/path.h is about. */

#include "lib/model-internal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "lib/path.h"

#define MAX_VLAN 4094

/* Elements of a list of prefixes. */
#define MAX_PREFIXES 64

const struct word reply_to_words[] = {
    { "route", REPLY_TO_ROUTE },
    { "sender", REPLY_TO_SENDER },
    { NULL, 0 }
};

bool
read_pool_reply_to(const struct reader *r, const struct node *node,
                   void *pool_)
{
    struct pool *pool = pool_;
    int value;

    if (!value_word(r, node, reply_to_words, &value)) {
        return false;
    }
    pool->path.reply_to = value;
    return true;
}

/* Whether 'node' is the text 's'. */
static bool
is_text(const struct node *node, const char *s)
{
    return node->type == NODE_SCALAR && !strcmp(node->scalar, s);
}

bool
read_pool_snat(const struct reader *r, const struct node *node, void *pool_)
{
    struct pool *pool = pool_;

    if (is_text(node, "false")) {
        return true;
    }
    pool->path.snat = true;
    if (is_text(node, "true") || is_text(node, "auto")) {
        return true;
    }
    if (node->type == NODE_SCALAR && !strpbrk(node->scalar, ".:")) {
        reader_error(r, &node->loc, "snat must be false, true, auto or an "
                     "address such as 10.0.0.1 or 2001:db8::1, not %s",
                     DIAG_QUOTE(node->scalar));
        return false;
    }
    return value_ips(r, node, &pool->path.snat_ips);
}

/* Parses "10.0.1.0/24". */
static bool
prefix_from_string(const char *text, struct prefix *prefix)
{
    char address[IP_STRLEN] = "";
    const char *slash = strchr(text, '/');
    const char *digits = slash ? slash + 1 : "";
    size_t n = strspn(digits, "0123456789");

    if (!n || n > 2 || digits[n] || (n > 1 && *digits == '0')
        || (size_t) (slash - text) >= sizeof address) {
        return false;
    }
    memcpy(address, text, slash - text);
    prefix->length = atoi(digits);
    return (prefix->length <= 32 && ip_from_string(address, &prefix->ip)
            && ip_is_v4(&prefix->ip));
}

static bool
value_prefix(const struct reader *r, const struct node *node,
             struct prefix *prefix)
{
    struct ip mask;
    const char *text;

    if (!value_text(r, node, &text)) {
        return false;
    }
    if (!prefix_from_string(text, prefix)) {
        reader_error(r, &node->loc, "%s must be true, false, or networks "
                     "such as 10.0.1.0/24, not %s", r->key, DIAG_QUOTE(text));
        return false;
    }
    mask = ip_prefix_mask(FAMILY_V4, prefix->length);
    if (ip_v4(&prefix->ip) & ~ip_v4(&mask)) {
        reader_error(r, &node->loc, "%s: %s has bits after the first %d, "
                     "which a network has not", r->key, text, prefix->length);
        return false;
    }
    return true;
}

bool
read_pool_proxy_arp(const struct reader *r, const struct node *node,
                    void *pool_)
{
    struct path *path = &((struct pool *) pool_)->path;
    bool is_list = node->type == NODE_SEQUENCE;
    size_t n = is_list ? node->n_items : 1;
    bool ok = true;

    if (is_text(node, "false")) {
        return true;
    } else if (is_text(node, "true")) {
        path->proxy_arp = PROXY_ARP_ALL;
        return true;
    } else if (!n || n > MAX_PREFIXES) {
        reader_error(r, &node->loc, "%s must have 1 to %d networks, not %zu",
                     r->key, MAX_PREFIXES, n);
        return false;
    }
    path->proxy_arp = PROXY_ARP_PREFIXES;
    path->prefixes = lb_xcalloc(n, sizeof *path->prefixes);
    path->n_prefixes = n;
    for (size_t i = 0; i < n; i++) {
        ok = value_prefix(r, is_list ? node->items[i] : node,
                          &path->prefixes[i]) && ok;
    }
    return ok;
}

static bool
value_vlan(const struct reader *r, const struct node *node, uint16_t *vlan)
{
    if (is_text(node, "none")) {
        *vlan = VLAN_NONE;
        return true;
    } else if (node->type == NODE_SCALAR
               && !strpbrk(node->scalar, "0123456789")) {
        reader_error(r, &node->loc, "vlan must be 1 to %d or none, not %s; "
                     "for any, leave it out", MAX_VLAN,
                     DIAG_QUOTE(node->scalar));
        return false;
    }
    return value_u16(r, node, 1, MAX_VLAN, vlan);
}

bool
read_pool_vlan(const struct reader *r, const struct node *node, void *pool_)
{
    return value_vlan(r, node, &((struct pool *) pool_)->path.vlan);
}

bool
read_server_vlan(const struct reader *r, const struct node *node,
                 void *server_)
{
    return value_vlan(r, node, &((struct server *) server_)->vlan);
}

bool
read_server_via(const struct reader *r, const struct node *node,
                void *server_)
{
    return value_ips(r, node, &((struct server *) server_)->via);
}

void
path_uninit(struct path *path)
{
    free(path->prefixes);
}

/* What a pool can have. */

/* Queues an error if the pool has 'key', which is not for its kind of
 * "connections:" because of 'why'. */
static void
refuse(const struct reader *r, const struct node *node, const char *key,
       const struct pool *pool, const char *why)
{
    const struct node *value = node_get(node, key);

    if (value && !is_text(value, "false")) {
        reader_error(r, &value->loc, "%s is not for \"connections: %s\": %s",
                     key, connections_name(pool->connections), why);
    }
}

static void
check_connections(const struct reader *r, const struct node *node,
                  const struct pool *pool)
{
    static const char *const reasons[][3] = {
        { "reply_to", "nobody remembers where a request came from",
          "replies do not pass lbgen's flows" },
        { "snat", "nobody remembers whose request it was",
          "replies do not pass lbgen's flows" },
        { "proxy_arp", "nobody remembers which MAC a client has",
          "replies do not pass lbgen's flows" },
    };
    bool is_direct = pool->connections == CONNECTIONS_DIRECT;

    if (pool->connections != CONNECTIONS_TRACKED) {
        for (size_t i = 0; i < LB_ARRAY_SIZE(reasons); i++) {
            refuse(r, node, reasons[i][0], pool, reasons[i][1 + is_direct]);
        }
    }
}

/* An address that no packet of the pool could get is a mistake. */
static void
check_snat(const struct reader *r, const struct node *node,
           const struct pool *pool)
{
    const struct ips *ips = &pool->path.snat_ips;
    char text[IP_STRLEN];

    for (size_t i = 0; pool->vips.n && i < ips->n; i++) {
        enum family family = ip_family(&ips->ip[i]);

        if (!ips_find(&pool->vips, family)) {
            reader_error(r, node_locate(node, "snat"), "snat %s is for %s, "
                         "and this pool has no such vip",
                         ip_format(&ips->ip[i], text), family_name(family));
        }
    }
}

static void
check_proxy_arp(const struct reader *r, const struct node *node,
                const struct pool *pool)
{
    const struct node *value = node_get(node, "proxy_arp");

    if (pool->path.proxy_arp == PROXY_ARP_OFF) {
        return;
    }
    if (pool->path.snat) {
        reader_error(r, &value->loc, "proxy_arp does not go with snat: "
                     "servers never see a client's address that they could "
                     "ask for");
    }
    if (ips_find(&pool->vips, FAMILY_V6)) {
        reader_error(r, &value->loc, "proxy_arp is for IPv4, and this pool "
                     "has an IPv6 vip; make it two pools");
    }
}

static void
check_reply_to(const struct reader *r, const struct node *node,
               const struct pool *pool)
{
    const struct node *value = node_get(node, "reply_to");

    if (value && pool->path.reply_to == REPLY_TO_ROUTE
        && path_replies_to_sender(pool)) {
        reader_error(r, &value->loc, "reply_to must be sender, or left out, "
                     "with %s: servers send replies to the VIP's MAC",
                     pool->path.snat ? "snat" : "proxy_arp");
    }
}

static void
check_server(const struct reader *r, const struct pool *pool,
             const struct server *server)
{
    const struct node *via = node_get(server->node, "via");
    const struct node *vlan = node_get(server->node, "vlan");
    char owner[OWNER_SIZE];

    owner_format("server", server->name, owner);
    if (via && pool->connections == CONNECTIONS_DIRECT) {
        diag_error(r->diags, &via->loc, "%s: via is not for \"connections: "
                   "direct\": a router would send the packet back to where "
                   "the VIP is", owner);
    } else if (via && ips_meet(&server->via, &server->ips)) {
        diag_error(r->diags, &via->loc, "%s: via is the address of the "
                   "router before the server, not its own", owner);
    } else if (server->via.n) {
        for (size_t i = 0; i < server->ips.n; i++) {
            enum family family = ip_family(&server->ips.ip[i]);

            if (!ips_find(&server->via, family)) {
                diag_error(r->diags, &via->loc, "%s: via must have an %s "
                           "address for ip to be reached by", owner,
                           family_name(family));
            }
        }
    }
    if (vlan && server->vlan != VLAN_ANY && pool->path.vlan == VLAN_ANY) {
        diag_error(r->diags, &vlan->loc, "%s: vlan needs that of the pool as "
                   "well: which VLAN would its replies go back to?", owner);
    }
}

void
path_check(const struct reader *r, const struct node *node,
           const struct pool *pool)
{
    check_connections(r, node, pool);
    if (pool->connections == CONNECTIONS_TRACKED) {
        check_snat(r, node, pool);
        check_proxy_arp(r, node, pool);
        check_reply_to(r, node, pool);
    }
    for (size_t i = 0; i < pool->n_servers; i++) {
        if (pool->servers[i].node->type == NODE_MAPPING) {
            check_server(r, pool, &pool->servers[i]);
        }
    }
}

/* Writing.  What is as if it were left out is left out. */

static void
write_vlan(uint16_t vlan, FILE *stream)
{
    char buf[VLAN_STRLEN];

    if (vlan == VLAN_NONE) {
        fputs(",\"vlan\":\"none\"", stream);
    } else if (vlan != VLAN_ANY) {
        fprintf(stream, ",\"vlan\":%s", vlan_format(vlan, buf));
    }
}

static void
write_proxy_arp(const struct path *path, FILE *stream)
{
    char buf[PREFIX_STRLEN];

    if (path->proxy_arp == PROXY_ARP_ALL) {
        fputs(",\"proxy_arp\":true", stream);
    } else if (path->proxy_arp == PROXY_ARP_PREFIXES) {
        fputs(",\"proxy_arp\":[", stream);
        for (size_t i = 0; i < path->n_prefixes; i++) {
            fprintf(stream, "%s\"%s\"", i ? "," : "",
                    prefix_format(&path->prefixes[i], buf));
        }
        putc(']', stream);
    }
}

void
path_write(const struct pool *pool, FILE *stream)
{
    const struct path *path = &pool->path;

    if (path->reply_to != REPLY_TO_ROUTE) {
        model_write_text(",", "reply_to",
                         word_name(reply_to_words, path->reply_to), stream);
    }
    if (path->snat_ips.n) {
        model_write_ips(",", "snat", &path->snat_ips, stream);
    } else if (path->snat) {
        fputs(",\"snat\":true", stream);
    }
    write_proxy_arp(path, stream);
    write_vlan(path->vlan, stream);
}

void
path_write_server(const struct server *server, FILE *stream)
{
    if (server->via.n) {
        model_write_ips(",", "via", &server->via, stream);
    }
    write_vlan(server->vlan, stream);
}
