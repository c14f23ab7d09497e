/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LB_PORTS_H
#define LB_PORTS_H 1

/* Port names to OpenFlow port numbers and back
 * ============================================
 *
 * A bridge tells its ports.  Without a bridge, ports_invent() makes numbers up
 * for the names in a model: they print as names again, so that text for
 * ovs-ofctl(8) comes out right though nobody knows the numbers. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <openvswitch/ofp-port.h>

#include "lib/model.h"

/* Not a port. */
#define PORT_NONE UINT16_MAX

/* An OpenFlow port. */
struct port {
    char *name;
    uint16_t number;
    bool is_live;               /* The switch takes it for one that works. */
};

struct ports {
    struct port *ports;         /* In the order added, or of ports_sort(). */
    size_t n_ports;
    size_t allocated;
    struct ofputil_port_map map;    /* The same, for printing, but for names
                                     * that are numbers. */
};

void ports_init(struct ports *);
void ports_uninit(struct ports *);
void ports_add(struct ports *, const char *name, uint16_t number,
               bool is_live);

/* Must be called after the last ports_add() and before ports_find(). */
void ports_sort(struct ports *);

/* Gives each name of a port in 'model' a number that no server asks for. */
void ports_invent(struct ports *, const struct model *model);

/* The number of 'interface', which is a name, a number or LOCAL as in a file.
 * PORT_NONE if there is no such port. */
uint16_t ports_find(const struct ports *, const char *interface);

/* Whether there is such a port. */
bool ports_has(const struct ports *, const char *interface);

/* The name of port 'number', or its number as text if it has no name that
 * ports_find() would find again.  The caller frees it. */
char *ports_name(const struct ports *, uint16_t number);

/* Whether there is a port 'number' and it is live. */
bool ports_is_live(const struct ports *, uint16_t number);

/* True if 'interface' is written as a number. */
bool port_is_number(const char *interface);

#endif /* lib/ports.h */
