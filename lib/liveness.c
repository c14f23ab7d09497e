/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "lib/liveness.h"

#include <stdlib.h>

#include "lib/found.h"

/* Who is behind a port. */
struct watch_port {
    struct mac mac;             /* Of the first server there. */
    bool is_used;
    bool is_shared;             /* There is one with another MAC. */
};

/* The port that 'server' is behind, or PORT_NONE. */
static uint16_t
find_port(const struct ports *ports, const struct server *server)
{
    return (server_is_located(server)
            ? ports_find(ports, server_interface(server)) : PORT_NONE);
}

static void
add_server(struct watcher *watcher, const struct server *server)
{
    uint16_t number = find_port(watcher->ports, server);
    struct watch_port *port = &watcher->by_number[number];

    if (!port->is_used) {
        port->is_used = true;
        port->mac = *server_mac(server);
    } else if (!mac_equal(&port->mac, server_mac(server))) {
        port->is_shared = true;
    }
}

void
watcher_init(struct watcher *watcher, const struct model *model,
           const struct ports *ports)
{
    watcher->ports = ports;
    watcher->by_number = lb_xcalloc(UINT16_MAX + 1,
                                    sizeof *watcher->by_number);
    for (size_t i = 0; i < model->n_pools; i++) {
        const struct pool *pool = model->pools[i];

        for (size_t j = 0; j < pool->n_servers; j++) {
            if (server_is_located(&pool->servers[j])) {
                add_server(watcher, &pool->servers[j]);
            }
        }
    }
}

void
watcher_uninit(struct watcher *watcher)
{
    free(watcher->by_number);
}

uint16_t
watcher_find_port(const struct watcher *watcher, const struct pool *pool,
                const struct server *server)
{
    enum link_watch how = server->watch ? server->watch : pool->watch;
    uint16_t number = find_port(watcher->ports, server);

    if (number == (OVS_FORCE uint16_t) OFPP_LOCAL || how == WATCH_NONE
        || (how == WATCH_AUTO && watcher->by_number[number].is_shared)) {
        return PORT_NONE;
    }
    return number;
}
