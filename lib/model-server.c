/* SPDX-License-Identifier: Apache-2.0 */

/* Reading a server. */

#include "lib/model-internal.h"

#include <string.h>
#include <strings.h>

/* Largest OpenFlow port number that is not reserved. */
#define MAX_PORT_NUMBER 65279

/* The bridge's own port, as a number. */
#define LOCAL_PORT "65534"

/* Longest name of a network interface. */
#define MAX_INTERFACE 15

static bool
read_server_name(const struct reader *r, const struct node *node,
                 void *server_)
{
    struct server *server = server_;

    return value_name(r, node, &server->name);
}

static bool
read_server_ip(const struct reader *r, const struct node *node, void *server_)
{
    struct server *server = server_;

    return value_ips(r, node, &server->ips);
}

static bool
read_server_mac(const struct reader *r, const struct node *node, void *server_)
{
    struct server *server = server_;

    server->has_mac = value_mac(r, node, &server->mac);
    return server->has_mac;
}

/* What is wrong with 'name' as the name of a port, NULL if nothing. */
static const char *
find_interface_flaw(const char *name)
{
    /* What ovs-ofctl(8) takes for something else. */
    static const char *const reserved[] = {
        "in_port", "table", "normal", "flood", "all", "controller", "none",
        "any", "unset",
    };

    if (!strcasecmp(name, "LOCAL")) {
        return "which must be in capitals, for the bridge's own port";
    }
    for (size_t i = 0; i < LB_ARRAY_SIZE(reserved); i++) {
        if (!strcasecmp(name, reserved[i])) {
            return "which has another meaning in OpenFlow";
        }
    }
    for (const char *s = name; *s; s++) {
        if (*s <= ' ' || *s > '~' || strchr(",\"'\\", *s)) {
            return "which has characters that no port name has";
        }
    }
    return strlen(name) > MAX_INTERFACE ? "which is longer than 15" : NULL;
}

static bool
read_server_interface(const struct reader *r, const struct node *node,
                      void *server_)
{
    struct server *server = server_;
    const char *text, *flaw;

    if (!value_text(r, node, &text)) {
        return false;
    }
    if (!text[strspn(text, "0123456789")]) {
        /* As a plain number, even in quotes: no port is called "5" where
         * port 5 is another one. */
        struct node plain = *node;
        long number;

        plain.plain = true;
        if (!strcmp(text, LOCAL_PORT)) {
            reader_error(r, &node->loc, "%s must be LOCAL for the bridge's "
                         "own port, not " LOCAL_PORT, r->key);
            return false;
        }
        if (!value_number(r, &plain, 1, MAX_PORT_NUMBER, &number)) {
            return false;
        }
    } else if (strcmp(text, "LOCAL")) {
        flaw = find_interface_flaw(text);
        if (flaw) {
            reader_error(r, &node->loc, "%s must be the name or number of a "
                         "port, not %s, %s", r->key, DIAG_QUOTE(text), flaw);
            return false;
        }
    }
    server->interface = lb_xstrdup(text);
    return true;
}

static bool
read_server_port(const struct reader *r, const struct node *node,
                 void *server_)
{
    struct server *server = server_;

    return value_u16(r, node, 1, UINT16_MAX, &server->port);
}

static bool
read_server_weight(const struct reader *r, const struct node *node,
                   void *server_)
{
    struct server *server = server_;

    return value_u16(r, node, 0, MODEL_MAX_WEIGHT, &server->weight);
}

static bool
read_server_state(const struct reader *r, const struct node *node,
                  void *server_)
{
    struct server *server = server_;
    int value;

    if (!value_word(r, node, server_state_words, &value)) {
        return false;
    }
    server->state = value;
    return true;
}

/* Read when that of the pool is known: see lib/model-pool.c. */
static bool
read_server_check(const struct reader *r LB_UNUSED,
                  const struct node *node LB_UNUSED, void *server LB_UNUSED)
{
    return true;
}

static bool
read_server_capacity(const struct reader *r, const struct node *node,
                     void *server_)
{
    static const struct weight_param capacity = {
        "capacity", WEIGHT_NUMBER, 0.001, 1e6, 0
    };
    struct server *server = server_;

    return weight_param_read(r, node, &capacity, &server->capacity);
}

static bool
read_server_watch(const struct reader *r, const struct node *node,
                  void *server_)
{
    struct server *server = server_;
    int value;

    if (!value_word(r, node, server_watch_words, &value)) {
        return false;
    }
    server->watch = value;
    return true;
}

static bool
read_server_backup(const struct reader *r, const struct node *node,
                   void *server_)
{
    struct server *server = server_;

    return value_flag(r, node, &server->backup);
}

static const struct field server_fields[] = {
    { "name", read_server_name, "name is missing" },
    { "ip", read_server_ip, "ip is missing" },
    { "via", read_server_via, NULL },
    { "vlan", read_server_vlan, NULL },
    { "mac", read_server_mac, NULL },
    { "interface", read_server_interface, NULL },
    { "port", read_server_port, NULL },
    { "weight", read_server_weight, NULL },
    { "state", read_server_state, NULL },
    { "check", read_server_check, NULL },
    { "capacity", read_server_capacity, NULL },
    { "watch", read_server_watch, NULL },
    { "backup", read_server_backup, NULL },
    { NULL, NULL, NULL }
};

void
server_read(const struct reader *parent, const struct node *node,
            struct server *server)
{
    char owner[OWNER_SIZE];
    struct reader r = { .diags = parent->diags };
    const char *known[MAX_KEYS] = { NULL };

    server->loc = node->loc;
    server->node = node;
    server->weight = 1;
    if (node->type != NODE_MAPPING) {
        reader_error(parent, &node->loc, "a server must be a mapping, not %s",
                     node_type_name(node));
        return;
    }
    r.owner = owner_format("server", node_get_name(node), owner);
    if (node_get(node, "servers")) {
        reader_error(&r, &node->loc, "a server has no \"servers\"; a set of "
                     "them begins with \"set: NAME\"");
        return;
    }
    fields_names(server_fields, known, 0);
    fields_check_known(&r, node, known, NULL);
    fields_read(&r, node, server_fields, server);
}

bool
server_read_alone(const struct node *node, struct server *server,
                  struct diags *diags)
{
    size_t n_errors = diags_n_errors(diags);
    struct reader reader = { .diags = diags };

    server_read(&reader, node, server);
    return diags_n_errors(diags) == n_errors;
}
