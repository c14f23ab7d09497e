/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LB_PROBER_H
#define LB_PROBER_H 1

/* Asking servers through the switch
 * =================================
 *
 * Sends questions (lib/probe-frame.h) by packet-out and takes the answers that
 * the flows of lib/compile-check.c give to the connection of lib/watch.h.
 * Nothing else gets there. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <openvswitch/hmap.h>

#include "lib/probe-frame.h"

struct ofpbuf;

struct prober {
    /* Sends a message, which it takes over.  False if the switch does not
     * take it. */
    bool (*send)(void *aux, struct ofpbuf *message);

    /* Asks the switch itself for a sign of life, and whether it has given
     * that one. */
    uint64_t (*ping)(void *aux);
    bool (*has_answered)(void *aux, uint64_t ping);

    void *aux;
    struct hmap asked;          /* Of struct inquiry, by who is asked. */
};

enum inquiry_result {
    INQUIRY_ANSWERED,
    INQUIRY_REFUSED             /* The connection. */
};

/* A question under way.  The caller owns it, and fills in the first half. */
struct inquiry {
    struct probe_ends ends;
    uint16_t vlan;              /* May be VLAN_ANY or VLAN_NONE. */
    uint16_t port;              /* Of OpenFlow, or PACKET_OUT_ALL_PORTS. */
    void (*answered)(void *aux, enum inquiry_result);
    void *aux;

    struct hmap_node node;
    uint32_t nonce;
    int n_sent;
};

/* The caller fills in the functions and 'aux'. */
void prober_init(struct prober *);
void prober_uninit(struct prober *);

/* Asks.  'answered' may be called any time later, until prober_forget(), which
 * the caller calls in any case.  False if the switch does not take it. */
bool prober_ask(struct prober *, struct inquiry *);
void prober_forget(struct prober *, struct inquiry *);

/* Takes in the first 'size' bytes of a frame that came back. */
void prober_take(struct prober *, const void *frame, size_t size);

#endif /* lib/prober.h */
