/* SPDX-License-Identifier: Apache-2.0 */

#include "lib/model-internal.h"

#include <inttypes.h>

#include "lib/check.h"

void
model_write_string(const char *s, FILE *stream)
{
    putc('"', stream);
    for (; *s; s++) {
        unsigned char c = *s;

        if (c == '"' || c == '\\') {
            fprintf(stream, "\\%c", c);
        } else if (c < 0x20 || c == 0x7f) {
            fprintf(stream, "\\u%04x", c);
        } else {
            putc(c, stream);
        }
    }
    putc('"', stream);
}

void
model_write_text(const char *before, const char *key, const char *value,
                 FILE *stream)
{
    fprintf(stream, "%s\"%s\":", before, key);
    model_write_string(value, stream);
}

/* One port as "port", so that all versions of lbgen can read it; nothing for
 * every port. */
static void
write_ports(const struct port_set *ports, FILE *stream)
{
    uint16_t single = port_set_single(ports);

    if (single) {
        fprintf(stream, ",\"port\":%"PRIu16, single);
        return;
    }
    for (size_t i = 0; i < ports->n; i++) {
        const struct port_range *range = &ports->ranges[i];
        const char *quote = range->first == range->last ? "" : "\"";
        char text[PORT_RANGE_STRLEN];

        fprintf(stream, "%s%s%s%s", i ? "," : ",\"ports\":[", quote,
                port_range_format(range, text), quote);
    }
    fputs(ports->n ? "]" : "", stream);
}

void
model_write_ips(const char *before, const char *key, const struct ips *ips,
                FILE *stream)
{
    char ip[IP_STRLEN];

    if (ips->n == 1) {
        model_write_text(before, key, ip_format(&ips->ip[0], ip), stream);
        return;
    }
    fprintf(stream, "%s\"%s\":[", before, key);
    for (size_t i = 0; i < ips->n; i++) {
        fputs(i ? "," : "", stream);
        model_write_string(ip_format(&ips->ip[i], ip), stream);
    }
    putc(']', stream);
}

static void
write_params(const struct pool *pool, FILE *stream)
{
    const struct policy *policy = pool->policy;
    const char *separator = "";

    if (!policy->n_params) {
        return;
    }
    fprintf(stream, ",\"%s\":{", policy->name);
    for (size_t i = 0; i < policy->n_params; i++) {
        if (pool_has_param(pool, i)) {
            char value[PARAM_STRLEN];

            fprintf(stream, "%s\"%s\":%s", separator, policy->params[i].name,
                    pool_format_param(pool, i, value));
            separator = ",";
        }
    }
    putc('}', stream);
}

void
server_write(const struct server *server, FILE *stream)
{
    char mac[MAC_STRLEN];

    model_write_text("{", "name", server->name, stream);
    model_write_ips(",", "ip", &server->ips, stream);
    if (server->has_mac) {
        model_write_text(",", "mac", mac_format(&server->mac, mac), stream);
    }
    if (server->interface) {
        model_write_text(",", "interface", server->interface, stream);
    }
    if (server->port) {
        fprintf(stream, ",\"port\":%"PRIu16, server->port);
    }
    fprintf(stream, ",\"weight\":%"PRIu16, server->weight);
    model_write_text(",", "state", server_state_name(server->state), stream);
    path_write_server(server, stream);
    if (server->check) {
        fputs(",\"check\":", stream);
        check_write(server->check, stream);
    }
    if (server->capacity > 0) {
        fprintf(stream, ",\"capacity\":%.10g", server->capacity);
    }
    if (server->watch != WATCH_AUTO) {
        model_write_text(",", "watch", watch_name(server->watch), stream);
    }
    if (server->backup) {
        fputs(",\"backup\":true", stream);
    }
    putc('}', stream);
}

/* Where the writer is in the list of servers. */
struct list_writer {
    const struct pool *pool;
    FILE *stream;
    size_t set;                 /* Number of the set whose list is open. */
    bool any;                   /* Something is in that list already. */
};

static void
begin_element(struct list_writer *w)
{
    if (w->any) {
        putc(',', w->stream);
    }
    w->any = true;
}

/* Opens the lists of sets from the one that is open down to that of 'set'. */
static void
open_sets(struct list_writer *w, size_t set)
{
    const struct server_set *s;

    if (set == w->set) {
        return;
    }
    s = &w->pool->sets[set - 1];
    open_sets(w, s->parent);
    begin_element(w);
    model_write_text("{", "set", s->name, w->stream);
    fprintf(w->stream, ",\"weight\":%"PRIu16",\"servers\":[", s->weight);
    w->set = set;
    w->any = false;
}

static void
close_set(struct list_writer *w)
{
    fputs("]}", w->stream);
    w->set = w->pool->sets[w->set - 1].parent;
    w->any = true;
}

static void
write_servers(const struct pool *pool, FILE *stream)
{
    struct list_writer w = { .pool = pool, .stream = stream };

    for (size_t i = 0; i < pool->n_servers; i++) {
        const struct server *server = &pool->servers[i];

        while (!pool_set_is_in(pool, server->set, w.set)) {
            close_set(&w);
        }
        open_sets(&w, server->set);
        begin_element(&w);
        server_write(server, stream);
    }
    while (w.set) {
        close_set(&w);
    }
}

/* The check, and what comes of it. */
static void
write_check(const struct pool *pool, FILE *stream)
{
    if (pool->check) {
        fputs(",\"check\":", stream);
        check_write(pool->check, stream);
    }
    if (pool->panic) {
        fprintf(stream, ",\"panic\":%"PRIu8, pool->panic);
    }
    if (pool->on_down == ON_DOWN_KEEP) {
        model_write_text(",", "on_down", on_down_name(pool->on_down), stream);
    }
}

void
pool_write(const struct pool *pool, FILE *stream)
{
    char mac[MAC_STRLEN];

    model_write_text("{", "name", pool->name, stream);
    model_write_ips(",", "vip", &pool->vips, stream);
    model_write_text(",", "vip_mac", mac_format(&pool->vip_mac, mac), stream);
    model_write_text(",", "protocol", protocol_name(pool->protocol), stream);
    write_ports(&pool->ports, stream);
    model_write_text(",", "policy", pool->policy->name, stream);
    write_params(pool, stream);
    model_write_text(",", "connections", connections_name(pool->connections),
               stream);
    affinity_write(&pool->affinity, stream);
    if (pool->drain_timeout) {
        fprintf(stream, ",\"drain_timeout\":%"PRIu16, pool->drain_timeout);
    }
    if (pool->drop_fragments) {
        model_write_text(",", "fragments", "drop", stream);
    }
    if (pool->guard != GUARD_UNSAID) {
        fprintf(stream, ",\"guard\":%s",
                pool->guard == GUARD_ON ? "true" : "false");
    }
    if (pool->connections == CONNECTIONS_TRACKED) {
        model_write_text(",", "on_removal", on_removal_name(pool->on_removal),
                   stream);
    }
    path_write(pool, stream);
    write_check(pool, stream);
    if (pool->weights.policy) {
        fputs(",\"weights\":", stream);
        weights_write(&pool->weights, stream);
    }
    model_write_text(",", "on_empty", on_empty_name(pool->on_empty), stream);
    model_write_text(",", "watch", watch_name(pool->watch), stream);
    fprintf(stream, ",\"slots\":%"PRIu16",\"servers\":[", pool->n_slots);
    write_servers(pool, stream);
    fputs("]}", stream);
}

void
settings_write(const struct settings *settings, FILE *stream)
{
    fprintf(stream, "{\"entry_table\":%"PRIu8",\"table_base\":%"PRIu8
            ",\"priority\":%"PRIu16",\"zone\":%"PRIu16,
            settings->entry_table, settings->table_base,
            settings->priority, settings->zone);
    model_write_text(",", "fallback", fallback_name(settings->fallback),
                     stream);
    putc('}', stream);
}
