/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "lbgen/report.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/check.h"
#include "lib/found.h"
#include "lib/health.h"
#include "lib/leaving.h"
#include "lib/oftext.h"
#include "lib/override.h"
#include "lib/reach.h"
#include "lib/tiers.h"

/* Colours of "git diff", which people know. */
#define GREEN "\033[32m"
#define RED "\033[31m"
#define CYAN "\033[36m"
#define BOLD "\033[1m"
#define PLAIN "\033[0m"

/* Where and how the report goes. */
struct writer {
    FILE *stream;
    bool color;
    const struct ports *ports;
};

static void
put_line(const struct writer *w, const char *color, const char *prefix,
         const char *text)
{
    if (w->color && *color) {
        fprintf(w->stream, "%s%s%s%s\n", color, prefix, text, PLAIN);
    } else {
        fprintf(w->stream, "%s%s\n", prefix, text);
    }
}

/* Writes ", NAME OLD -> NEW" for what differs, or "NAME VALUE" for everything
 * if 'old' is NULL. */
static void
write_properties(FILE *stream, const struct property *properties,
                 const void *old, const void *new)
{
    const char *separator = " ";

    for (const struct property *p = properties; p->name; p++) {
        char before[PROPERTY_STRLEN], after[PROPERTY_STRLEN];

        if (!old) {
            p->format(new, after, sizeof after);
            fprintf(stream, "%s%s %s", separator, p->name, after);
        } else if (property_differs(p, old, new, before, after)) {
            fprintf(stream, "%s%s %s -> %s", separator, p->name, before,
                    after);
        } else {
            continue;
        }
        separator = ", ";
    }
}

static double
percent(size_t n, size_t of)
{
    return of ? 100.0 * n / of : 0;
}

/* The share of a server, asked and achieved. */
static void
write_share(FILE *stream, double asked, size_t n_slots,
            const struct assignment *a)
{
    size_t of = assignment_size(a);

    fprintf(stream, "%.2f%% (asked %.2f%%, %zu of %zu %s)",
            percent(n_slots, of), 100 * asked, n_slots, of,
            assignment_unit(a));
}

static bool
server_changed(const struct server_summary *s)
{
    if (!s->old || !s->new || s->old_slots != s->new_slots
        || s->old_asked != s->new_asked) {
        return true;
    }
    for (const struct property *p = server_properties; p->name; p++) {
        char old[PROPERTY_STRLEN], new[PROPERTY_STRLEN];

        if (property_differs(p, s->old, s->new, old, new)) {
            return true;
        }
    }
    return false;
}

static void
write_server(FILE *stream, const struct pool_summary *pool,
             const struct server_summary *s)
{
    size_t old_of = pool->old ? assignment_size(pool->old) : 0;

    if (!server_changed(s)) {
        return;
    }
    if (!s->new) {
        fprintf(stream, "  server %s: removed, had %zu of %zu %s\n",
                s->name, s->old_slots, old_of, assignment_unit(pool->old));
        return;
    }
    fprintf(stream, "  server %s:", s->name);
    if (!s->old) {
        fputs(" added,", stream);
        write_properties(stream, server_properties, NULL, s->new);
        fputs(", share ", stream);
    } else {
        write_properties(stream, server_properties, s->old, s->new);
        fprintf(stream, " share %.2f%% -> ", percent(s->old_slots, old_of));
    }
    write_share(stream, s->new_asked, s->new_slots, pool->new);
    putc('\n', stream);
}

/* Says which servers begin to leave, and which have left. */
static void
write_leaving(FILE *stream, const struct assignment *old,
              const struct assignment *new)
{
    for (size_t i = 0; i < new->n_leaving; i++) {
        if (!leaving_find(old, new->leaving[i].member)) {
            fprintf(stream, "  server %s: leaving, its connections go on\n",
                    new->leaving[i].server.name);
        }
    }
    for (size_t i = 0; i < old->n_leaving; i++) {
        if (!leaving_find(new, old->leaving[i].member)) {
            fprintf(stream, "  server %s: no longer leaving\n",
                    old->leaving[i].server.name);
        }
    }
}

static void
write_moved(FILE *stream, const struct pool_summary *pool)
{
    size_t of = assignment_size(pool->new);

    if (pool_selection(pool->new->pool) == POLICY_BY_TURN) {
        fprintf(stream, "  %zu turns: the next one stays that of its server\n",
                of);
    } else {
        fprintf(stream, "  %zu of %zu slots move: %.2f%% of new connections "
                "go to another server\n", pool->n_moved, of,
                percent(pool->n_moved, of));
    }
}

static void
write_pool(FILE *stream, const struct pool_summary *pool)
{
    if (!pool->changed) {
        return;
    }
    fprintf(stream, "pool %s:", pool->name);
    if (!pool->new) {
        fputs(" removed\n", stream);
    } else if (!pool->old) {
        fputs(" added,", stream);
        write_properties(stream, pool_properties, NULL, pool->new->pool);
        putc('\n', stream);
    } else {
        write_properties(stream, pool_properties, pool->old->pool,
                         pool->new->pool);
        putc('\n', stream);
    }
    for (size_t i = 0; i < pool->n_servers; i++) {
        write_server(stream, pool, &pool->servers[i]);
    }
    if (pool->old && pool->new) {
        write_leaving(stream, pool->old, pool->new);
        write_moved(stream, pool);
    }
}

static void
write_flow_line(const struct writer *w, const char *color, const char *prefix,
                const struct of_flow *flow)
{
    struct ds s = DS_EMPTY_INITIALIZER;

    oftext_flow(flow, w->ports, &s);
    put_line(w, color, prefix, ds_cstr(&s));
    ds_destroy(&s);
}

static void
write_flow_change(const struct writer *w, const struct change *change)
{
    if (change->old_flow) {
        write_flow_line(w, RED, "-flow ", change->old_flow);
    }
    if (change->new_flow) {
        write_flow_line(w, GREEN, "+flow ", change->new_flow);
    }
}

static void
write_group_whole(const struct writer *w, const char *color, const char *mark,
                  const struct oftext_group *text)
{
    char *head = lb_xasprintf("%sgroup ", mark);
    char *body = lb_xasprintf("%s  ", mark);

    put_line(w, color, head, text->head);
    for (size_t i = 0; i < text->n_buckets; i++) {
        put_line(w, color, body, text->buckets[i]);
    }
    free(head);
    free(body);
}

/* Writes the lines of one bucket position in a group that is modified. */
static void
write_bucket_change(const struct writer *w, const char *old, const char *new)
{
    if (old && (!new || strcmp(old, new))) {
        put_line(w, RED, "-  ", old);
    }
    if (new && (!old || strcmp(old, new))) {
        put_line(w, GREEN, "+  ", new);
    }
}

/* Buckets stand for slots in both, so they are compared place by place. */
static void
write_group_modified(const struct writer *w, const struct oftext_group *old,
                     const struct oftext_group *new)
{
    if (strcmp(old->head, new->head)) {
        put_line(w, RED, "-group ", old->head);
        put_line(w, GREEN, "+group ", new->head);
    } else {
        put_line(w, "", " group ", new->head);
    }
    for (size_t i = 0; i < old->n_buckets || i < new->n_buckets; i++) {
        write_bucket_change(w, i < old->n_buckets ? old->buckets[i] : NULL,
                            i < new->n_buckets ? new->buckets[i] : NULL);
    }
}

static void
write_group_change(const struct writer *w, const struct change *change)
{
    struct oftext_group old, new;

    if (change->old_group) {
        oftext_group_init(&old, change->old_group, w->ports);
    }
    if (change->new_group) {
        oftext_group_init(&new, change->new_group, w->ports);
    }
    if (change->old_group && change->new_group) {
        write_group_modified(w, &old, &new);
    } else if (change->old_group) {
        write_group_whole(w, RED, "-", &old);
    } else {
        write_group_whole(w, GREEN, "+", &new);
    }
    if (change->old_group) {
        oftext_group_uninit(&old);
    }
    if (change->new_group) {
        oftext_group_uninit(&new);
    }
}

static const char *
change_title(const struct change *change)
{
    if (change->new_group) {
        return change->old_group ? "@@ modify group @@" : "@@ add group @@";
    } else if (change->old_group) {
        return "@@ delete group @@";
    } else if (change->new_flow) {
        return change->old_flow ? "@@ modify flow @@" : "@@ add flow @@";
    }
    return "@@ delete flow @@";
}

void
report_changes_text(const struct update *update, const char *from,
                    const char *to, bool color, FILE *stream)
{
    const struct changes *changes = &update->changes;
    struct writer w = {
        .stream = stream, .color = color, .ports = &update->bridge->ports
    };
    const char *title = "";
    struct summary summary;

    summary_compute(&update->bridge->assignments, &update->assignments,
                    &summary);
    for (size_t i = 0; i < summary.n_pools; i++) {
        write_pool(stream, &summary.pools[i]);
    }
    summary_uninit(&summary);
    if (changes->n) {
        put_line(&w, BOLD, "--- ", from);
        put_line(&w, BOLD, "+++ ", to);
    }
    for (size_t i = 0; i < changes->n; i++) {
        const struct change *change = &changes->changes[i];

        if (strcmp(title, change_title(change))) {
            title = change_title(change);
            put_line(&w, CYAN, "", title);
        }
        if (change->old_group || change->new_group) {
            write_group_change(&w, change);
        } else {
            write_flow_change(&w, change);
        }
    }
}

/* How many changes of each kind there are. */
struct change_counts {
    size_t flows[3];            /* Added, modified, deleted. */
    size_t groups[3];
};

static void
count_changes(const struct changes *changes, struct change_counts *counts)
{
    memset(counts, 0, sizeof *counts);
    for (size_t i = 0; i < changes->n; i++) {
        const struct change *c = &changes->changes[i];

        if (c->old_flow || c->new_flow) {
            counts->flows[!c->old_flow ? 0 : c->new_flow ? 1 : 2]++;
        } else {
            counts->groups[!c->old_group ? 0 : c->new_group ? 1 : 2]++;
        }
    }
}

void
report_applied_text(const struct update *update, const char *bridge,
                    FILE *stream)
{
    struct change_counts counts;
    struct summary summary;

    if (!update->changes.n) {
        fprintf(stream, "%s: in sync, nothing sent\n", bridge);
        return;
    }
    count_changes(&update->changes, &counts);
    fprintf(stream, "%s: groups +%zu ~%zu -%zu, flows +%zu ~%zu -%zu\n",
            bridge, counts.groups[0], counts.groups[1], counts.groups[2],
            counts.flows[0], counts.flows[1], counts.flows[2]);
    summary_compute(&update->bridge->assignments, &update->assignments,
                    &summary);
    for (size_t i = 0; i < summary.n_pools; i++) {
        const struct pool_summary *pool = &summary.pools[i];

        if (pool->n_moved) {
            fprintf(stream, "%s: pool %s: %zu of %"PRIu16" slots moved\n",
                    bridge, pool->name, pool->n_moved,
                    pool->new->pool->n_slots);
        }
    }
    summary_uninit(&summary);
}

/* A number, or "-" if it is not known. */
static const char *
format_count(bool known, uint64_t n, char buf[24])
{
    snprintf(buf, 24, known ? "%"PRIu64 : "-", n);
    return buf;
}

/* The state of server 'index', in a word: what it is meant to be, unless
 * something that it does not say keeps connections away. */
static const char *
status_word(const struct assignment *a, size_t index,
            const struct reach *reach)
{
    const struct server *server = &a->pool->servers[index];

    return (reach_is_down(reach, a, index) ? "down"
            : server->backup && server_takes(a->pool, index)
              && reach->servers[index].share <= 0 ? "backup"
            : server_state_name(server_effective_state(server)));
}

static void
write_status_server(FILE *stream, const struct assignment *a, size_t index,
                    double asked, const struct reach *reach,
                    const struct traffic *t)
{
    const struct server *server = &a->pool->servers[index];
    char address[PROPERTY_STRLEN], connections[24];

    server_properties[0].format(server, address, sizeof address);
    fprintf(stream, "  %-16s %-21s %-6s %6.5g %6.2f%% %6.2f%% %5zu "
            "%11s %11"PRIu64" %13"PRIu64" %11"PRIu64" %13"PRIu64"\n",
            server->name, address, status_word(a, index, reach),
            server_thousandths(server) / 1000.0, 100 * asked,
            100 * reach->servers[index].share, assignment_n_slots(a, index),
            format_count(t->counts_connections, t->connections, connections),
            t->packets, t->bytes, t->reply_packets, t->reply_bytes);
}

/* One line for each set: what its servers ask for and get together. */
static void
write_status_sets(FILE *stream, const struct assignment *a,
                  const double *asked)
{
    for (size_t i = 0; i < a->pool->n_sets; i++) {
        const struct server_set *set = &a->pool->sets[i];
        double sum;
        size_t n_slots = assignment_set_slots(a, i + 1, asked, &sum);

        fprintf(stream, "  set %s, weight %"PRIu16": asked %.2f%%, share "
                "%.2f%%, %zu %s\n", set->name, set->weight, 100 * sum,
                percent(n_slots, assignment_size(a)), n_slots,
                assignment_unit(a));
    }
}

/* What is alive, as far as it is not as usual. */
static void
write_status_reach(FILE *stream, const struct assignment *a,
                   const struct reach *reach)
{
    const struct pool *pool = a->pool;
    uint16_t *shares;

    for (size_t i = 0; i < pool->n_servers; i++) {
        const char *interface = server_interface(&pool->servers[i]);

        if (reach_is_down(reach, a, i)) {
            fprintf(stream, "  %s is down: so is its port %s; new connections "
                    "pass it over\n", pool->servers[i].name, interface);
        } else if (!reach->servers[i].is_up && server_takes(pool, i)) {
            fprintf(stream, "  %s may be down: so is its port %s, which is "
                    "not watched\n", pool->servers[i].name, interface);
        }
    }
    if (reach->is_pinned && reach->pinned_tier != tier_first(pool)) {
        fprintf(stream, "  new connections stay at %s: \"preempt\" is "
                "false\n", tier_name(pool, reach->pinned_tier));
    }
    if (tiers_spill(pool, &shares)) {
        size_t first = tier_first(pool);

        fprintf(stream, "  %s is too busy: %.2f%% of its new connections go "
                "to those behind it\n", tier_name(pool, first),
                100.0 * (TIERS_WHOLE - shares[first]) / TIERS_WHOLE);
    }
    free(shares);
    if (reach->unserved > 0) {
        fprintf(stream, "  no server for %.2f%% of new connections: %s\n",
                100 * reach->unserved,
                (pool->on_empty == ON_EMPTY_PASS
                 ? "left to the bridge's other flows" : "dropped"));
    }
    if (reach->n_unserved) {
        fprintf(stream, "  %"PRIu64" packets found no server and were %s\n",
                reach->n_unserved,
                (pool->on_empty == ON_EMPTY_PASS
                 ? "left to the bridge's other flows" : "dropped"));
    }
}

/* What the switch remembers: whose turn it is, and which clients. */
static void
write_status_learned(FILE *stream, const struct assignment *a,
                     const struct reach *reach, const struct learned *learned)
{
    const struct pool *pool = a->pool;
    size_t meant, next;
    size_t n = 0;

    if (pool_selection(pool) == POLICY_BY_TURN) {
        next = learned_next(learned, a, reach, &meant);
        if (next != SIZE_MAX) {
            fprintf(stream, "  next in turn: %s\n", pool->servers[next].name);
        }
    }
    if (pool->affinity.by == AFFINITY_NONE) {
        return;
    }
    for (size_t i = 0; i < pool->n_servers; i++) {
        n += learned_n_clients(learned, a, i);
    }
    fprintf(stream, "  clients remembered: %zu", n);
    for (size_t i = 0; i < pool->n_servers; i++) {
        fprintf(stream, "%s %s %zu", i ? "," : ":", pool->servers[i].name,
                learned_n_clients(learned, a, i));
    }
    putc('\n', stream);
}

/* One line for each server that an operator overrides. */
static void
write_status_overrides(FILE *stream, const struct pool *pool)
{
    for (size_t i = 0; i < pool->n_servers; i++) {
        const struct server *server = &pool->servers[i];
        char text[OVERRIDE_STRLEN];

        if (override_exists(server)) {
            fprintf(stream, "  %s is overridden: %s; the file says %s, weight "
                    "%"PRIu16"\n", server->name,
                    override_format(server, time(NULL), text),
                    server_state_name(server->state), server->weight);
        }
    }
}

/* One line for each server that is not simply up, and one on all of them. */
static void
write_status_health(FILE *stream, const struct pool *pool)
{
    size_t n_up = 0;
    size_t n = 0;

    for (size_t i = 0; i < pool->n_servers; i++) {
        const struct server *server = &pool->servers[i];
        enum health_state state = server->health.state;
        char text[HEALTH_STRLEN];

        n += server_check(pool, server) != NULL;
        n_up += state == HEALTH_UP;
        if (state == HEALTH_DOWN || state == HEALTH_STARTING) {
            fprintf(stream, "  %s is %s\n", server->name,
                    health_format(server, time(NULL), text));
        }
    }
    if (n) {
        fprintf(stream, "  health: %zu of %zu up%s\n", n_up, n,
                (health_panics(pool)
                 ? "; so many are down that all count as up (panic)" : ""));
    }
}

static void
write_status_pool(FILE *stream, const struct reach_view *view,
                  const struct learned *learned, const struct assignment *a,
                  const struct traffic *traffic)
{
    const struct pool *pool = a->pool;
    double *asked = lb_xcalloc(pool->n_servers, sizeof *asked);
    size_t size = assignment_size(a);
    char vip[PROPERTY_STRLEN], policy[PROPERTY_STRLEN], mac[MAC_STRLEN];
    struct reach reach;

    reach_compute(view, a, &reach);
    pool_asked_shares(pool, asked);
    pool_properties[0].format(pool, vip, sizeof vip);
    pool_properties[2].format(pool, policy, sizeof policy);
    fprintf(stream, "pool %s: %s at %s, %s, %s, %zu %s\n",
            pool->name, vip, mac_format(&pool->vip_mac, mac), policy,
            connections_name(pool->connections), size, assignment_unit(a));
    fprintf(stream, "  %-16s %-21s %-6s %6s %7s %7s %5s %11s %11s %13s %11s "
            "%13s\n", "SERVER", "ADDRESS", "STATE", "WEIGHT", "ASKED", "SHARE",
            pool_selection(pool) == POLICY_BY_TURN ? "TURNS" : "SLOTS",
            "CONNECTIONS", "PACKETS", "BYTES", "REPLIES",
            "REPLY-BYTES");
    for (size_t i = 0; i < pool->n_servers; i++) {
        write_status_server(stream, a, i, asked[i], &reach, &traffic[i]);
    }
    write_status_sets(stream, a, asked);
    write_status_reach(stream, a, &reach);
    write_status_learned(stream, a, &reach, learned);
    write_status_overrides(stream, pool);
    write_status_health(stream, pool);
    for (size_t i = 0; i < a->n_leaving; i++) {
        char address[PROPERTY_STRLEN];

        server_properties[0].format(&a->leaving[i].server, address,
                                    sizeof address);
        fprintf(stream, "  %s (%s) is leaving: its connections go on\n",
                a->leaving[i].server.name, address);
    }
    reach_uninit(&reach);
    free(asked);
}

void
report_status_text(const struct bridge *bridge, const struct learned *learned,
                   const char *name, const char *pool, size_t n_drift,
                   FILE *stream)
{
    size_t n = bridge->assignments.n_pools;
    struct traffic **traffic = traffic_collect(bridge);
    struct reach_view view;

    reach_view_init(&view, bridge);
    fprintf(stream, "bridge %s: %zu pool%s", name, bridge->n_pools,
            bridge->n_pools == 1 ? "" : "s");
    if (bridge->has_settings) {
        fprintf(stream, ", tables %d and %d up, priority %d, zone %d, "
                "fallback %s", bridge->settings.entry_table,
                bridge->settings.table_base, bridge->settings.priority,
                bridge->settings.zone,
                fallback_name(bridge->settings.fallback));
    }
    putc('\n', stream);
    if (n_drift) {
        fprintf(stream, "%zu flows or groups are not as lbgen left them: "
                "apply the file again to mend them\n", n_drift);
    }
    for (size_t i = 0; i < n; i++) {
        const struct assignment *a = &bridge->assignments.pools[i];

        if (!pool || !strcmp(pool, a->pool->name)) {
            putc('\n', stream);
            write_status_pool(stream, &view, learned, a, traffic[i]);
        }
    }
    reach_view_uninit(&view);
    traffic_free(traffic, bridge);
}
