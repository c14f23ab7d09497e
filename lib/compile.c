/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "lib/compile.h"

#include "lib/actions.h"
#include "lib/compile-pool.h"
#include "lib/found.h"
#include "lib/path.h"

/* One kind of "connections:". */
struct connections_compiler {
    void (*pool)(struct compiler *, const struct assignment *);
    void (*common)(struct compiler *);  /* NULL if there is nothing. */
};

static const struct connections_compiler connections_compilers[] = {
    [CONNECTIONS_TRACKED] = { compile_tracked, compile_tracked_common },
    [CONNECTIONS_STATELESS] = { compile_stateless, compile_stateless_common },
    [CONNECTIONS_DIRECT] = { compile_direct, NULL },
};

uint16_t
compiler_port(struct compiler *c, const struct server *server)
{
    uint16_t port;

    if (server->missing) {
        return PORT_NONE;
    } else if (!server_is_located(server)) {
        diag_error(c->diags, &server->loc, "server \"%s\" needs %s; "
                   "only a bridge could tell where it is", server->name,
                   (server->has_mac ? "an interface"
                    : server->interface ? "a mac"
                    : "a mac and an interface"));
        return PORT_NONE;
    }
    port = ports_find(c->ports, server_interface(server));
    if (port == PORT_NONE) {
        diag_error(c->diags, &server->loc,
                   "server \"%s\": bridge \"%s\" has no port %s",
                   server->name, c->where, server_interface(server));
    }
    return port;
}

/* Emits the lowest flow of the entry table: a learning switch for all that
 * nothing else is there for. */
static void
compile_fallback(struct compiler *c)
{
    act_output(&c->acts, (OVS_FORCE uint16_t) OFPP_NORMAL);
    compiler_emit(c, c->settings->entry_table, LAYOUT_FALLBACK_PRIORITY,
                  cookie_make(COOKIE_FALLBACK, 0, 0), NULL);
}

void
compile_claim(struct compiler *c, const struct mac *mac, const struct ip *ip,
              const struct source_loc *loc)
{
    if (ip_is_v4(ip)) {
        compile_arp(c, mac, ip, loc);
    } else {
        compile_neighbor(c, mac, ip, loc);
        compile_neighbor_common(c);
    }
}

/* Emits the flows by which the switch answers for 'vip' of 'pool', or what its
 * servers see instead of clients. */
static void
compile_answers(struct compiler *c, const struct pool *pool,
                const struct ip *vip)
{
    struct mac mac = path_snat_mac(c->model, pool, vip);

    compiler_match_vlan(c, pool->path.vlan);
    compile_claim(c, &mac, vip, &pool->loc);
    compile_echo(c, pool, vip);
}

static void
compile_pool(struct compiler *c, const struct assignment *a)
{
    for (size_t i = 0; i < a->pool->vips.n; i++) {
        compile_answers(c, a->pool, &a->pool->vips.ip[i]);
    }
    for (size_t i = 0; i < a->pool->path.snat_ips.n; i++) {
        compile_answers(c, a->pool, &a->pool->path.snat_ips.ip[i]);
    }
    if (a->pool->path.proxy_arp != PROXY_ARP_OFF) {
        compile_proxy(c, a->pool);
    }
    compile_checks(c, a->pool);
    connections_compilers[a->pool->connections].pool(c, a);
    compile_group(c, a);
    if (a->pool->affinity.by != AFFINITY_NONE) {
        compile_affinity(c, a);
    }
    compile_record(c, a);
}

bool
compile(const struct model *model, const struct assignments *assignments,
        const struct ports *ports, const char *where,
        struct ofstate *desired, struct diags *diags)
{
    bool common_done[LB_ARRAY_SIZE(connections_compilers)] = { false };
    size_t n_errors = diags_n_errors(diags);
    struct watcher watcher;
    struct compiler c = {
        .model = model,
        .settings = &model->settings,
        .ports = ports,
        .watcher = &watcher,
        .where = where,
        .desired = desired,
        .diags = diags,
    };

    watcher_init(&watcher, model, ports);
    match_init_catchall(&c.match);
    ofpbuf_init(&c.acts, 256);
    for (size_t i = 0; i < assignments->n_pools; i++) {
        const struct assignment *a = &assignments->pools[i];
        enum connections connections = a->pool->connections;

        compile_pool(&c, a);
        if (!common_done[connections]
            && connections_compilers[connections].common) {
            connections_compilers[connections].common(&c);
            common_done[connections] = true;
        }
    }
    compile_proxy_common(&c);
    if (model->n_pools) {
        compile_record_settings(&c);
        if (model->settings.fallback == FALLBACK_NORMAL) {
            compile_fallback(&c);
        }
    }
    ofpbuf_uninit(&c.acts);
    watcher_uninit(&watcher);
    return diags_n_errors(diags) == n_errors;
}
