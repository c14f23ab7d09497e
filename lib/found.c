/* SPDX-License-Identifier: Apache-2.0 */

#include "lib/found.h"

#include <stdlib.h>
#include <string.h>

#include "lib/path.h"

const struct mac *
server_mac(const struct server *server)
{
    return (server->has_mac ? &server->mac
            : server->has_found_mac ? &server->found_mac
            : NULL);
}

const char *
server_interface(const struct server *server)
{
    return server->interface ? server->interface : server->found_interface;
}

bool
server_is_located(const struct server *server)
{
    return server_mac(server) && server_interface(server);
}

bool
server_leaves_out(const struct server *server)
{
    return !server->has_mac || !server->interface;
}

void
found_set(struct server *server, const struct mac *mac, const char *interface)
{
    server->missing = false;
    if (!server->has_mac) {
        server->found_mac = *mac;
        server->has_found_mac = true;
    }
    if (!server->interface) {
        free(server->found_interface);
        server->found_interface = lb_xstrdup(interface);
    }
}

void
found_set_missing(struct server *server)
{
    server->missing = true;
    server->has_found_mac = false;
    free(server->found_interface);
    server->found_interface = NULL;
}

bool
found_agrees(const struct server *old, const struct server *server)
{
    return (ips_meet(path_next_hop(old), path_next_hop(server))
            && server_is_located(old)
            && (!server->has_mac || mac_equal(&server->mac, server_mac(old)))
            && (!server->interface
                || !strcmp(server->interface, server_interface(old))));
}

void
found_take_over(struct pool *pool, const struct pool *old)
{
    for (size_t i = 0; old && i < pool->n_servers; i++) {
        struct server *server = &pool->servers[i];
        size_t j = pool_find_server(old, server->name);
        const struct server *was = j == SIZE_MAX ? NULL : &old->servers[j];

        if (was && found_agrees(was, server)) {
            found_set(server, server_mac(was), server_interface(was));
            server->missing = was->missing;
        } else if (was && was->missing && server_leaves_out(server)) {
            found_set_missing(server);
        }
    }
}

bool
found_interface_ok(const char *interface)
{
    if (!*interface) {
        return false;
    }
    for (const char *s = interface; *s; s++) {
        if (*s <= ' ' || *s > '~' || *s == '"' || *s == '\\') {
            return false;
        }
    }
    return true;
}

static void
write_one(const struct server *server, FILE *stream)
{
    char mac[MAC_STRLEN];

    fprintf(stream, "\"%s\":{", server->name);
    if (!server_leaves_out(server)) {
        fputs("\"missing\":true", stream);
    }
    if (server->has_found_mac) {
        fprintf(stream, "\"mac\":\"%s\"",
                mac_format(&server->found_mac, mac));
    }
    if (server->found_interface) {
        fprintf(stream, "%s\"interface\":\"%s\"",
                server->has_found_mac ? "," : "", server->found_interface);
    }
    putc('}', stream);
}

void
found_write(const struct pool *pool, FILE *stream)
{
    const char *separator = "";

    putc('{', stream);
    for (size_t i = 0; i < pool->n_servers; i++) {
        if (server_leaves_out(&pool->servers[i])
            || pool->servers[i].missing) {
            fputs(separator, stream);
            write_one(&pool->servers[i], stream);
            separator = ",";
        }
    }
    putc('}', stream);
}

static bool
read_one(const struct node *node, struct server *server)
{
    const struct node *mac = node_get(node, "mac");
    const struct node *interface = node_get(node, "interface");

    server->missing = node_get(node, "missing") != NULL;
    if (mac) {
        if (mac->type != NODE_SCALAR
            || !mac_from_string(mac->scalar, &server->found_mac)) {
            return false;
        }
        server->has_found_mac = true;
    }
    if (interface) {
        if (interface->type != NODE_SCALAR
            || !found_interface_ok(interface->scalar)) {
            return false;
        }
        free(server->found_interface);
        server->found_interface = lb_xstrdup(interface->scalar);
    }
    return true;
}

bool
found_read(const struct node *node, struct pool *pool)
{
    if (node && node->type != NODE_MAPPING) {
        return false;
    }
    for (size_t i = 0; i < pool->n_servers; i++) {
        found_set_missing(&pool->servers[i]);
        pool->servers[i].missing = false;
    }
    for (size_t i = 0; node && i < node->n_pairs; i++) {
        const struct node *value = node->pairs[i].value;
        size_t j = pool_find_server(pool, node->pairs[i].key->scalar);

        if (value->type != NODE_MAPPING
            || (j != SIZE_MAX && !read_one(value, &pool->servers[j]))) {
            return false;
        }
    }
    for (size_t i = 0; i < pool->n_servers; i++) {
        if (!server_is_located(&pool->servers[i])) {
            found_set_missing(&pool->servers[i]);
        }
    }
    return true;
}

const char *
found_name(const struct server *server)
{
    return (!server_leaves_out(server) ? (server->missing ? "no port" : "none")
            : !server_is_located(server) ? "no answer"
            : server->has_mac ? "interface"
            : server->interface ? "mac"
            : "mac and interface");
}
