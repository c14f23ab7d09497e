/* SPDX-License-Identifier: Apache-2.0 */

/* What the switch itself knows of servers. */

#include <config.h>

#include "lib/refresh-switch.h"

#include <math.h>
#include <stdlib.h>

#include "lib/conntrack.h"
#include "lib/traffic.h"

/* How many open connections each member id has. */
struct open_connections {
    bool known;
    uint32_t n[UINT16_MAX + 1];
};

static void
count_connections(struct session *session, const struct bridge *bridge,
                  struct open_connections *open, struct diags *diags)
{
    struct connection_list list = { NULL, 0, 0 };
    size_t n_zones;
    char *why;

    if (!connection_list_read_all(session, &bridge->settings,
                                  &bridge->assignments, &list, &n_zones,
                                  &why)) {
        diag_warning(diags, NULL, "open connections cannot be counted: %s",
                     why);
        free(why);
        return;
    }
    open->known = true;
    for (size_t i = 0; i < list.n; i++) {
        uint16_t member = connection_member(&list.connections[i]);

        if (member && !connection_is_over(&list.connections[i])) {
            open->n[member]++;
        }
    }
    connection_list_uninit(&list);
}

static void
set_pool(struct refresh_round *round, const struct assignment *a,
         const struct traffic *traffic, const struct open_connections *open)
{
    bool is_tracked = a->pool->connections == CONNECTIONS_TRACKED;

    for (size_t i = 0; i < a->pool->n_servers; i++) {
        const struct refresh_switch values = {
            .known = true,
            .qps_counter = (traffic[i].counts_connections
                            ? traffic[i].connections : NAN),
            .packets_counter = traffic[i].packets,
            .bytes_counter = traffic[i].bytes,
            .connections = (is_tracked && open->known
                            ? open->n[a->members[i]] : NAN),
        };

        refresh_set_switch(round, a->pool->name, a->pool->servers[i].name,
                           &values);
    }
}

void
refresh_ask_switch(struct refresh_round *round, struct session *session,
                   const struct bridge *bridge, struct diags *diags)
{
    struct open_connections *open;
    struct traffic **traffic;

    if (!refresh_needs_switch(round)) {
        return;
    }
    open = lb_xcalloc(1, sizeof *open);
    if (refresh_needs_connections(round)) {
        count_connections(session, bridge, open, diags);
    }
    traffic = traffic_collect(bridge);
    for (size_t i = 0; i < bridge->assignments.n_pools; i++) {
        set_pool(round, &bridge->assignments.pools[i], traffic[i], open);
    }
    traffic_free(traffic, bridge);
    free(open);
}
