/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "lib/conntrack.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/conntrack-internal.h"
#include "lib/path.h"
#include "lib/unixctl.h"
#include "lib/util.h"

/* Finds in what "dpif/show" prints the datapath of 'bridge'.  Datapaths begin
 * a line, "netdev@ovs-netdev: ...", and their bridges follow, " br0:" or with
 * a tab.  The caller frees it.  Stores in '*n' how many datapaths there
 * are. */
static char *
find_datapath(const char *text, const char *bridge, size_t *n)
{
    const char *datapath = NULL;
    size_t datapath_length = 0;
    char *found = NULL;

    *n = 0;
    while (*text) {
        size_t line = strcspn(text, "\n");
        size_t indent = strspn(text, " \t");
        size_t length = strcspn(text + indent, ":\n");

        if (!indent) {
            datapath = text;
            datapath_length = length;
            ++*n;
        } else if (indent <= 2 && length == strlen(bridge) && datapath
                   && !found && text[indent + length] == ':'
                   && !memcmp(text + indent, bridge, length)) {
            found = lb_xmemdup0(datapath, datapath_length);
        }
        text += line + (text[line] == '\n');
    }
    return found;
}

static bool
open_datapath(struct conntrack *ct, const char *bridge, char **why)
{
    const char *const no_args[] = { NULL };
    char *text;

    if (!unixctl_call(ct->unixctl, "dpif/show", no_args, &text)) {
        *why = text;
        return false;
    }
    ct->datapath = find_datapath(text, bridge, &ct->n_datapaths);
    free(text);
    if (!ct->datapath) {
        *why = lb_xasprintf("ovs-vswitchd does not say which datapath bridge "
                            "\"%s\" has", bridge);
    }
    return ct->datapath != NULL;
}

bool
conntrack_open(const struct session *session, struct conntrack *ct,
               char **why)
{
    char *directory, *bridge;
    bool ok = false;

    ct->datapath = NULL;
    if (!session_find_local(session, &directory, &bridge)) {
        *why = lb_xasprintf("only ovs-vswitchd's control socket tells, on the "
                            "switch's own host; \"%s\" is reached by OpenFlow "
                            "alone", session_bridge(session));
        return false;
    }
    ct->unixctl = unixctl_open(directory, session_timeout(session), why);
    if (ct->unixctl) {
        ok = open_datapath(ct, bridge, why);
        if (!ok) {
            conntrack_close(ct);
        }
    }
    free(directory);
    free(bridge);
    return ok;
}

void
conntrack_close(struct conntrack *ct)
{
    unixctl_close(ct->unixctl);
    free(ct->datapath);
}

/* Adds what the lines of 'text' say. */
static void
parse_lines(const char *text, uint16_t zone,
            struct connection_list *connections)
{
    while (*text) {
        struct connection c;

        if (connection_parse(text, &c) && c.zone == zone) {
            connections->connections = lb_grow(
                connections->connections, connections->n,
                &connections->allocated, sizeof *connections->connections);
            connections->connections[connections->n++] = c;
        }
        text += strcspn(text, "\n");
        text += *text == '\n';
    }
}

bool
conntrack_dump(struct conntrack *ct, uint16_t zone,
               struct connection_list *connections, char **why)
{
    char zone_arg[16];
    const char *const args[] = { "-s", ct->datapath, zone_arg, NULL };
    char *text;

    memset(connections, 0, sizeof *connections);
    snprintf(zone_arg, sizeof zone_arg, "zone=%d", zone);
    if (!unixctl_call(ct->unixctl, "dpctl/dump-conntrack", args, &text)) {
        *why = text;
        return false;
    }
    parse_lines(text, zone, connections);
    free(text);
    return true;
}

bool
connection_list_read(struct session *session, uint16_t zone,
                 struct connection_list *connections, char **why)
{
    struct conntrack ct;
    bool ok = false;

    memset(connections, 0, sizeof *connections);
    if (conntrack_open(session, &ct, why)) {
        ok = conntrack_dump(&ct, zone, connections, why);
        conntrack_close(&ct);
    }
    return ok;
}

/* Moves all elements of 'from', which is empty then, to 'to'. */
static void
take_list(struct connection_list *to, struct connection_list *from)
{
    if (from->n) {
        to->connections = lb_xrealloc(to->connections, ((to->n + from->n)
                                                * sizeof *to->connections));
        memcpy(&to->connections[to->n], from->connections,
               from->n * sizeof *to->connections);
        to->n += from->n;
        to->allocated = to->n;
    }
    connection_list_uninit(from);
}

bool
connection_list_read_all(struct session *session,
                         const struct settings *settings,
                         const struct assignments *assignments,
                         struct connection_list *connections, size_t *n_zones,
                         char **why)
{
    bool *done = lb_xcalloc(UINT16_MAX + 1, sizeof *done);
    bool ok = true;

    memset(connections, 0, sizeof *connections);
    *n_zones = 0;
    for (size_t i = 0; i < assignments->n_pools && ok; i++) {
        const struct pool *pool = assignments->pools[i].pool;
        uint16_t zone = path_zone(settings, pool);

        if (pool->connections == CONNECTIONS_TRACKED && !done[zone]) {
            struct connection_list part;

            done[zone] = true;
            ++*n_zones;
            ok = connection_list_read(session, zone, &part, why);
            take_list(connections, &part);
        }
    }
    if (!ok) {
        connection_list_uninit(connections);
    }
    free(done);
    return ok;
}

void
connection_list_uninit(struct connection_list *connections)
{
    free(connections->connections);
    memset(connections, 0, sizeof *connections);
}
