/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "lib/removal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "lib/found.h"
#include "lib/leaving.h"
#include "lib/path.h"
#include "lib/ports.h"
#include "lib/util.h"

/* An update, as far as connections are concerned. */
struct plan {
    struct session *session;
    const struct bridge *bridge;
    const struct model *model;
    struct removal *removal;

    /* What the switch has in a zone, read when it is first asked for. */
    uint16_t seen_zone;         /* Which one; 0 for none so far. */
    bool can_see;
    struct connection_list seen;
};

static void
add_target(struct removal *removal, const struct conntrack_target *target)
{
    removal->targets = lb_grow(removal->targets, removal->n_targets,
                               &removal->allocated, sizeof *removal->targets);
    removal->targets[removal->n_targets++] = *target;
}

/* Adds what comes to 'vip' of 'pool' for 'server'. */
static void
add_vip_of(struct removal *removal, const struct pool *pool,
           const struct ip *vip, const struct server *server, uint16_t member)
{
    struct conntrack_target target;

    if (ips_find(&server->ips, ip_family(vip))) {
        target = conntrack_target(pool, vip, server, member);
        add_target(removal, &target);
    }
}

/* Adds what comes to 'vip' of the pool of 'a', for any server. */
static void
add_vip(struct removal *removal, const struct assignment *a,
        const struct ip *vip)
{
    const struct pool *pool = a->pool;
    struct conntrack_target target = conntrack_target(pool, vip, NULL, 0);

    if (pool_scope(pool) == POOL_SCOPE_PORTS) {
        add_target(removal, &target);
        return;
    }
    /* Other pools may have a part of what this one is for. */
    for (size_t i = 0; i < pool->n_servers; i++) {
        add_vip_of(removal, pool, vip, &pool->servers[i], a->members[i]);
    }
    for (size_t i = 0; i < a->n_leaving; i++) {
        add_vip_of(removal, pool, vip, &a->leaving[i].server,
                   a->leaving[i].member);
    }
}

/* Adds what comes to 'pool' for 'server'. */
static void
add_server(struct removal *removal, const struct pool *pool,
           const struct server *server, uint16_t member)
{
    struct conntrack_target targets[N_FAMILIES];
    size_t n = conntrack_targets(pool, server, member, targets);

    for (size_t i = 0; i < n; i++) {
        add_target(removal, &targets[i]);
    }
}

static void
look_in_zone(struct plan *plan, uint16_t zone)
{
    if (plan->seen_zone != zone) {
        char *why = NULL;

        connection_list_uninit(&plan->seen);
        plan->seen_zone = zone;
        plan->can_see = connection_list_read(plan->session, zone,
                                             &plan->seen, &why);
        free(why);
    }
}

/* Whether 'server', with the member id 'member' in 'pool', may still have
 * connections. */
static bool
may_have_connections(struct plan *plan, const struct pool *pool,
                     const struct server *server, uint16_t member)
{
    struct conntrack_target targets[N_FAMILIES];
    size_t n = conntrack_targets(pool, server, member, targets);

    look_in_zone(plan, path_vlan_zone(plan->removal->zone, pool->path.vlan));
    for (size_t i = 0; i < plan->seen.n; i++) {
        const struct connection *c = &plan->seen.connections[i];

        for (size_t j = 0; j < n && !connection_is_over(c); j++) {
            if (conntrack_target_matches(&targets[j], c)) {
                return true;
            }
        }
    }
    return !plan->can_see;
}

/* Whether both pools are for something that a server sends that both have. */
static bool
overlap(const struct pool *a, const struct server *a_server,
        const struct pool *b, const struct server *b_server)
{
    struct port_set a_ports = server_ports(a, a_server);
    struct port_set b_ports = server_ports(b, b_server);

    return (ips_meet(&a_server->ips, &b_server->ips)
            && (a->protocol == b->protocol || a->protocol == PROTOCOL_ANY
                || b->protocol == PROTOCOL_ANY)
            && port_set_overlap(&a_ports, &b_ports));
}

/* Whether what the server of 'other' sends is looked up in another zone than
 * what 'server' of 'pool' does, and there is no telling them apart.  Fragments
 * have no ports, and those of IPv6 not even a protocol. */
static bool
zones_clash(const struct pool *other, const struct server *other_server,
            const struct pool *pool, const struct server *server)
{
    return (other->connections == CONNECTIONS_TRACKED
            && other->path.vlan != pool->path.vlan
            && path_vlans_meet(path_server_vlan(other, other_server),
                               path_server_vlan(pool, server))
            && ips_meet(&other_server->ips, &server->ips));
}

/* Whether another pool wants the packets that 'server' sends: a stateless one,
 * or one that has it in another VLAN than 'pool'. */
static bool
is_taken_over(const struct model *model, const struct pool *pool,
              const struct server *server)
{
    for (size_t i = 0; i < model->n_pools; i++) {
        const struct pool *other = model->pools[i];

        for (size_t j = 0; j < other->n_servers; j++) {
            const struct server *another = &other->servers[j];

            if ((other->connections == CONNECTIONS_STATELESS
                 && overlap(other, another, pool, server))
                || zones_clash(other, another, pool, server)) {
                return true;
            }
        }
    }
    return false;
}

/* Whether 'server' of the installed pool 'old' stays behind when it goes from
 * 'new'. */
static bool
stays_behind(struct plan *plan, const struct assignment *old,
             const struct assignment *new, const struct server *server,
             uint16_t member)
{
    return (new->pool->on_removal == ON_REMOVAL_KEEP
            && server_effective_state(server) != SERVER_MAINT
            && server_is_located(server)
            && ports_has(&plan->bridge->ports, server_interface(server))
            && !is_taken_over(plan->model, old->pool, server)
            && may_have_connections(plan, old->pool, server, member));
}

/* Whether 'new' of 'pool' stands still for the connections that it had as
 * 'old'. */
static bool
has_died(const struct pool *pool, const struct server *old,
         const struct server *new)
{
    return ((server_effective_state(new) == SERVER_MAINT
             && server_effective_state(old) != SERVER_MAINT)
            || (pool->on_down == ON_DOWN_CUT
                && new->health.state == HEALTH_DOWN && new->health.out
                && !old->health.out));
}

/* Decides on one server of 'old'. */
static void
plan_server(struct plan *plan, const struct assignment *old,
            struct assignment *new, const struct server *server,
            uint16_t member)
{
    size_t i = assignment_find_member(new, member);

    if (i != SIZE_MAX) {
        if (has_died(new->pool, server, &new->pool->servers[i])) {
            add_server(plan->removal, old->pool, server, member);
        }
    } else if (stays_behind(plan, old, new, server, member)) {
        leaving_add(new, server, member);
    } else {
        add_server(plan->removal, old->pool, server, member);
    }
}

/* Whether connections of 'old' may go on in 'new', as far as that still has
 * their VIP. */
static bool
connections_go_on(const struct plan *plan, const struct assignment *old,
                  const struct assignment *new)
{
    return (new && new->pool->connections == CONNECTIONS_TRACKED
            && new->pool->protocol == old->pool->protocol
            && port_set_equal(&new->pool->ports, &old->pool->ports)
            && new->pool->path.vlan == old->pool->path.vlan
            && plan->removal->zone == plan->model->settings.zone);
}

static void
plan_pool(struct plan *plan, const struct assignment *old,
          struct assignment *new)
{
    bool go_on = connections_go_on(plan, old, new);

    for (size_t i = 0; i < old->pool->vips.n; i++) {
        const struct ip *vip = &old->pool->vips.ip[i];

        if (!go_on || !ips_contain(&new->pool->vips, vip)) {
            add_vip(plan->removal, old, vip);
        }
    }
    if (!go_on) {
        return;
    }
    for (size_t i = 0; i < old->pool->n_servers; i++) {
        plan_server(plan, old, new, &old->pool->servers[i], old->members[i]);
    }
    for (size_t i = 0; i < old->n_leaving; i++) {
        plan_server(plan, old, new, &old->leaving[i].server,
                    old->leaving[i].member);
    }
}

/* Whether any tracked pool is installed. */
static bool
has_tracked(const struct assignments *assignments)
{
    for (size_t i = 0; i < assignments->n_pools; i++) {
        if (assignments->pools[i].pool->connections == CONNECTIONS_TRACKED) {
            return true;
        }
    }
    return false;
}

void
removal_prepare(struct session *session, const struct bridge *bridge,
                const struct model *model, struct assignments *assignments,
                struct removal *removal, struct diags *diags)
{
    struct plan plan = {
        .session = session, .bridge = bridge, .model = model,
        .removal = removal
    };

    memset(removal, 0, sizeof *removal);
    removal->zone = (bridge->has_settings ? bridge->settings.zone
                     : model->settings.zone);
    if (!removal->zone || !has_tracked(&bridge->assignments)) {
        return;
    }
    if (has_tracked(assignments)
        && removal->zone != model->settings.zone) {
        diag_warning(diags, NULL, "the change of \"zone\" from %"PRIu16" to "
                     "%"PRIu16" cuts all tracked connections; those whose "
                     "slot stays begin anew with the same server",
                     removal->zone, model->settings.zone);
    }
    for (size_t i = 0; i < bridge->assignments.n_pools; i++) {
        const struct assignment *old = &bridge->assignments.pools[i];

        if (old->pool->connections == CONNECTIONS_TRACKED) {
            plan_pool(&plan, old, assignments_find_mutable(assignments,
                                                           old->pool->name));
        }
    }
    connection_list_uninit(&plan.seen);
}

void
removal_uninit(struct removal *removal)
{
    free(removal->targets);
    memset(removal, 0, sizeof *removal);
}

/* Whether a server of 'assignments' has that member id. */
static bool
is_member(const struct assignments *assignments, uint16_t member)
{
    for (size_t i = 0; i < assignments->n_pools; i++) {
        const struct assignment *a = &assignments->pools[i];

        if (assignment_find_member(a, member) != SIZE_MAX
            || leaving_find(a, member)) {
            return true;
        }
    }
    return false;
}

void
removal_check_zone(struct session *session, const struct bridge *bridge,
                   const struct model *model,
                   const struct assignments *assignments,
                   struct diags *diags)
{
    uint16_t zone = model->settings.zone;
    struct connection_list seen;
    size_t n = 0;
    char *why;

    if (!has_tracked(assignments)
        || (has_tracked(&bridge->assignments) && bridge->has_settings
            && bridge->settings.zone == zone)) {
        return;
    }
    if (!connection_list_read(session, zone, &seen, &why)) {
        free(why);
        return;
    }
    for (size_t i = 0; i < seen.n; i++) {
        n += !is_member(assignments,
                        connection_member(&seen.connections[i]));
    }
    connection_list_uninit(&seen);
    if (n) {
        diag_warning(diags, NULL, "connection tracking zone %"PRIu16" of "
                     "bridge \"%s\" has %zu connections of others already; if "
                     "something else uses that zone, set another \"zone\"",
                     zone, session_bridge(session), n);
    }
}
