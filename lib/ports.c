/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "lib/ports.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <openflow/openflow.h>

#include "lib/found.h"

void
ports_init(struct ports *ports)
{
    memset(ports, 0, sizeof *ports);
    ofputil_port_map_init(&ports->map);
}

void
ports_uninit(struct ports *ports)
{
    for (size_t i = 0; i < ports->n_ports; i++) {
        free(ports->ports[i].name);
    }
    free(ports->ports);
    ofputil_port_map_destroy(&ports->map);
}

void
ports_add(struct ports *ports, const char *name, uint16_t number,
          bool is_live)
{
    struct port *port;

    ports->ports = lb_grow(ports->ports, ports->n_ports, &ports->allocated,
                           sizeof *ports->ports);
    port = &ports->ports[ports->n_ports++];
    port->name = lb_xstrdup(name);
    port->number = number;
    port->is_live = is_live;
    /* Open vSwitch puts names that are numbers in quotes, and looks for them
     * among the names then. */
    if (!port_is_number(name)) {
        ofputil_port_map_put(&ports->map, (OVS_FORCE ofp_port_t) number,
                             name);
    }
}

static int
compare_ports(const void *a_, const void *b_)
{
    const struct port *a = a_;
    const struct port *b = b_;

    return strcmp(a->name, b->name);
}

void
ports_sort(struct ports *ports)
{
    if (ports->n_ports) {
        qsort(ports->ports, ports->n_ports, sizeof *ports->ports,
              compare_ports);
    }
}

bool
port_is_number(const char *interface)
{
    return isdigit((unsigned char) interface[0])
        && interface[strspn(interface, "0123456789")] == '\0';
}

/* The port called 'name', or NULL. */
static const struct port *
find_name(const struct ports *ports, const char *name)
{
    struct port key = { .name = CONST_CAST(char *, name) };

    return (ports->n_ports
            ? bsearch(&key, ports->ports, ports->n_ports, sizeof key,
                      compare_ports)
            : NULL);
}

/* The port 'number', or NULL. */
static const struct port *
find_number(const struct ports *ports, uint16_t number)
{
    for (size_t i = 0; i < ports->n_ports; i++) {
        if (ports->ports[i].number == number) {
            return &ports->ports[i];
        }
    }
    return NULL;
}

bool
ports_is_live(const struct ports *ports, uint16_t number)
{
    const struct port *port = find_number(ports, number);

    return port && port->is_live;
}

uint16_t
ports_find(const struct ports *ports, const char *interface)
{
    const struct port *port;

    if (!strcasecmp(interface, "LOCAL")) {
        return (OVS_FORCE uint16_t) OFPP_LOCAL;
    } else if (port_is_number(interface)) {
        unsigned long number = strtoul(interface, NULL, 10);

        return (number < PORT_NONE && find_number(ports, number)
                ? number : PORT_NONE);
    }
    port = find_name(ports, interface);
    return port ? port->number : PORT_NONE;
}

bool
ports_has(const struct ports *ports, const char *interface)
{
    return ports_find(ports, interface) != PORT_NONE;
}

char *
ports_name(const struct ports *ports, uint16_t number)
{
    for (size_t i = 0; i < ports->n_ports; i++) {
        const struct port *port = &ports->ports[i];

        if (port->number == number && found_interface_ok(port->name)
            && ports_find(ports, port->name) == number) {
            return lb_xstrdup(port->name);
        }
    }
    return (number == (OVS_FORCE uint16_t) OFPP_LOCAL ? lb_xstrdup("LOCAL")
            : lb_xasprintf("%"PRIu16, number));
}

static int
compare_names(const void *a_, const void *b_)
{
    const char *const *a = a_;
    const char *const *b = b_;

    return strcmp(*a, *b);
}

/* Collects the interfaces of all servers of 'model', each once, sorted.  The
 * caller frees the array. */
static const char **
collect_interfaces(const struct model *model, size_t *n)
{
    const char **names = NULL;
    size_t allocated = 0;
    size_t n_all = 0;

    for (size_t i = 0; i < model->n_pools; i++) {
        const struct pool *pool = model->pools[i];

        for (size_t j = 0; j < pool->n_servers; j++) {
            if (pool->servers[j].interface) {
                names = lb_grow(names, n_all, &allocated, sizeof *names);
                names[n_all++] = pool->servers[j].interface;
            }
        }
    }
    if (names) {
        qsort(names, n_all, sizeof *names, compare_names);
    }
    *n = 0;
    for (size_t i = 0; i < n_all; i++) {
        if (!*n || strcmp(names[*n - 1], names[i])) {
            names[(*n)++] = names[i];
        }
    }
    return names;
}

void
ports_invent(struct ports *ports, const struct model *model)
{
    uint16_t number = (OVS_FORCE uint16_t) OFPP_MAX - 1;
    size_t n;
    const char **names = collect_interfaces(model, &n);

    for (size_t i = 0; i < n; i++) {
        if (port_is_number(names[i])) {
            ports_add(ports, names[i], strtoul(names[i], NULL, 10), true);
        }
    }
    for (size_t i = 0; i < n; i++) {
        if (!port_is_number(names[i]) && strcasecmp(names[i], "LOCAL")) {
            while (find_number(ports, number) && number) {
                number--;
            }
            ports_add(ports, names[i], number--, true);
        }
    }
    ports_sort(ports);
    free(names);
}
