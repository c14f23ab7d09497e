/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "lib/discover-ports.h"

#include <stdlib.h>

#include "lib/found.h"
#include "lib/ports.h"

/* Whether the file or the operator has 'server' in maint, be it there or
 * not. */
static bool
is_meant_for_maint(const struct server *server)
{
    struct server there = *server;

    there.missing = false;
    return server_effective_state(&there) == SERVER_MAINT;
}

/* Whether the port that 'server' is said to be behind is not there. */
static bool
is_port_gone(const struct port_look *look, const struct server *server)
{
    const char *interface = server_interface(server);

    return interface && !ports_has(&look->bridge->ports, interface);
}

/* Whether 'server' is missing, going by its port.  One that leaves out nothing
 * is not when the port is back.  If none may be missing, others report it. */
static bool
is_missing(const struct port_look *look, const struct server *server)
{
    return (is_port_gone(look, server)
            ? look->allow_missing || is_meant_for_maint(server)
            : server->missing && server_leaves_out(server));
}

static void
note_port(const struct port_look *look, struct server *server)
{
    if (!is_missing(look, server)) {
        server->missing = false;
    } else if (is_port_gone(look, server)) {
        if (!server->missing && !is_meant_for_maint(server)) {
            diag_warning(look->diags, &server->loc, "server \"%s\": bridge "
                         "\"%s\" has no port %s; it is in maint until there "
                         "is one", server->name, look->bridge_name,
                         server_interface(server));
        }
        found_set_missing(server);
    }
}

void
discover_lost_ports(const struct port_look *look, struct model *model,
                    const struct server *only)
{
    for (size_t i = 0; i < model->n_pools; i++) {
        struct pool *pool = model->pools[i];

        for (size_t j = 0; j < pool->n_servers; j++) {
            if (!only || &pool->servers[j] == only) {
                note_port(look, &pool->servers[j]);
            }
        }
    }
}

/* Whether anything about the ports of 'pool' is news. */
static bool
has_news(const struct port_look *look, const struct pool *pool)
{
    for (size_t i = 0; i < pool->n_servers; i++) {
        if (is_missing(look, &pool->servers[i]) != pool->servers[i].missing) {
            return true;
        }
    }
    return false;
}

/* Has '*pool', if it is one of the bridge's own, be a copy in '*ports'. */
static void
own_pool(const struct bridge *bridge, struct pool **pool,
         struct discovered_ports *ports)
{
    for (size_t i = 0; i < bridge->n_records; i++) {
        if (bridge->records[i].pool == *pool) {
            struct record *copy = &ports->copies[ports->n_copies];

            if (record_copy(&bridge->records[i], copy)) {
                *pool = copy->pool;
                ports->n_copies++;
            }
            return;
        }
    }
}

bool
discover_ports(struct session *session, const struct bridge *bridge,
               struct model *model, struct discovered_ports *ports,
               struct diags *diags)
{
    const struct port_look look = {
        .bridge = bridge,
        .bridge_name = session_bridge(session),
        .allow_missing = true,
        .diags = diags,
    };
    bool news = false;

    ports->copies = lb_xcalloc(model->n_pools, sizeof *ports->copies);
    ports->n_copies = 0;
    for (size_t i = 0; i < model->n_pools; i++) {
        if (has_news(&look, model->pools[i])) {
            own_pool(bridge, &model->pools[i], ports);
            news = true;
        }
    }
    discover_lost_ports(&look, model, NULL);
    return news;
}

void
discovered_ports_uninit(struct discovered_ports *ports)
{
    for (size_t i = 0; i < ports->n_copies; i++) {
        record_uninit(&ports->copies[i]);
    }
    free(ports->copies);
}
