/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "lbgen/connect.h"
#include "lbgen/report-explain.h"
#include "lib/live.h"
#include "lib/path.h"

/* Reads the port in the first 'n' bytes of 's'; 0 if it is none. */
static uint16_t
parse_port(const char *s, size_t n)
{
    unsigned long value
        = (n && n <= 5 && strspn(s, "0123456789") >= n
           ? strtoul(s, NULL, 10) : 0);

    return value <= UINT16_MAX ? value : 0;
}

/* Reads "IP", "IP:PORT" or "[IP]:PORT". */
static bool
parse_client(const char *s, struct explain_question *question,
             struct diags *diags)
{
    bool bracket = *s == '[';
    const char *address = s + bracket;
    const char *end = (bracket ? strchr(address, ']') : strchr(address, ':'));
    const char *rest;
    char *text;
    bool ok;

    if (!bracket && end && strchr(end + 1, ':')) {
        end = NULL;             /* IPv6 without a port. */
    }
    text = lb_xmemdup0(address, end ? (size_t) (end - address)
                                    : strlen(address));
    ok = (!bracket || end) && ip_from_string(text, &question->client);
    free(text);
    rest = end ? end + bracket : "";
    if (!ok || (*rest && *rest != ':')) {
        diag_error(diags, NULL, "a client is an address, or an address and a "
                   "source port as in 10.0.0.1:34567, not %s", DIAG_QUOTE(s));
        return false;
    }
    question->client_port = *rest ? parse_port(rest + 1, strlen(rest + 1)) : 0;
    if (*rest && !question->client_port) {
        diag_error(diags, NULL, "a client's port must be 1 to 65535, not %s",
                   DIAG_QUOTE(rest + 1));
        return false;
    }
    return true;
}

/* Reads "PORT" or "PORT/PROTOCOL", with NULL for neither. */
static bool
parse_vip_port(const char *s, struct explain_question *question,
               struct diags *diags)
{
    static const enum protocol protocols[] = {
        PROTOCOL_TCP, PROTOCOL_UDP, PROTOCOL_SCTP
    };
    size_t n = s ? strcspn(s, "/") : 0;
    bool ok = s && !s[n];

    if (!s) {
        return true;
    }
    for (size_t i = 0; i < LB_ARRAY_SIZE(protocols) && s[n]; i++) {
        if (!strcmp(&s[n + 1], protocol_name(protocols[i]))) {
            question->protocol = protocols[i];
            ok = true;
        }
    }
    question->vip_port = parse_port(s, n);
    if (!ok || !question->vip_port) {
        diag_error(diags, NULL, "--vip-port must be 1 to 65535, or a port and "
                   "a protocol as in 443/tcp, not %s", DIAG_QUOTE(s));
        return false;
    }
    return true;
}

/* Sees whether the port in question is one of the pool's. */
static bool
check_vip_port(const struct pool *pool,
               const struct explain_question *question, struct diags *diags)
{
    char claim[CLAIM_STRLEN];

    if (!question->vip_port) {
        return true;
    } else if (pool->protocol == PROTOCOL_ANY && !question->protocol) {
        diag_error(diags, NULL, "pool \"%s\" is for every protocol; "
                   "--vip-port needs one, as in %"PRIu16"/tcp", pool->name,
                   question->vip_port);
        return false;
    } else if (!port_set_has(&pool->ports, question->vip_port)
               || (pool->protocol != PROTOCOL_ANY && question->protocol
                   && question->protocol != pool->protocol)) {
        diag_error(diags, NULL, "pool \"%s\" is for %s, which has no port "
                   "%"PRIu16"%s%s", pool->name,
                   claim_format(&pool->vips.ip[0], &pool->ports,
                                pool->protocol, claim), question->vip_port,
                   question->protocol ? "/" : "",
                   question->protocol ? protocol_name(question->protocol)
                                      : "");
        return false;
    }
    return true;
}

/* Finds the pool, and sees whether the client can be one of its own. */
static const struct assignment *
find_pool(const struct bridge *bridge, const char *bridge_name,
          const char *name, const struct explain_question *question,
          struct diags *diags)
{
    const struct assignment *a = assignments_find(&bridge->assignments, name);
    char ip[IP_STRLEN];

    if (!a) {
        diag_error(diags, NULL, "bridge \"%s\" has no pool \"%s\"",
                   bridge_name, name);
    } else if (!ips_find(&a->pool->vips, ip_family(&question->client))) {
        diag_error(diags, NULL, "pool \"%s\" is for %s, and %s is no such "
                   "address", name,
                   family_name(ip_family(&a->pool->vips.ip[0])),
                   ip_format(&question->client, ip));
        a = NULL;
    } else if (!check_vip_port(a->pool, question, diags)) {
        a = NULL;
    }
    return a;
}

/* Has the switch say what it would do, if asked for, and prints it all. */
static int
report(const struct command_context *context, const char *bridge_name,
       struct live *live, const struct explanation *e)
{
    struct live_trace trace;
    char *why;

    if (context->live) {
        if (!live_trace(live, e, &trace, &why)) {
            diag_error(context->diags, NULL, "bridge \"%s\" gave no trace: %s",
                       bridge_name, why);
            free(why);
            return STATUS_FAILED;
        }
        if (e->answer == EXPLAIN_SERVER && !live_trace_agrees(&trace, e)) {
            diag_warning(context->diags, NULL, "the switch would not do what "
                         "was foretold: flows or groups have changed, or "
                         "flows of others come first");
        }
    }
    if (context->json) {
        report_explain_json(e, bridge_name, context->live ? &trace : NULL,
                            stdout);
    } else {
        report_explain_text(e, context->live ? &trace : NULL, stdout);
    }
    if (context->live) {
        live_trace_uninit(&trace);
    }
    return STATUS_OK;
}

/* Adds the connections that the client has, where they can be seen. */
static void
add_connections(struct session *session, const struct bridge *bridge,
                struct explanation *e)
{
    struct connection_list connections;
    char *why;

    if (e->assignment->pool->connections != CONNECTIONS_TRACKED
        || !bridge->has_settings) {
        return;
    }
    if (connection_list_read(session, path_zone(&bridge->settings,
                                                e->assignment->pool),
                             &connections, &why)) {
        explain_add_connections(e, &connections);
        connection_list_uninit(&connections);
    } else {
        free(why);
    }
}

static int
explain(const struct command_context *context, struct session *session,
        const struct bridge *bridge, const struct explain_question *question)
{
    const char *name = session_bridge(session);
    const struct assignment *a = find_pool(bridge, name, context->args[0],
                                           question, context->diags);
    int status = STATUS_FAILED;
    struct learned learned;
    struct explanation *e;
    struct live live;
    bool has_live;
    char *why;

    if (!a) {
        return STATUS_FAILED;
    }
    has_live = live_open(session, &live, &why);
    if (!has_live && context->live) {
        diag_error(context->diags, NULL, "--live needs the control socket of "
                   "the switch, on its own host: %s", why);
    }
    if (!has_live) {
        free(why);
        if (context->live) {
            return STATUS_FAILED;
        }
    }
    if (learned_read(session, &bridge->assignments, &learned,
                     context->diags)) {
        e = explain_create(bridge, name, a, question, &live.facts,
                           &learned);
        add_connections(session, bridge, e);
        status = report(context, name, &live, e);
        explain_destroy(e);
        learned_uninit(&learned);
    }
    if (has_live) {
        live_close(&live);
    }
    return status;
}

/* lbgen explain: which server a client gets, and why. */
int
cmd_explain(const struct command_context *context)
{
    struct explain_question question = { .vip_port = 0 };
    struct bridge *bridge;
    struct session *session;
    int status;

    if (!parse_client(context->args[1], &question, context->diags)
        || !parse_vip_port(context->vip_port, &question, context->diags)) {
        return STATUS_USAGE;
    }
    session = connect_bridge(context, NULL, context->args[0], &bridge);
    if (!session) {
        return STATUS_FAILED;
    }
    status = explain(context, session, bridge, &question);
    bridge_destroy(bridge);
    session_close(session);
    return status;
}
