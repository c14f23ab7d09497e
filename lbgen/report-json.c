/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "lbgen/report.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <openvswitch/json.h>

#include "lib/health.h"
#include "lib/oftext.h"
#include "lib/override.h"
#include "lib/reach.h"
#include "lib/tiers.h"
#include "lib/refreshed.h"

static void
put_string(struct json *object, const char *name, const char *value)
{
    json_object_put(object, name,
                    value ? json_string_create(value) : json_null_create());
}

static void
put_integer(struct json *object, const char *name, uint64_t value)
{
    json_object_put(object, name, json_integer_create(value));
}

static void
put_bool(struct json *object, const char *name, bool value)
{
    json_object_put(object, name, json_boolean_create(value));
}

/* A share, rounded to what people and slots can tell apart. */
static void
put_share(struct json *object, const char *name, double share)
{
    json_object_put(object, name,
                    json_real_create((long) (share * 1e6 + .5) / 1e6));
}

static void
print_and_destroy(struct json *json, FILE *stream)
{
    char *text = json_to_string(json, JSSF_PRETTY | JSSF_SORT);

    fprintf(stream, "%s\n", text);
    free(text);
    json_destroy(json);
}

/* What 'properties' say of 'what'; the weight as a number. */
static struct json *
properties_to_json(const struct property *properties, const void *what)
{
    struct json *object = json_object_create();

    for (const struct property *p = properties; p->name; p++) {
        char value[PROPERTY_STRLEN];

        p->format(what, value, sizeof value);
        if (!strcmp(p->name, "weight") || !strcmp(p->name, "slots")) {
            put_integer(object, p->name, strtoul(value, NULL, 10));
        } else {
            put_string(object, p->name, value);
        }
    }
    return object;
}

/* One side of a server: NULL becomes null. */
static struct json *
server_to_json(const struct server *server, double asked, size_t n_slots,
               size_t of)
{
    struct json *object;

    if (!server) {
        return json_null_create();
    }
    object = properties_to_json(server_properties, server);
    put_share(object, "asked", asked);
    put_share(object, "share", of ? (double) n_slots / of : 0);
    put_integer(object, "slots", n_slots);
    return object;
}

static struct json *
pool_to_json(const struct assignment *a)
{
    struct json *leaving = json_array_create_empty();
    struct json *object;

    if (!a) {
        json_destroy(leaving);
        return json_null_create();
    }
    for (size_t i = 0; i < a->n_leaving; i++) {
        json_array_add(leaving,
                       json_string_create(a->leaving[i].server.name));
    }
    object = properties_to_json(pool_properties, a->pool);
    json_object_put(object, "leaving", leaving);
    return object;
}

static const char *
change_name(bool has_old, bool has_new, bool differs)
{
    return (!has_old ? "add" : !has_new ? "delete"
            : differs ? "modify" : "none");
}

static struct json *
pool_summary_to_json(const struct pool_summary *pool)
{
    size_t old_of = pool->old ? assignment_size(pool->old) : 0;
    size_t new_of = pool->new ? assignment_size(pool->new) : 0;
    struct json *object = json_object_create();
    struct json *servers = json_array_create_empty();

    put_string(object, "name", pool->name);
    put_string(object, "change",
               change_name(pool->old, pool->new, pool->changed));
    json_object_put(object, "old", pool_to_json(pool->old));
    json_object_put(object, "new", pool_to_json(pool->new));
    put_integer(object, "moved_slots", pool->n_moved);
    put_share(object, "moved_share",
              new_of ? (double) pool->n_moved / new_of : 0);
    for (size_t i = 0; i < pool->n_servers; i++) {
        const struct server_summary *s = &pool->servers[i];
        struct json *server = json_object_create();

        put_string(server, "name", s->name);
        json_object_put(server, "old",
                        server_to_json(s->old, s->old_asked, s->old_slots,
                                       old_of));
        json_object_put(server, "new",
                        server_to_json(s->new, s->new_asked, s->new_slots,
                                       new_of));
        json_array_add(servers, server);
    }
    json_object_put(object, "servers", servers);
    return object;
}

static void
put_flow(struct json *object, const char *name, const struct of_flow *flow,
         const struct ports *ports)
{
    struct ds s = DS_EMPTY_INITIALIZER;

    if (flow) {
        oftext_flow(flow, ports, &s);
    }
    put_string(object, name, flow ? ds_cstr(&s) : NULL);
    ds_destroy(&s);
}

static void
put_group(struct json *object, const char *name, const struct of_group *group,
          const struct ports *ports)
{
    struct oftext_group text;
    struct ds s = DS_EMPTY_INITIALIZER;

    if (!group) {
        put_string(object, name, NULL);
        return;
    }
    oftext_group_init(&text, group, ports);
    ds_put_cstr(&s, text.head);
    for (size_t i = 0; i < text.n_buckets; i++) {
        ds_put_format(&s, ",%s", text.buckets[i]);
    }
    put_string(object, name, ds_cstr(&s));
    ds_destroy(&s);
    oftext_group_uninit(&text);
}

static struct json *
change_to_json(const struct change *change, const struct ports *ports)
{
    struct json *object = json_object_create();
    bool is_group = change->old_group || change->new_group;

    put_string(object, "type", is_group ? "group" : "flow");
    if (is_group) {
        put_string(object, "change",
                   change_name(change->old_group, change->new_group, true));
        put_group(object, "old", change->old_group, ports);
        put_group(object, "new", change->new_group, ports);
    } else {
        put_string(object, "change",
                   change_name(change->old_flow, change->new_flow, true));
        put_flow(object, "old", change->old_flow, ports);
        put_flow(object, "new", change->new_flow, ports);
    }
    return object;
}

void
report_changes_json(const struct update *update, const char *bridge,
                    bool applied, FILE *stream)
{
    struct json *object = json_object_create();
    struct json *pools = json_array_create_empty();
    struct json *changes = json_array_create_empty();
    struct summary summary;

    summary_compute(&update->bridge->assignments, &update->assignments,
                    &summary);
    for (size_t i = 0; i < summary.n_pools; i++) {
        json_array_add(pools, pool_summary_to_json(&summary.pools[i]));
    }
    summary_uninit(&summary);
    for (size_t i = 0; i < update->changes.n; i++) {
        json_array_add(changes, change_to_json(&update->changes.changes[i],
                                               &update->bridge->ports));
    }
    put_string(object, "bridge", bridge);
    put_bool(object, "in_sync", !update->changes.n || applied);
    put_bool(object, "applied", applied);
    json_object_put(object, "connections_cut",
                    (update->cut.counted
                     ? json_integer_create(update->cut.n_cut)
                     : json_null_create()));
    json_object_put(object, "pools", pools);
    json_object_put(object, "changes", changes);
    print_and_destroy(object, stream);
}

/* What the operator said of 'server', null for nothing. */
static struct json *
override_to_json(const struct server *server)
{
    const struct override *o = &server->override;
    struct json *object;

    if (!override_exists(server)) {
        return json_null_create();
    }
    object = json_object_create();
    if (o->has_state) {
        put_string(object, "state", server_state_name(o->state));
        put_integer(object, "state_since", o->state_since);
    }
    if (o->has_weight) {
        put_integer(object, o->is_percent ? "percent" : "weight", o->weight);
        put_integer(object, "weight_since", o->weight_since);
    }
    return object;
}

struct json *
report_health_json(const struct server *server)
{
    const struct health *h = &server->health;
    struct json *object;

    if (h->state == HEALTH_UNKNOWN) {
        return json_null_create();
    }
    object = json_object_create();
    put_string(object, "state", health_state_name(h->state));
    put_integer(object, "since", h->since);
    json_object_put(object, "error", (h->error ? json_string_create(h->error)
                                      : json_null_create()));
    json_object_put(object, "out", json_boolean_create(h->out));
    return object;
}

/* A whole number as one. */
static struct json *
number_to_json(double value)
{
    return (value == (long long) value ? json_integer_create(value)
            : json_real_create(value));
}

/* What refresh makes of 'server', null if it never did. */
static struct json *
refreshed_to_json(const struct server *server)
{
    const struct refreshed *r = server->refreshed;
    struct json *object, *values;

    if (!r) {
        return json_null_create();
    }
    object = json_object_create();
    json_object_put(object, "factor",
                    number_to_json(refreshed_factor(server) / 1000.0));
    json_object_put(object, "slow_start", number_to_json(r->start / 1000.0));
    put_integer(object, "missed", r->missed);
    put_integer(object, "since", r->since);
    values = json_object_create();
    for (size_t i = 0; i < N_METRICS; i++) {
        if (!isnan(r->values[i])) {
            json_object_put(values, metrics[i].name,
                            number_to_json(r->values[i]));
        }
    }
    json_object_put(object, "values", values);
    return object;
}

static struct json *
status_server_to_json(const struct assignment *a, size_t i, double asked,
                      const struct traffic *t)
{
    struct json *object = server_to_json(&a->pool->servers[i], asked,
                                         assignment_n_slots(a, i),
                                         assignment_size(a));

    put_string(object, "name", a->pool->servers[i].name);
    if (a->pool->servers[i].set) {
        put_string(object, "set",
                   a->pool->sets[a->pool->servers[i].set - 1].name);
    }
    json_object_put(object, "override",
                    override_to_json(&a->pool->servers[i]));
    json_object_put(object, "health",
                    report_health_json(&a->pool->servers[i]));
    put_string(object, "effective_state",
               server_state_name(
                   server_effective_state(&a->pool->servers[i])));
    json_object_put(object, "effective_weight",
                    number_to_json(server_effective_thousandths(
                                       &a->pool->servers[i]) / 1000.0));
    json_object_put(object, "refreshed",
                    refreshed_to_json(&a->pool->servers[i]));
    json_object_put(object, "connections",
                    (t->counts_connections
                     ? json_integer_create(t->connections)
                     : json_null_create()));
    put_integer(object, "packets", t->packets);
    put_integer(object, "bytes", t->bytes);
    put_integer(object, "reply_packets", t->reply_packets);
    put_integer(object, "reply_bytes", t->reply_bytes);
    return object;
}

/* What new connections find, and how much of them server 'i' really gets. */
static void
put_reach(struct json *object, const struct assignment *a, size_t i,
          const struct reach *reach)
{
    const struct server_reach *server = &reach->servers[i];

    put_share(object, "share", server->share);
    put_bool(object, "link_up", server->is_up);
    put_bool(object, "watched", server->is_watched);
    put_bool(object, "down", reach_is_down(reach, a, i));
}

static struct json *
unserved_to_json(const struct pool *pool, const struct reach *reach)
{
    struct json *object = json_object_create();

    put_string(object, "on_empty", on_empty_name(pool->on_empty));
    put_share(object, "share", reach->unserved);
    put_integer(object, "packets", reach->n_unserved);
    return object;
}

/* Where a pool is that goes by what the switch has learned; null where it does
 * not. */
static void
put_learned(struct json *object, const struct assignment *a,
            const struct reach *reach, const struct learned *learned)
{
    const struct pool *pool = a->pool;
    size_t meant;
    size_t next = (pool_selection(pool) == POLICY_BY_TURN
                   ? learned_next(learned, a, reach, &meant) : SIZE_MAX);

    put_string(object, "next",
               next == SIZE_MAX ? NULL : pool->servers[next].name);
    put_string(object, "stays_at",
               reach->is_pinned ? tier_name(pool, reach->pinned_tier) : NULL);
}

/* How many clients stay with server 'i'; null without affinity. */
static void
put_n_clients(struct json *object, const struct assignment *a, size_t i,
              const struct learned *learned)
{
    json_object_put(object, "clients",
                    (a->pool->affinity.by == AFFINITY_NONE
                     ? json_null_create()
                     : json_integer_create(learned_n_clients(learned, a,
                                                             i))));
}

static struct json *
sets_to_json(const struct assignment *a, const double *asked)
{
    struct json *sets = json_array_create_empty();

    for (size_t i = 0; i < a->pool->n_sets; i++) {
        const struct server_set *set = &a->pool->sets[i];
        struct json *object = json_object_create();
        double sum;
        size_t n_slots = assignment_set_slots(a, i + 1, asked, &sum);
        size_t of = assignment_size(a);

        put_string(object, "name", set->name);
        put_string(object, "set",
                   set->parent ? a->pool->sets[set->parent - 1].name : NULL);
        put_integer(object, "weight", set->weight);
        put_share(object, "asked", sum);
        put_share(object, "share", of ? (double) n_slots / of : 0);
        put_integer(object, "slots", n_slots);
        json_array_add(sets, object);
    }
    return sets;
}

static struct json *
status_pool_to_json(const struct reach_view *view,
                    const struct learned *learned,
                    const struct assignment *a, const struct traffic *traffic)
{
    struct json *object = pool_to_json(a);
    struct json *servers = json_array_create_empty();
    size_t n = a->pool->n_servers;
    double *asked = lb_xcalloc(n, sizeof *asked);
    struct reach reach;

    reach_compute(view, a, &reach);
    pool_asked_shares(a->pool, asked);
    put_string(object, "name", a->pool->name);
    for (size_t i = 0; i < n; i++) {
        struct json *server = status_server_to_json(a, i, asked[i],
                                                    &traffic[i]);

        put_reach(server, a, i, &reach);
        put_n_clients(server, a, i, learned);
        json_array_add(servers, server);
    }
    json_object_put(object, "unserved", unserved_to_json(a->pool, &reach));
    put_learned(object, a, &reach, learned);
    json_object_put(object, "panic",
                    json_boolean_create(health_panics(a->pool)));
    json_object_put(object, "servers", servers);
    json_object_put(object, "sets", sets_to_json(a, asked));
    reach_uninit(&reach);
    free(asked);
    return object;
}

void
report_status_json(const struct bridge *bridge, const struct learned *learned,
                   const char *name, const char *pool, size_t n_drift,
                   FILE *stream)
{
    struct json *object = json_object_create();
    struct json *pools = json_array_create_empty();
    struct traffic **traffic = traffic_collect(bridge);
    struct reach_view view;

    reach_view_init(&view, bridge);
    for (size_t i = 0; i < bridge->assignments.n_pools; i++) {
        const struct assignment *a = &bridge->assignments.pools[i];

        if (!pool || !strcmp(pool, a->pool->name)) {
            json_array_add(pools, status_pool_to_json(&view, learned, a,
                                                      traffic[i]));
        }
    }
    reach_view_uninit(&view);
    traffic_free(traffic, bridge);
    put_string(object, "bridge", name);
    put_integer(object, "drift", n_drift);
    if (bridge->has_settings) {
        const struct settings *s = &bridge->settings;
        struct json *settings = json_object_create();

        put_integer(settings, "entry_table", s->entry_table);
        put_integer(settings, "table_base", s->table_base);
        put_integer(settings, "priority", s->priority);
        put_integer(settings, "zone", s->zone);
        put_string(settings, "fallback", fallback_name(s->fallback));
        json_object_put(object, "settings", settings);
    }
    json_object_put(object, "pools", pools);
    print_and_destroy(object, stream);
}
