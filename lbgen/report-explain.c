/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "lbgen/report-explain.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <openvswitch/dynamic-string.h>
#include <openvswitch/json.h>

#include "lbgen/report.h"
#include "lib/summary.h"

/* Words of explanations, in both forms. */
static const char *const answer_names[] = {
    [EXPLAIN_SERVER] = "server",
    [EXPLAIN_ANY] = "any",
    [EXPLAIN_NONE] = "none",
    [EXPLAIN_UNKNOWN] = "unknown",
};

static const char *const datapath_names[] = {
    [EXPLAIN_DATAPATH_UNKNOWN] = NULL,
    [EXPLAIN_DATAPATH_USERSPACE] = "userspace",
    [EXPLAIN_DATAPATH_KERNEL] = "kernel",
};

static const char *const method_names[] = {
    [PICK_BY_DP_HASH] = "dp_hash",
    [PICK_BY_FIELDS] = "hash",
    [PICK_BY_STEPS] = "hash",
    [PICK_BY_LOW_BITS] = "low_bits",
    [PICK_FIRST] = "first",
    [PICK_OTHERWISE] = NULL,
};

/* Appends what the group hashes to 's': names of fields as ovs-fields(7) has
 * them, with the mask if there is one. */
static void
put_hashed(const struct pick_group *group, struct ds *s)
{
    const char *separator = "";

    if (group->method == PICK_BY_DP_HASH) {
        ds_put_cstr(s, "ip_src, ip_dst, ip_proto, tp_src, tp_dst");
        return;
    } else if (group->method == PICK_BY_STEPS) {
        put_hashed(group->high, s);
        return;
    }
    for (size_t i = 0; i < MFF_N_IDS; i++) {
        const struct mf_field *field = mf_from_id(i);
        const uint8_t *bytes = pick_group_mask(group, i);
        union mf_value mask, all_ones;

        if (!bytes) {
            continue;
        }
        memset(&mask, 0, sizeof mask);
        memset(&all_ones, 0xff, sizeof all_ones);
        memcpy(&mask, bytes, field->n_bytes);
        ds_put_format(s, "%s%s", separator, field->name);
        if (memcmp(&mask, &all_ones, field->n_bytes)) {
            ds_put_char(s, '/');
            mf_format(field, &mask, NULL, NULL, s);
        }
        separator = ", ";
    }
}

static const struct server *
get_server(const struct explanation *e, size_t i)
{
    return &e->assignment->pool->servers[i];
}

static double
share(const struct explanation *e, size_t i)
{
    size_t n = (e->group ? e->group->n_slots
                : assignment_size(e->assignment));

    return n ? (double) e->n_slots[i] / n : 0;
}

static void
write_label(FILE *stream, const char *label)
{
    fprintf(stream, "  %-8s ", label);
}

/* "10.0.1.1:34567" */
static void
write_client(FILE *stream, const struct explanation *e)
{
    const struct ovs_tuple *tuple = &e->packet.tuple;
    bool bracket = e->packet.has_src_port && !ip_is_v4(&tuple->src);
    char ip[IP_STRLEN];

    fprintf(stream, "%s%s%s", bracket ? "[" : "", ip_format(&tuple->src, ip),
            bracket ? "]" : "");
    if (e->packet.has_src_port) {
        fprintf(stream, ":%"PRIu16, tuple->src_port);
    }
}

/* The VIP that the client connects to, with the port, or all that it may
 * be. */
static const char *
format_vip(const struct explanation *e, char buf[CLAIM_STRLEN])
{
    const struct pool *pool = e->assignment->pool;
    const struct ovs_tuple *tuple = &e->packet.tuple;
    struct port_set one = {
        .n = 1, .ranges = {{ tuple->dst_port, tuple->dst_port }}
    };

    return claim_format(&tuple->dst,
                        e->packet.has_dst_port ? &one : &pool->ports,
                        tuple->protocol, buf);
}

/* The answer in one line. */
static void
write_answer(FILE *stream, const struct explanation *e)
{
    char vip[CLAIM_STRLEN];

    write_client(stream, e);
    fprintf(stream, " to pool %s, %s: ", e->assignment->pool->name,
            format_vip(e, vip));
    switch (e->answer) {
    case EXPLAIN_SERVER:
        fprintf(stream, "server %s%s", get_server(e, e->server)->name,
                (e->is_next ? ", unless another connection comes first"
                 : e->remembered ? ", as before" : ""));
        break;
    case EXPLAIN_ANY:
        fputs("one of the servers below, by their shares", stream);
        break;
    case EXPLAIN_NONE:
        fprintf(stream, "no server, packets are %s",
                e->is_passed ? "left to the bridge's other flows" : "dropped");
        break;
    case EXPLAIN_UNKNOWN:
    default:
        fputs("not known", stream);
        break;
    }
    putc('\n', stream);
}

/* What every connection to the pool goes through. */
static void
write_group(FILE *stream, const struct explanation *e)
{
    const struct pick_group *group = e->group;
    const char *datapath = datapath_names[e->facts.datapath];
    struct ds hashed = DS_EMPTY_INITIALIZER;

    if (group->method == PICK_FIRST) {
        write_label(stream, "group");
        fprintf(stream, "%"PRIu32", the first server that is alive\n",
                group->id);
        return;
    }
    if (group->id) {
        write_label(stream, "group");
        fprintf(stream, "%"PRIu32", %zu slots%s\n", group->id,
                group->n_slots, group->is_flows ? ", each a flow" : "");
    } else {
        write_label(stream, "slots");
        fprintf(stream, "%zu, each a flow\n", group->n_slots);
    }
    if (group->method != PICK_OTHERWISE
        && group->method != PICK_BY_LOW_BITS) {
        put_hashed(group, &hashed);
        write_label(stream, "hashed");
        fprintf(stream, "%s", ds_cstr(&hashed));
        if (group->method == PICK_BY_DP_HASH) {
            fprintf(stream, "; by the%s%s datapath", datapath ? " " : "",
                    datapath ? datapath : "");
        }
        putc('\n', stream);
    }
    ds_destroy(&hashed);
}

/* What becomes of the packet in question. */
static void
write_pick(FILE *stream, const struct explanation *e)
{
    const struct pick_bucket *bucket = explain_bucket(e);
    enum pick_method method = e->group->method;

    if (method != PICK_BY_LOW_BITS) {
        write_label(stream, "hash");
        fprintf(stream, "0x%08"PRIx32"\n", e->pick.hash);
    }
    write_label(stream, "slot");
    if (method == PICK_BY_DP_HASH) {
        fprintf(stream, "%zu, the hash modulo %zu\n", e->pick.slot,
                e->group->n_slots);
    } else if (method == PICK_BY_LOW_BITS) {
        fprintf(stream, "%zu, the client's address modulo %zu\n",
                e->pick.slot, e->group->n_slots);
    } else {
        fprintf(stream, "%zu, of highest score for that hash%s\n",
                e->pick.slot, method == PICK_BY_STEPS ? ", in two steps" : "");
    }
    write_label(stream, e->group->is_flows ? "flow" : "bucket");
    fprintf(stream, "%"PRIu32, bucket->id);
    if (bucket->member) {
        fprintf(stream, ", for member %"PRIu16, bucket->member);
    }
    putc('\n', stream);
}

/* Whether the value of a property is not worth a word. */
static bool
is_usual(const char *value)
{
    return (!strcmp(value, "none") || !strcmp(value, "false")
            || !strcmp(value, "auto") || !strcmp(value, "unknown"));
}

static void
write_server(FILE *stream, const struct explanation *e, size_t i)
{
    const struct server *server = get_server(e, i);

    write_label(stream, "server");
    fputs(server->name, stream);
    for (const struct property *p = server_properties; p->name; p++) {
        char value[PROPERTY_STRLEN];

        p->format(server, value, sizeof value);
        if (!is_usual(value)) {
            fprintf(stream, ", %s %s", p->name, value);
        }
    }
    putc('\n', stream);
    write_label(stream, "share");
    if (e->group && e->group->method == PICK_FIRST) {
        fprintf(stream, "%.2f%% (asked %.2f%%)\n", 100 * share(e, i),
                100 * e->asked[i]);
        return;
    }
    fprintf(stream, "%.2f%%, %zu of %zu %s (asked %.2f%%)\n",
            100 * share(e, i), e->n_slots[i],
            e->group ? e->group->n_slots : assignment_size(e->assignment),
            assignment_unit(e->assignment),
            100 * e->asked[i]);
}

static void
write_servers(FILE *stream, const struct explanation *e)
{
    if (e->answer == EXPLAIN_SERVER && !e->is_next) {
        write_server(stream, e, e->server);
        return;
    }
    for (size_t i = 0; i < e->assignment->pool->n_servers; i++) {
        if (e->n_slots[i]) {
            write_server(stream, e, i);
        }
    }
}

/* Connections that the client has already. */
static void
write_tracked(FILE *stream, const struct explanation *e)
{
    if (e->tracked_server != SIZE_MAX) {
        write_label(stream, "tracked");
        fprintf(stream, "this very connection, by server %s",
                get_server(e, e->tracked_server)->name);
        if (*e->tracked_state) {
            fprintf(stream, ", in state %s", e->tracked_state);
        }
        fputs(": its packets go there\n", stream);
    }
    for (size_t i = 0; i < e->assignment->pool->n_servers; i++) {
        if (e->n_tracked[i]) {
            write_label(stream, "tracked");
            fprintf(stream, "%zu connection%s of the client by server %s\n",
                    e->n_tracked[i], e->n_tracked[i] == 1 ? "" : "s",
                    get_server(e, i)->name);
        }
    }
}

static void
write_trace(FILE *stream, const struct live_trace *trace)
{
    const char *p = trace->text;

    fprintf(stream, "\nofproto/trace %s\n", trace->flow);
    while (*p) {
        int length = (int) strcspn(p, "\n");

        fprintf(stream, "%s%.*s\n", length ? "  " : "", length, p);
        p += length + (p[length] == '\n');
    }
}

void
report_explain_text(const struct explanation *e,
                    const struct live_trace *trace, FILE *stream)
{
    const struct pool *pool = e->assignment->pool;

    write_answer(stream, e);
    write_label(stream, "policy");
    fprintf(stream, "%s, %s: %s %s\n", pool->policy->name,
            connections_name(pool->connections),
            pool->connections == CONNECTIONS_TRACKED
            ? "the first packet of a connection" : "each packet",
            pool_selection(pool) == POLICY_BY_TURN ? "takes a turn"
                                                   : "meets the group");
    if (e->group && !e->is_resident && !e->remembered) {
        write_group(stream, e);
        if (e->has_pick) {
            write_pick(stream, e);
        }
    }
    write_servers(stream, e);
    write_tracked(stream, e);
    for (size_t i = 0; i < e->n_notes; i++) {
        write_label(stream, "note");
        fprintf(stream, "%s\n", e->notes[i]);
    }
    if (trace) {
        write_label(stream, "live");
        if (!trace->has_bucket) {
            fprintf(stream, "the switch's trace %s\n",
                    (live_trace_agrees(trace, e) ? "leads to the same server"
                     : "ends before a bucket is picked"));
        } else {
            fprintf(stream, "the switch takes bucket %"PRIu32"%s\n",
                    trace->bucket, (live_trace_agrees(trace, e)
                                    ? " and the same server" : ""));
        }
        write_trace(stream, trace);
    }
}

static void
put_string(struct json *object, const char *name, const char *value)
{
    json_object_put(object, name,
                    value ? json_string_create(value) : json_null_create());
}

/* A number, or null unless 'known'. */
static void
put_integer(struct json *object, const char *name, bool known, long long value)
{
    json_object_put(object, name,
                    known ? json_integer_create(value) : json_null_create());
}

static void
put_share(struct json *object, const char *name, double value)
{
    json_object_put(object, name,
                    json_real_create((long) (value * 1e6 + .5) / 1e6));
}

/* What the switch remembers of the client. */
static void
put_remembered(struct json *object, const struct explanation *e)
{
    const struct learned_client *client = e->remembered;
    struct json *remembered;

    if (!client) {
        put_string(object, "remembered", NULL);
        return;
    }
    remembered = json_object_create();
    put_integer(remembered, "for", true, client->duration);
    put_integer(remembered, "timeout", true, client->idle_timeout);
    put_integer(remembered, "idle", client->idle_age >= 0, client->idle_age);
    json_object_put(object, "remembered", remembered);
}

static void
put_client(struct json *object, const struct explanation *e)
{
    struct json *client = json_object_create();
    char ip[IP_STRLEN];

    put_string(client, "ip", ip_format(&e->packet.tuple.src, ip));
    put_integer(client, "port", e->packet.has_src_port,
                e->packet.tuple.src_port);
    json_object_put(object, "client", client);
}

/* Where the client connects to. */
static void
put_destination(struct json *object, const struct explanation *e)
{
    struct json *to = json_object_create();
    char ip[IP_STRLEN];

    put_string(to, "ip", ip_format(&e->packet.tuple.dst, ip));
    put_integer(to, "port", e->packet.has_dst_port, e->packet.tuple.dst_port);
    put_string(to, "protocol", protocol_name(e->packet.tuple.protocol));
    json_object_put(object, "to", to);
}

static void
put_pool(struct json *object, const struct explanation *e)
{
    const struct pool *pool = e->assignment->pool;
    char vip[PROPERTY_STRLEN];

    pool_properties[0].format(pool, vip, sizeof vip);
    put_string(object, "pool", pool->name);
    put_string(object, "vip", vip);
    put_string(object, "policy", pool->policy->name);
    put_string(object, "connections", connections_name(pool->connections));
}

static void
put_pick(struct json *object, const struct explanation *e)
{
    const struct pick_bucket *bucket = e->has_pick ? explain_bucket(e) : NULL;
    struct ds hashed = DS_EMPTY_INITIALIZER;

    put_string(object, "datapath", datapath_names[e->facts.datapath]);
    put_integer(object, "group", e->group && e->group->id,
                e->group ? e->group->id : 0);
    put_integer(object, "slots", e->group, e->group ? e->group->n_slots : 0);
    put_string(object, "no_server", (e->answer != EXPLAIN_NONE ? NULL
                                     : e->is_passed ? "pass" : "drop"));
    put_string(object, "method",
               e->group ? method_names[e->group->method] : NULL);
    if (e->group) {
        put_hashed(e->group, &hashed);
    }
    put_string(object, "hashed", *ds_cstr(&hashed) ? ds_cstr(&hashed) : NULL);
    ds_destroy(&hashed);
    put_integer(object, "hash", e->has_pick, e->pick.hash);
    put_integer(object, "slot", e->has_pick, e->pick.slot);
    put_integer(object, "bucket", bucket, bucket ? bucket->id : 0);
    put_integer(object, "member", bucket, bucket ? bucket->member : 0);
}

/* All servers of the pool, also those without slots. */
static void
put_servers(struct json *object, const struct explanation *e)
{
    struct json *servers = json_array_create_empty();

    for (size_t i = 0; i < e->assignment->pool->n_servers; i++) {
        struct json *server = json_object_create();

        put_string(server, "name", get_server(e, i)->name);
        for (const struct property *p = server_properties; p->name; p++) {
            char value[PROPERTY_STRLEN];

            p->format(get_server(e, i), value, sizeof value);
            if (!strcmp(p->name, "weight")) {
                put_integer(server, p->name, true, strtol(value, NULL, 10));
            } else {
                put_string(server, p->name, value);
            }
        }
        json_object_put(server, "health",
                        report_health_json(get_server(e, i)));
        put_integer(server, "slots", true, e->n_slots[i]);
        put_share(server, "share", share(e, i));
        put_share(server, "asked", e->asked[i]);
        put_integer(server, "tracked", e->knows_tracked, e->n_tracked[i]);
        json_array_add(servers, server);
    }
    json_object_put(object, "servers", servers);
}

static void
put_trace(struct json *object, const struct explanation *e,
          const struct live_trace *trace)
{
    struct json *live;

    if (!trace) {
        put_string(object, "live", NULL);
        return;
    }
    live = json_object_create();
    put_string(live, "flow", trace->flow);
    put_integer(live, "bucket", trace->has_bucket, trace->bucket);
    put_integer(live, "member", trace->member, trace->member);
    json_object_put(live, "agrees",
                    json_boolean_create(live_trace_agrees(trace, e)));
    put_string(live, "trace", trace->text);
    json_object_put(object, "live", live);
}

void
report_explain_json(const struct explanation *e, const char *bridge,
                    const struct live_trace *trace, FILE *stream)
{
    struct json *object = json_object_create();
    struct json *notes = json_array_create_empty();
    char *text;

    put_string(object, "bridge", bridge);
    put_pool(object, e);
    put_client(object, e);
    put_destination(object, e);
    put_string(object, "answer", answer_names[e->answer]);
    put_string(object, "server", (e->answer == EXPLAIN_SERVER
                                  ? get_server(e, e->server)->name : NULL));
    json_object_put(object, "resident", json_boolean_create(e->is_resident));
    json_object_put(object, "next", json_boolean_create(e->is_next));
    put_remembered(object, e);
    put_pick(object, e);
    put_servers(object, e);
    put_string(object, "tracked", (e->tracked_server != SIZE_MAX
                                   ? get_server(e, e->tracked_server)->name
                                   : NULL));
    for (size_t i = 0; i < e->n_notes; i++) {
        json_array_add(notes, json_string_create(e->notes[i]));
    }
    json_object_put(object, "notes", notes);
    put_trace(object, e, trace);

    text = json_to_string(object, JSSF_PRETTY | JSSF_SORT);
    fprintf(stream, "%s\n", text);
    free(text);
    json_destroy(object);
}
