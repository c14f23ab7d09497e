/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LB_LIVE_H
#define LB_LIVE_H 1

/* What the running switch says of itself
 * ======================================
 *
 * Over the control socket, so on the switch's own host only: which datapath a
 * bridge has, which hash function the switch was built with, and what it would
 * do with a packet.  Nothing is changed and no packet is sent. */

#include <stdbool.h>
#include <stdint.h>

#include "lib/explain.h"
#include "lib/session.h"
#include "lib/unixctl.h"

struct live {
    struct unixctl *unixctl;
    char *bridge;               /* What the switch calls it. */
    struct explain_facts facts; /* 'nic_port' owned. */
};

/* Connects and finds out 'live->facts'.  If it cannot, stores a reason in
 * '*why' for the caller to free; 'live' is then all zeros and needs no
 * closing. */
bool live_open(const struct session *, struct live *live, char **why);
void live_close(struct live *);

/* Fills in the datapath and the NIC's port of 'facts' from what "ovs-appctl
 * dpif/show" prints. */
void live_parse_datapath(const char *text, const char *bridge,
                         struct explain_facts *facts);

/* What the switch says that it would do with a packet. */
struct live_trace {
    char *flow;                 /* The packet, as ofproto/trace takes it. */
    char *text;                 /* The answer, without scores of buckets. */
    bool has_bucket;
    uint32_t bucket;            /* Id. */
    uint16_t member;            /* Of the server it goes to, 0 for none. */
};

/* Has the packet of 'explanation' traced, as that of a new connection.  The
 * switch does not know the datapath's hash in a trace, so if there is a
 * forecast of it, that goes in.  False if there is no trace, with a reason in
 * '*why' for the caller to free. */
bool live_trace(struct live *, const struct explanation *explanation,
                struct live_trace *trace, char **why);
void live_trace_uninit(struct live_trace *);

/* Whether the switch and 'explanation' say the same. */
bool live_trace_agrees(const struct live_trace *,
                       const struct explanation *);

#endif /* lib/live.h */
