/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openvswitch/json.h>

#include "lbgen/connect.h"
#include "lbgen/report.h"
#include "lib/conntrack.h"
#include "lib/leaving.h"
#include "lib/path.h"
#include "lib/summary.h"

/* One server of a shown pool. */
struct row {
    const struct assignment *pool;
    const struct server *server;
    bool leaving;
    uint16_t member;
    size_t n;                   /* Connections, if tracked. */
    struct traffic traffic;     /* If not tracked. */
};

/* One connection that is shown. */
struct shown {
    const struct connection *connection;
    size_t row;
};

/* What is shown. */
struct view {
    const char *bridge;
    uint16_t zone;              /* Of pools in no VLAN. */
    size_t n_zones;             /* That were looked at. */
    bool has_tracked;
    struct row *rows;           /* Pool by pool. */
    size_t n_rows;
    size_t allocated;
    struct shown *shown;
    size_t n_shown;
    size_t n_others;            /* In those zones, of no installed server. */
};

static void
add_row(struct view *v, const struct assignment *a,
        const struct server *server, uint16_t member, bool leaving)
{
    v->rows = lb_grow(v->rows, v->n_rows, &v->allocated, sizeof *v->rows);
    v->rows[v->n_rows++] = (struct row) {
        .pool = a, .server = server, .member = member, .leaving = leaving
    };
}

/* Adds the servers of a pool, or only those called 'name'. */
static void
add_pool(struct view *v, const struct assignment *a,
         const struct traffic *traffic, const char *name)
{
    const struct pool *pool = a->pool;

    v->has_tracked |= pool->connections == CONNECTIONS_TRACKED;
    for (size_t i = 0; i < pool->n_servers; i++) {
        if (!name || !strcmp(name, pool->servers[i].name)) {
            add_row(v, a, &pool->servers[i], a->members[i], false);
            v->rows[v->n_rows - 1].traffic = traffic[i];
        }
    }
    for (size_t i = 0; i < a->n_leaving; i++) {
        const struct leaving *leaving = &a->leaving[i];

        if (!name || !strcmp(name, leaving->server.name)) {
            add_row(v, a, &leaving->server, leaving->member, true);
        }
    }
}

/* Takes in the rows that the command line asks for. */
static bool
collect_rows(const struct command_context *context,
             const struct bridge *bridge, struct view *v)
{
    const struct assignments *all = &bridge->assignments;
    const char *pool = context->n_args ? context->args[0] : NULL;
    struct traffic **traffic;

    if (pool && !assignments_find(all, pool)) {
        diag_error(context->diags, NULL, "bridge \"%s\" has no pool \"%s\"",
                   v->bridge, pool);
        return false;
    }
    traffic = traffic_collect(bridge);
    for (size_t i = 0; i < all->n_pools; i++) {
        if (!pool || !strcmp(pool, all->pools[i].pool->name)) {
            add_pool(v, &all->pools[i], traffic[i], context->server);
        }
    }
    traffic_free(traffic, bridge);
    if (context->server && !v->n_rows) {
        diag_error(context->diags, NULL,
                   "bridge \"%s\" has no server \"%s\"%s%s", v->bridge,
                   context->server, pool ? " in pool " : "",
                   pool ? pool : "");
        return false;
    }
    return true;
}

/* Fills in which row each member id is shown in, SIZE_MAX for none. */
static size_t *
index_rows(const struct view *v)
{
    size_t *index = lb_xcalloc(UINT16_MAX + 1, sizeof *index);

    memset(index, 0xff, (UINT16_MAX + 1) * sizeof *index);
    for (size_t i = 0; i < v->n_rows; i++) {
        if (v->rows[i].pool->pool->connections == CONNECTIONS_TRACKED) {
            index[v->rows[i].member] = i;
        }
    }
    return index;
}

/* Whether any installed server, shown or not, has that member id. */
static bool *
index_members(const struct bridge *bridge)
{
    bool *known = lb_xcalloc(UINT16_MAX + 1, sizeof *known);

    for (size_t i = 0; i < bridge->assignments.n_pools; i++) {
        const struct assignment *a = &bridge->assignments.pools[i];

        for (size_t j = 0; j < a->pool->n_servers; j++) {
            known[a->members[j]] = true;
        }
        for (size_t j = 0; j < a->n_leaving; j++) {
            known[a->leaving[j].member] = true;
        }
    }
    return known;
}

/* By pool and server as in the file, then client. */
static int
compare_shown(const void *a_, const void *b_)
{
    const struct shown *a = a_, *b = b_;
    int result;

    if (a->row != b->row) {
        return a->row < b->row ? -1 : 1;
    }
    result = memcmp(&a->connection->client, &b->connection->client,
                    sizeof a->connection->client);
    return (result ? result
            : a->connection->client_port - b->connection->client_port);
}

static void
collect_connections(const struct bridge *bridge,
                    const struct connection_list *list, struct view *v)
{
    size_t *rows = index_rows(v);
    bool *known = index_members(bridge);

    v->shown = lb_xcalloc(list->n, sizeof *v->shown);
    for (size_t i = 0; i < list->n; i++) {
        const struct connection *c = &list->connections[i];
        uint16_t member = connection_member(c);

        if (rows[member] != SIZE_MAX) {
            v->shown[v->n_shown++] = (struct shown) { c, rows[member] };
            v->rows[rows[member]].n++;
        } else if (!known[member]) {
            v->n_others++;
        }
    }
    qsort(v->shown, v->n_shown, sizeof *v->shown, compare_shown);
    free(known);
    free(rows);
}

/* Text. */

static void
print_connections(const struct view *v)
{
    if (!v->n_shown) {
        return;
    }
    printf("%-21s %-25s %-16s %-21s %-12s %7s\n", "CLIENT", "VIP", "SERVER",
           "ADDRESS", "STATE", "EXPIRES");
    for (size_t i = 0; i < v->n_shown; i++) {
        const struct connection *c = v->shown[i].connection;
        const struct row *row = &v->rows[v->shown[i].row];
        char client[ENDPOINT_STRLEN], vip[ENDPOINT_STRLEN + 8];
        char server[ENDPOINT_STRLEN], expires[24] = "-";

        endpoint_format(&c->vip, c->vip_port, vip);
        snprintf(vip + strlen(vip), sizeof vip - strlen(vip), "/%s",
                 connection_protocol(c));
        if (c->timeout >= 0) {
            snprintf(expires, sizeof expires, "%"PRId64"s", c->timeout);
        }
        printf("%-21s %-25s %-16s %-21s %-12s %7s\n",
               endpoint_format(&c->client, c->client_port, client), vip,
               row->server->name,
               endpoint_format(&c->server, c->server_port, server),
               *c->state ? c->state : "-", expires);
    }
    putchar('\n');
}

static void
print_row(const struct row *row)
{
    char address[PROPERTY_STRLEN];

    server_properties[0].format(row->server, address, sizeof address);
    printf("  %-16s %-21s ", row->server->name, address);
    if (row->pool->pool->connections == CONNECTIONS_TRACKED) {
        printf("%11zu%s\n", row->n, row->leaving ? "  leaving" : "");
    } else {
        printf("%11"PRIu64" %11"PRIu64"\n", row->traffic.packets,
               row->traffic.reply_packets);
    }
}

/* The zone of tracked pools, which are all in the same. */
static uint16_t
zone_of_tracked(const struct view *v)
{
    for (size_t i = 0; i < v->n_rows; i++) {
        const struct pool *pool = v->rows[i].pool->pool;

        if (pool->connections == CONNECTIONS_TRACKED) {
            return path_vlan_zone(v->zone, pool->path.vlan);
        }
    }
    return v->zone;
}

static void
print_counts(const struct view *v)
{
    const struct assignment *last = NULL;

    for (size_t i = 0; i < v->n_rows; i++) {
        const struct row *row = &v->rows[i];

        if (row->pool == last) {
            print_row(row);
            continue;
        }
        last = row->pool;
        if (last->pool->connections == CONNECTIONS_TRACKED) {
            printf("pool %s: tracked\n  %-16s %-21s %11s\n", last->pool->name,
                   "SERVER", "ADDRESS", "CONNECTIONS");
        } else {
            printf("pool %s: %s, so the switch knows packets and no "
                   "connections\n  %-16s %-21s %11s %11s\n", last->pool->name,
                   connections_name(last->pool->connections), "SERVER",
                   "ADDRESS", "PACKETS", "REPLIES");
        }
        print_row(row);
    }
    if (v->n_others && v->n_zones > 1) {
        printf("%zu zones have %zu more, of no server that is installed\n",
               v->n_zones, v->n_others);
    } else if (v->n_others) {
        printf("zone %"PRIu16" has %zu more, of no server that is "
               "installed\n", zone_of_tracked(v), v->n_others);
    }
}

/* JSON. */

static struct json *
endpoint_to_json(const struct ip *ip, uint16_t port)
{
    struct json *endpoint = json_object_create();
    char text[IP_STRLEN];

    json_object_put_string(endpoint, "ip", ip_format(ip, text));
    json_object_put(endpoint, "port", (port ? json_integer_create(port)
                                       : json_null_create()));
    return endpoint;
}

static void
put_endpoint(struct json *object, const char *name, const struct ip *ip,
             uint16_t port)
{
    json_object_put(object, name, endpoint_to_json(ip, port));
}

/* The pool, the server and its address 'ip', which both lists have. */
static struct json *
row_to_json(const struct row *row, const struct ip *ip)
{
    struct json *object = json_object_create();

    json_object_put_string(object, "pool", row->pool->pool->name);
    json_object_put_string(object, "server", row->server->name);
    put_endpoint(object, "address", ip, row->server->port);
    return object;
}

static struct json *
connection_to_json(const struct connection *c, const struct row *row)
{
    struct json *object = row_to_json(row, &c->server);

    put_endpoint(object, "client", &c->client, c->client_port);
    put_endpoint(object, "vip", &c->vip, c->vip_port);
    json_object_put_string(object, "protocol", connection_protocol(c));
    json_object_put(object, "state", (*c->state ? json_string_create(c->state)
                                      : json_null_create()));
    json_object_put(object, "expires",
                    (c->timeout >= 0 ? json_integer_create(c->timeout)
                     : json_null_create()));
    json_object_put(object, "start", (*c->start ? json_string_create(c->start)
                                      : json_null_create()));
    return object;
}

static struct json *
counts_to_json(const struct row *row)
{
    bool tracked = row->pool->pool->connections == CONNECTIONS_TRACKED;
    const struct ips *ips = &row->server->ips;
    struct json *object = row_to_json(row, &ips->ip[0]);
    struct json *addresses = json_array_create_empty();

    for (size_t i = 0; i < ips->n; i++) {
        json_array_add(addresses,
                       endpoint_to_json(&ips->ip[i], row->server->port));
    }
    json_object_put(object, "addresses", addresses);
    json_object_put(object, "leaving", json_boolean_create(row->leaving));
    json_object_put(object, "connections",
                    (tracked ? json_integer_create(row->n)
                     : json_null_create()));
    if (!tracked) {
        json_object_put(object, "packets",
                        json_integer_create(row->traffic.packets));
        json_object_put(object, "reply_packets",
                        json_integer_create(row->traffic.reply_packets));
    }
    return object;
}

static void
print_json(const struct view *v)
{
    struct json *object = json_object_create();
    struct json *connections = json_array_create_empty();
    struct json *servers = json_array_create_empty();
    char *text;

    for (size_t i = 0; i < v->n_shown; i++) {
        json_array_add(connections,
                       connection_to_json(v->shown[i].connection,
                                          &v->rows[v->shown[i].row]));
    }
    for (size_t i = 0; i < v->n_rows; i++) {
        json_array_add(servers, counts_to_json(&v->rows[i]));
    }
    json_object_put_string(object, "bridge", v->bridge);
    json_object_put(object, "zone", json_integer_create(v->zone));
    json_object_put(object, "connections", connections);
    json_object_put(object, "servers", servers);
    json_object_put(object, "others", json_integer_create(v->n_others));
    text = json_to_string(object, JSSF_PRETTY | JSSF_SORT);
    puts(text);
    free(text);
    json_destroy(object);
}

/* Looks at the connections, unless nothing that is shown has any. */
static bool
read_connections(const struct command_context *context,
                 struct session *session, const struct bridge *bridge,
                 struct connection_list *list, struct view *v)
{
    char *why;

    if (!v->has_tracked) {
        return true;
    }
    if (!bridge_check_settings(bridge, v->bridge, context->diags)) {
        return false;
    }
    if (!connection_list_read_all(session, &bridge->settings,
                                  &bridge->assignments, list, &v->n_zones,
                                  &why)) {
        diag_error(context->diags, NULL, "cannot list connections: %s", why);
        diag_note(context->diags, NULL, "\"lbgen status\" has how many there "
                  "were for each server");
        free(why);
        return false;
    }
    collect_connections(bridge, list, v);
    return true;
}

/* lbgen connections: who is connected to which server. */
int
cmd_connections(const struct command_context *context)
{
    struct bridge *bridge;
    struct session *session = connect_bridge(context, NULL, NULL, &bridge);
    struct connection_list list = { .n = 0 };
    struct view v = { .n_rows = 0 };
    int status = STATUS_FAILED;

    if (!session) {
        return STATUS_FAILED;
    }
    v.bridge = session_bridge(session);
    v.zone = bridge->settings.zone;
    if (collect_rows(context, bridge, &v)
        && read_connections(context, session, bridge, &list, &v)) {
        if (context->json) {
            print_json(&v);
        } else {
            print_connections(&v);
            print_counts(&v);
        }
        status = STATUS_OK;
    }
    connection_list_uninit(&list);
    free(v.shown);
    free(v.rows);
    bridge_destroy(bridge);
    session_close(session);
    return status;
}
