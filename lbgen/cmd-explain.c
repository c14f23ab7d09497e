/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "lbgen/connect.h"
#include "lbgen/report-explain.h"
#include "lib/live.h"
#include "lib/path.h"

/* A client, as the command line names it. */
struct client {
    struct ip ip;
    uint16_t port;              /* 0 if not given. */
};

/* Reads the port in 's'. */
static bool
parse_port(const char *s, uint16_t *port, struct diags *diags)
{
    size_t n = strspn(s, "0123456789");
    unsigned long value = n && n <= 5 ? strtoul(s, NULL, 10) : 0;

    if (s[n] || value < 1 || value > UINT16_MAX) {
        diag_error(diags, NULL, "a client's port must be 1 to 65535, not %s",
                   DIAG_QUOTE(s));
        return false;
    }
    *port = value;
    return true;
}

/* Reads "IP", "IP:PORT" or "[IP]:PORT". */
static bool
parse_client(const char *s, struct client *client, struct diags *diags)
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
    ok = (!bracket || end) && ip_from_string(text, &client->ip);
    free(text);
    rest = end ? end + bracket : "";
    if (!ok || (*rest && *rest != ':')) {
        diag_error(diags, NULL, "a client is an address, or an address and a "
                   "source port as in 10.0.0.1:34567, not %s", DIAG_QUOTE(s));
        return false;
    }
    client->port = 0;
    return !*rest || parse_port(rest + 1, &client->port, diags);
}

/* Finds the pool, and sees whether the client can be one of its own. */
static const struct assignment *
find_pool(const struct bridge *bridge, const char *bridge_name,
          const char *name, const struct client *client, struct diags *diags)
{
    const struct assignment *a = assignments_find(&bridge->assignments, name);
    char ip[IP_STRLEN];

    if (!a) {
        diag_error(diags, NULL, "bridge \"%s\" has no pool \"%s\"",
                   bridge_name, name);
    } else if (!ips_find(&a->pool->vips, ip_family(&client->ip))) {
        diag_error(diags, NULL, "pool \"%s\" is for %s, and %s is no such "
                   "address", name,
                   family_name(ip_family(&a->pool->vips.ip[0])),
                   ip_format(&client->ip, ip));
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
        const struct bridge *bridge, const struct client *client)
{
    const char *name = session_bridge(session);
    const struct assignment *a = find_pool(bridge, name, context->args[0],
                                           client, context->diags);
    struct explanation *e;
    struct live live;
    bool has_live;
    char *why;
    int status;

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
    e = explain_create(bridge, name, a, &client->ip, client->port,
                       &live.facts);
    add_connections(session, bridge, e);
    status = report(context, name, &live, e);
    explain_destroy(e);
    if (has_live) {
        live_close(&live);
    }
    return status;
}

/* lbgen explain: which server a client gets, and why. */
int
cmd_explain(const struct command_context *context)
{
    struct client client;
    struct bridge *bridge;
    struct session *session;
    int status;

    if (!parse_client(context->args[1], &client, context->diags)) {
        return STATUS_USAGE;
    }
    session = connect_bridge(context, NULL, &bridge);
    if (!session) {
        return STATUS_FAILED;
    }
    status = explain(context, session, bridge, &client);
    bridge_destroy(bridge);
    session_close(session);
    return status;
}
