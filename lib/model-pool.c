/* SPDX-License-Identifier: Apache-2.0 */

/* Reading a pool. */

#include "lib/model-internal.h"

#include <inttypes.h>
#include <string.h>

#include "lib/check.h"
#include "lib/slots.h"
#include "lib/tiers.h"

static bool
read_pool_name(const struct reader *r, const struct node *node, void *pool_)
{
    struct pool *pool = pool_;

    return value_name(r, node, &pool->name);
}

static bool
read_pool_vip(const struct reader *r, const struct node *node, void *pool_)
{
    struct pool *pool = pool_;

    return value_ips(r, node, &pool->vips);
}

static bool
read_pool_vip_mac(const struct reader *r, const struct node *node, void *pool_)
{
    struct pool *pool = pool_;

    return value_mac(r, node, &pool->vip_mac);
}

static bool
read_pool_protocol(const struct reader *r, const struct node *node,
                   void *pool_)
{
    struct pool *pool = pool_;
    int value;

    if (!value_word(r, node, protocol_words, &value)) {
        return false;
    }
    pool->protocol = value;
    return true;
}

static bool
read_pool_policy(const struct reader *r, const struct node *node, void *pool_)
{
    struct pool *pool = pool_;
    const char *names[MAX_KEYS] = { NULL };
    const struct policy *policy;
    const char *text;

    for (size_t i = 0; policies[i] && i < MAX_KEYS - 1; i++) {
        names[i] = policies[i]->name;
    }
    if (!value_text_of(r, node, names, &text)) {
        return false;
    }
    policy = policy_find(text);
    if (policy) {
        pool->policy = policy;
        return true;
    }
    value_unknown(r, node, names);
    return false;
}

static bool
read_pool_connections(const struct reader *r, const struct node *node,
                      void *pool_)
{
    struct pool *pool = pool_;
    int value;

    if (!value_word(r, node, connections_words, &value)) {
        return false;
    }
    pool->connections = value;
    return true;
}

static bool
read_pool_guard(const struct reader *r, const struct node *node, void *pool_)
{
    struct pool *pool = pool_;
    int value;

    if (!value_word(r, node, guard_words, &value)) {
        return false;
    }
    pool->guard = value;
    return true;
}

static bool
read_pool_on_removal(const struct reader *r, const struct node *node,
                     void *pool_)
{
    struct pool *pool = pool_;
    int value;

    if (!value_word(r, node, on_removal_words, &value)) {
        return false;
    }
    pool->on_removal = value;
    return true;
}

/* Words that say what cannot be, or is said elsewhere, and why. */
static bool
read_pool_on_empty(const struct reader *r, const struct node *node,
                   void *pool_)
{
    struct pool *pool = pool_;
    const char *text = node->type == NODE_SCALAR ? node->scalar : "";
    int value;

    if (!strcmp(text, "reject")) {
        reader_error(r, &node->loc, "on_empty cannot be \"reject\": without a "
                     "controller a switch makes neither a TCP reset nor an "
                     "ICMP message; a server with \"backup: true\" on whose "
                     "port nobody listens has its host send them");
        return false;
    } else if (!strcmp(text, "backup")) {
        reader_error(r, &node->loc, "on_empty cannot be \"backup\": servers "
                     "with \"backup: true\" stand in for all others, and "
                     "on_empty says what happens without them");
        return false;
    } else if (!value_word(r, node, on_empty_words, &value)) {
        return false;
    }
    pool->on_empty = value;
    return true;
}

static bool
read_pool_watch(const struct reader *r, const struct node *node, void *pool_)
{
    struct pool *pool = pool_;
    int value;

    if (!value_word(r, node, watch_words, &value)) {
        return false;
    }
    pool->watch = value;
    return true;
}

static bool
read_pool_drain_timeout(const struct reader *r, const struct node *node,
                        void *pool_)
{
    struct pool *pool = pool_;
    long seconds;

    if (!value_duration(r, node, UINT16_MAX, &seconds)) {
        return false;
    }
    pool->drain_timeout = seconds;
    return true;
}

static bool
read_pool_slots(const struct reader *r, const struct node *node, void *pool_)
{
    struct pool *pool = pool_;
    long n;

    if (!value_number(r, node, SLOTS_MIN, SLOTS_MAX, &n)) {
        return false;
    }
    if (n & (n - 1)) {
        reader_error(r, &node->loc,
                     "slots must be a power of two from %d to %d, not %ld",
                     SLOTS_MIN, SLOTS_MAX, n);
        return false;
    }
    pool->n_slots = n;
    return true;
}

static bool
read_pool_check(const struct reader *r, const struct node *node, void *pool_)
{
    struct pool *pool = pool_;

    pool->check = check_read(r, node, NULL);
    return true;
}

static bool
read_pool_panic(const struct reader *r, const struct node *node, void *pool_)
{
    struct pool *pool = pool_;
    long percent;

    if (!value_number(r, node, 1, 100, &percent)) {
        return false;
    }
    pool->panic = percent;
    return true;
}

static bool
read_pool_on_down(const struct reader *r, const struct node *node,
                  void *pool_)
{
    struct pool *pool = pool_;
    int value;

    if (!value_word(r, node, on_down_words, &value)) {
        return false;
    }
    pool->on_down = value;
    return true;
}

static bool
read_pool_servers(const struct reader *r, const struct node *node, void *pool_)
{
    return servers_read(r, node, pool_);
}

static bool
read_pool_weights(const struct reader *r, const struct node *node, void *pool_)
{
    struct pool *pool = pool_;

    return weights_read(r, node, &pool->weights);
}

static const struct field pool_fields[] = {
    { "name", read_pool_name, "name is missing" },
    { "vip", read_pool_vip, "vip is missing" },
    { "vip_mac", read_pool_vip_mac, NULL },
    { "protocol", read_pool_protocol, NULL },
    { "port", pool_port_read, NULL },
    { "ports", pool_ports_read, NULL },
    { "policy", read_pool_policy, NULL },
    { "connections", read_pool_connections, NULL },
    { "affinity", read_pool_affinity, NULL },
    { "drain_timeout", read_pool_drain_timeout, NULL },
    { "fragments", pool_fragments_read, NULL },
    { "guard", read_pool_guard, NULL },
    { "reply_to", read_pool_reply_to, NULL },
    { "snat", read_pool_snat, NULL },
    { "proxy_arp", read_pool_proxy_arp, NULL },
    { "vlan", read_pool_vlan, NULL },
    { "on_removal", read_pool_on_removal, NULL },
    { "check", read_pool_check, NULL },
    { "panic", read_pool_panic, NULL },
    { "on_down", read_pool_on_down, NULL },
    { "on_empty", read_pool_on_empty, NULL },
    { "watch", read_pool_watch, NULL },
    { "slots", read_pool_slots, NULL },
    { "weights", read_pool_weights, NULL },
    { "servers", read_pool_servers, "servers is missing" },
    { NULL, NULL, NULL }
};

static void
read_param(const struct reader *r, const struct node *node,
           const struct policy_param *param, long *number)
{
    bool flag;

    if (!param->is_flag) {
        value_number(r, node, param->min, param->max, number);
    } else if (value_flag(r, node, &flag)) {
        *number = flag;
    }
}

/* Reads what the user sets of 'pool->policy' from 'node'. */
static void
read_params(const struct reader *parent, const struct node *node,
            struct pool *pool)
{
    const struct policy *policy = pool->policy;
    const char *known[POLICY_MAX_PARAMS + 1] = { NULL };
    struct reader r = *parent;
    char owner[PART_SIZE];
    const char *flaw;

    r.key = policy->name;
    if (!value_check_type(&r, node, NODE_MAPPING, "a mapping")) {
        return;
    }
    r.owner = part_format(parent, policy->name, owner);
    for (size_t i = 0; i < policy->n_params; i++) {
        const struct policy_param *param = &policy->params[i];
        const struct node *value = node_get(node, param->name);

        known[i] = param->name;
        if (value && !pool_has_param(pool, i)) {
            reader_error(&r, &value->loc, "%s is for IPv%d, and this pool has "
                         "no such vip", param->name, param->ip_version);
        } else if (value) {
            r.key = param->name;
            read_param(&r, value, param, &pool->params[i]);
        }
    }
    fields_check_known(&r, node, known, NULL);
    flaw = policy->find_flaw ? policy->find_flaw(pool->params) : NULL;
    if (flaw) {
        reader_error(parent, &node->loc, "%s", flaw);
    }
}

/* Reads the mappings that are called as policies are.  Only that of the pool's
 * own policy makes sense. */
static void
read_all_params(const struct reader *r, const struct node *node,
                struct pool *pool)
{
    for (size_t i = 0; i < pool->policy->n_params; i++) {
        pool->params[i] = pool->policy->params[i].value;
    }
    for (size_t i = 0; i < node->n_pairs; i++) {
        const struct node *key = node->pairs[i].key;
        const struct policy *policy = policy_find(key->scalar);

        if (!policy) {
            continue;
        }
        if (!policy->n_params) {
            reader_error(r, &key->loc, "policy \"%s\" has nothing to set",
                         policy->name);
        } else if (policy == pool->policy) {
            read_params(r, node->pairs[i].value, pool);
        } else {
            reader_error(r, &key->loc, "\"%s\" is for policy \"%s\", and the "
                         "policy of this pool is \"%s\"", key->scalar,
                         policy->name, pool->policy->name);
        }
    }
}

/* Queues an error for each key that no pool has. */
static void
check_known(const struct reader *r, const struct node *node)
{
    const char *known[MAX_KEYS] = { NULL };
    size_t n = fields_names(pool_fields, known, 0);

    for (size_t i = 0; policies[i] && n < MAX_KEYS - 1; i++) {
        known[n++] = policies[i]->name;
    }
    fields_check_known(r, node, known, NULL);
}

/* Queues the error for a server without an address of the family of 'vip'. */
static void
report_family(const struct reader *r, const struct node *node,
              const struct server *server, const struct ip *vip)
{
    const struct node *ip = node_get(node, "ip");
    char owner[OWNER_SIZE], text[IP_STRLEN];

    diag_error(r->diags, ip ? &ip->loc : &node->loc,
               "%s: ip must have an %s address as well, or instead: what "
               "comes to vip %s cannot go to another family",
               owner_format("server", server->name, owner),
               family_name(ip_family(vip)), ip_format(vip, text));
}

/* Sees to it that each server of 'pool' can be reached from all VIPs, and
 * forgets addresses that none of them needs. */
static void
match_families(const struct reader *r, struct pool *pool)
{
    for (size_t i = 0; pool->vips.n && i < pool->n_servers; i++) {
        struct server *server = &pool->servers[i];
        struct ips ips = { .n = 0 };

        for (size_t j = 0; server->ips.n && j < pool->vips.n; j++) {
            enum family family = ip_family(&pool->vips.ip[j]);
            const struct ip *ip = ips_find(&server->ips, family);

            if (ip) {
                ips.ip[ips.n++] = *ip;
            } else {
                report_family(r, server->node, server, &pool->vips.ip[j]);
            }
        }
        server->ips = ips;
    }
}

/* Reads the checks of servers that have their own, on top of that of the
 * pool. */
static void
read_server_checks(const struct reader *r, struct pool *pool)
{
    for (size_t i = 0; i < pool->n_servers; i++) {
        struct server *server = &pool->servers[i];
        const struct node *check = (server->node->type == NODE_MAPPING
                                    ? node_get(server->node, "check") : NULL);
        char owner[OWNER_SIZE];
        struct reader own = { .diags = r->diags, .key = "check" };

        if (check) {
            own.owner = owner_format("server", server->name, owner);
            server->check = check_read(&own, check, pool->check);
        }
    }
}

/* Elements that take each other's place are alive as a whole or not, which is
 * for groups to say: slots that are flows cannot. */
static void
limit_slots(const struct reader *r, const struct node *node,
            struct pool *pool)
{
    const struct node *slots = node_get(node, "slots");

    if (pool->policy->in_order && pool->n_slots > SLOTS_DEFAULT) {
        diag_warning(r->diags, slots ? &slots->loc : &node->loc,
                     "%s: policy \"%s\" has at most %d slots, not %"PRIu16
                     ": each element of its list is one group of the switch",
                     r->owner, pool->policy->name, SLOTS_DEFAULT,
                     pool->n_slots);
        pool->n_slots = SLOTS_DEFAULT;
    }
}

/* Fills in what is left out and has a default that depends on the rest. */
static void
fill_in(struct pool *pool)
{
    static const struct mac zero;
    uint16_t port = port_set_single(&pool->ports);

    if (!pool->n_slots) {
        pool->n_slots = (pool->n_servers > SLOTS_MANY_SERVERS
                         && !pool->policy->in_order
                         ? SLOTS_MAX : SLOTS_DEFAULT);
    }
    if (mac_equal(&pool->vip_mac, &zero) && pool->vips.n) {
        pool->vip_mac = ip_derive_mac(&pool->vips.ip[0]);
    }
    for (size_t i = 0; i < pool->n_servers; i++) {
        if (!pool->servers[i].port) {
            pool->servers[i].port = port;
        }
    }
    tiers_compute(pool);
}

static void
check_guard(const struct reader *r, const struct node *node,
            const struct pool *pool)
{
    const struct node *guard = node_get(node, "guard");

    if (guard && pool->connections != CONNECTIONS_STATELESS) {
        reader_error(r, &guard->loc, "guard is for \"connections: "
                     "stateless\"; others need none");
    }
}

static void
check_on_removal(const struct reader *r, const struct node *node,
                 const struct pool *pool)
{
    const struct node *on_removal = node_get(node, "on_removal");

    if (on_removal && pool->connections != CONNECTIONS_TRACKED) {
        reader_error(r, &on_removal->loc, "on_removal is for \"connections: "
                     "tracked\"; nobody knows the connections of others");
    }
}

static void
check_drain_timeout(const struct reader *r, const struct node *node,
                    const struct pool *pool)
{
    const struct node *timeout = node_get(node, "drain_timeout");

    if (timeout && (pool->connections != CONNECTIONS_TRACKED
                    || !pool_client_prefix(pool, FAMILY_V4))) {
        reader_error(r, &timeout->loc, "drain_timeout is for \"policy: "
                     "sticky\" or \"affinity\", with \"connections: "
                     "tracked\"; without it, only connections stay on a "
                     "server that drains, not clients");
    }
}

/* A direct server gets packets as they are. */
static void
check_direct(const struct reader *r, const struct pool *pool)
{
    uint16_t single = port_set_single(&pool->ports);

    if (pool->connections != CONNECTIONS_DIRECT || !single) {
        return;
    }
    for (size_t i = 0; i < pool->n_servers; i++) {
        const struct server *server = &pool->servers[i];

        if (server->port && server->port != single) {
            reader_error(r, node_locate(server->node, "port"), "a server of a "
                         "pool with \"connections: direct\" has the pool's "
                         "port, %d: nobody translates it", single);
        }
    }
}

struct pool *
pool_read_partly(const struct node *node, struct diags *diags)
{
    struct pool *pool = lb_xcalloc(1, sizeof *pool);
    char owner[OWNER_SIZE];
    struct reader r = { .diags = diags };

    pool->loc = node->loc;
    pool->protocol = PROTOCOL_TCP;
    pool->policy = policies[0];
    if (node->type != NODE_MAPPING) {
        diag_error(diags, &node->loc, "a pool must be a mapping, not %s",
                   node_type_name(node));
        return pool;
    }
    r.owner = owner_format("pool", node_get_name(node), owner);
    check_known(&r, node);
    fields_read(&r, node, pool_fields, pool);
    read_all_params(&r, node, pool);
    match_families(&r, pool);
    read_server_checks(&r, pool);
    pool_ports_check(&r, node, pool);
    limit_slots(&r, node, pool);
    fill_in(pool);
    checks_check(&r, node, pool);
    pool_check_selection(&r, node, pool);
    check_guard(&r, node, pool);
    pool_fragments_check(&r, node, pool);
    check_direct(&r, pool);
    path_check(&r, node, pool);
    check_drain_timeout(&r, node, pool);
    check_on_removal(&r, node, pool);
    pool_check_weights(&r, node, pool);
    pool_check(pool, diags);
    return pool;
}

struct pool *
pool_read(const struct node *node, struct diags *diags)
{
    size_t n_errors = diags_n_errors(diags);
    struct pool *pool = pool_read_partly(node, diags);

    if (diags_n_errors(diags) > n_errors) {
        pool_destroy(pool);
        return NULL;
    }
    return pool;
}
