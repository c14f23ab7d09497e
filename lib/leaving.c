/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "lib/leaving.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "lib/found.h"

/* One element more, of zeros. */
static struct leaving *
grow(struct assignment *a)
{
    a->leaving = lb_xrealloc(a->leaving,
                             (a->n_leaving + 1) * sizeof *a->leaving);
    memset(&a->leaving[a->n_leaving], 0, sizeof *a->leaving);
    return &a->leaving[a->n_leaving++];
}

void
leaving_add(struct assignment *a, const struct server *server,
            uint16_t member)
{
    struct leaving *leaving = grow(a);

    leaving->member = member;
    leaving->server.name = lb_xstrdup(server->name);
    leaving->server.ips = server->ips;
    leaving->server.via = server->via;
    leaving->server.vlan = server->vlan;
    leaving->server.port = server->port;
    leaving->server.mac = *server_mac(server);
    leaving->server.has_mac = true;
    leaving->server.interface = lb_xstrdup(server_interface(server));
    leaving->server.state = SERVER_DRAIN;
}

const struct leaving *
leaving_find(const struct assignment *a, uint16_t member)
{
    for (size_t i = 0; i < a->n_leaving; i++) {
        if (a->leaving[i].member == member) {
            return &a->leaving[i];
        }
    }
    return NULL;
}

void
leaving_uninit(struct assignment *a)
{
    for (size_t i = 0; i < a->n_leaving; i++) {
        server_uninit(&a->leaving[i].server);
    }
    free(a->leaving);
    a->leaving = NULL;
    a->n_leaving = 0;
}

void
leaving_write(const struct assignment *a, FILE *stream)
{
    putc('[', stream);
    for (size_t i = 0; i < a->n_leaving; i++) {
        fprintf(stream, "%s{\"member\":%"PRIu16",\"server\":", i ? "," : "",
                a->leaving[i].member);
        server_write(&a->leaving[i].server, stream);
        putc('}', stream);
    }
    putc(']', stream);
}

static bool
read_one(const struct node *node, struct leaving *leaving)
{
    const struct node *member, *server;
    struct diags *diags;
    unsigned long id;
    char *end;
    bool ok;

    if (node->type != NODE_MAPPING) {
        return false;
    }
    member = node_get(node, "member");
    server = node_get(node, "server");
    if (!server || !member || member->type != NODE_SCALAR) {
        return false;
    }
    id = strtoul(member->scalar, &end, 10);
    if (*end || !id || id > UINT16_MAX) {
        return false;
    }
    leaving->member = id;
    diags = diags_create();
    ok = server_read_alone(server, &leaving->server, diags);
    diags_destroy(diags);
    return ok && server_is_located(&leaving->server);
}

bool
leaving_read(const struct node *node, struct assignment *a)
{
    if (node && node->type != NODE_SEQUENCE) {
        return false;
    }
    for (size_t i = 0; node && i < node->n_items; i++) {
        if (!read_one(node->items[i], grow(a))) {
            return false;
        }
    }
    return true;
}
