/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "lib/resident.h"

#include <stdlib.h>

#include "lib/compile.h"
#include "lib/conntrack.h"
#include "lib/layout.h"
#include "lib/path.h"

static bool
keeps_residents(const struct pool *pool)
{
    return pool->drain_timeout && pool->connections == CONNECTIONS_TRACKED;
}

static bool
drains(const struct assignment *a, size_t index)
{
    return server_effective_state(&a->pool->servers[index]) == SERVER_DRAIN;
}

/* Whether the server of 'new' with that index begins to drain. */
static bool
begins_to_drain(const struct assignment *old, const struct assignment *new,
                size_t index)
{
    size_t i = assignment_find_member(old, new->members[index]);

    return i != SIZE_MAX && drains(new, index) && !drains(old, i);
}

/* Adds a flow for each client that has a connection to the server. */
static void
add_flows(const struct model *model, const struct assignment *a,
          size_t index, const struct connection_list *list,
          struct ofstate *flows, struct diags *diags)
{
    for (size_t i = 0; i < list->n; i++) {
        const struct connection *connection = &list->connections[i];

        if (connection_member(connection) == a->members[index]
            && ips_contain(&a->pool->vips, &connection->vip)) {
            compile_resident(model, a, index, &connection->client,
                             pool_client_prefix(
                                 a->pool, ip_family(&connection->client)),
                             a->pool->drain_timeout, flows, diags);
        }
    }
}

/* Finds the clients of server 'index' of 'a' and adds their flows. */
static void
add_residents(struct session *session, const struct model *model,
              const struct assignment *a, size_t index,
              struct ofstate *flows, struct diags *diags)
{
    const struct server *server = &a->pool->servers[index];
    struct connection_list list;
    char *why;

    if (!connection_list_read(session, path_zone(&model->settings, a->pool),
                              &list, &why)) {
        diag_warning(diags, &server->loc, "pool \"%s\": server \"%s\": "
                     "drain_timeout has no effect, as the clients that it has "
                     "cannot be known: %s", a->pool->name, server->name, why);
        free(why);
        return;
    }
    add_flows(model, a, index, &list, flows, diags);
    connection_list_uninit(&list);
}

/* Whether an installed flow of a resident may stay. */
static bool
may_stay(const struct of_flow *flow, const struct settings *settings,
         const struct assignments *assignments)
{
    for (size_t i = 0; i < assignments->n_pools; i++) {
        const struct assignment *a = &assignments->pools[i];

        if (a->id == cookie_pool(flow->cookie)) {
            size_t j = assignment_find_member(a, cookie_member(flow->cookie));

            return (j != SIZE_MAX && drains(a, j) && keeps_residents(a->pool)
                    && flow->table == settings->table_base + TABLE_FORWARD);
        }
    }
    return false;
}

void
residents_prepare(struct session *session, const struct bridge *bridge,
                  const struct model *model,
                  const struct assignments *assignments,
                  struct ofstate *flows, struct changes *changes,
                  struct diags *diags)
{
    const struct of_flow *flow;

    for (size_t i = 0; i < assignments->n_pools; i++) {
        const struct assignment *new = &assignments->pools[i];
        const struct assignment *old
            = (keeps_residents(new->pool)
               ? assignments_find(&bridge->assignments, new->pool->name)
               : NULL);

        for (size_t j = 0; old && j < new->pool->n_servers; j++) {
            if (begins_to_drain(old, new, j)) {
                add_residents(session, model, new, j, flows, diags);
            }
        }
    }
    OFSTATE_FOR_EACH_FLOW (flow, flows) {
        changes_add(changes, &(struct change) { .new_flow = flow });
    }
    OFSTATE_FOR_EACH_FLOW (flow, &bridge->residents) {
        if (!may_stay(flow, &model->settings, assignments)
            && !ofstate_find_flow(flows, flow)) {
            changes_add(changes, &(struct change) { .old_flow = flow });
        }
    }
}
