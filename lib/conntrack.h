/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LB_CONNTRACK_H
#define LB_CONNTRACK_H 1

/* Tracked connections: seeing them and cutting them
 * =================================================
 *
 * Connections live in a table of the switch's datapath, each in a zone.
 * OpenFlow can take some out of it but not say which there are; the control
 * socket can, where it is in reach (lib/unixctl.h).
 *
 * To cut is to forget: the next packet of the client starts a new connection,
 * which meets the group and another server.  That one knows nothing of it: its
 * RST makes a TCP client connect anew at once, and with UDP it just goes
 * on. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/assign.h"
#include "lib/diag.h"
#include "lib/model.h"
#include "lib/session.h"

#define CONNECTION_STATE_SIZE 16
#define CONNECTION_START_SIZE 24

/* One tracked connection.  Ports in host byte order. */
struct connection {
    uint8_t protocol;           /* IPPROTO_*, 0 if not known. */
    uint16_t icmp_id;           /* Of ICMP, which has no ports. */
    uint8_t icmp_type;
    struct ip client;
    struct ip vip;              /* What the client sent to. */
    struct ip server;           /* What sends replies. */
    uint16_t client_port;
    uint16_t vip_port;
    uint16_t server_port;
    uint16_t zone;
    uint32_t mark;
    int64_t timeout;            /* Seconds to live without another packet, -1
                                 * if not known. */
    char state[CONNECTION_STATE_SIZE];  /* Of TCP; or "". */
    char start[CONNECTION_START_SIZE];  /* Date and time, or "" if the datapath
                                         * keeps none. */
};

/* The member id of the server that lbgen gave the connection to.  0 for one
 * that is not lbgen's. */
uint16_t connection_member(const struct connection *);

/* "tcp", "icmp", ..., or "other" for one that has no name here. */
const char *connection_protocol(const struct connection *);

/* True if nothing but a time-out is left of it. */
bool connection_is_over(const struct connection *);

struct connection_list {
    struct connection *connections;
    size_t n;
    size_t allocated;
};

/* Reads one line of what "ovs-appctl dpctl/dump-conntrack -s" prints, not
 * necessarily with its end.  False if it is none. */
bool connection_parse(const char *line, struct connection *);

/* Fills in '*connections' with those in 'zone', in no order.  Returns false,
 * with a reason in '*why' for the caller to free, if they cannot be seen: that
 * takes the switch's own host. */
bool connection_list_read(struct session *, uint16_t zone,
                      struct connection_list *connections, char **why);

/* Likewise those in the zones of all tracked pools of 'assignments', and
 * stores in '*n_zones' how many zones that is. */
bool connection_list_read_all(struct session *, const struct settings *,
                              const struct assignments *assignments,
                              struct connection_list *connections,
                              size_t *n_zones, char **why);

void connection_list_uninit(struct connection_list *);

/* Which connections to cut: those to this VIP, and of them those to one
 * server, or all. */
struct conntrack_target {
    uint16_t vlan;              /* Of the pool. */
    enum protocol protocol;
    struct ip vip;
    struct port_set ports;      /* Of the VIP. */
    bool any_server;            /* Else: */
    struct ip server;
    uint16_t server_port;       /* 0 for any. */
    uint16_t member;            /* Spares those of another server with the same
                                 * address, where it can be told; 0 for any. */
};

/* A target for what comes to 'vip' of 'pool' and goes to 'server', or to all
 * its servers if that is NULL.  A server has an address of the VIP's
 * family. */
struct conntrack_target conntrack_target(const struct pool *pool,
                                         const struct ip *vip,
                                         const struct server *server,
                                         uint16_t member);

/* Fills in targets for what comes to 'pool' and goes to 'server', one for each
 * VIP, and returns their number. */
size_t conntrack_targets(const struct pool *pool, const struct server *server,
                         uint16_t member,
                         struct conntrack_target targets[N_FAMILIES]);

/* Whether 'target' means 'connection'. */
bool conntrack_target_matches(const struct conntrack_target *target,
                              const struct connection *connection);

/* What came of cutting. */
struct conntrack_result {
    bool counted;               /* Else how many there were is not known. */
    size_t n_cut;
    size_t n_left;              /* There are some that would not go. */
};

/* Cuts the connections that any of the 'n' 'targets' means, and no others.
 * 'zone' is that of the settings; each VLAN has its own (lib/path.h).  To be
 * called when no flow sends new ones there any more.  A switch that cannot do
 * it is a warning: its old connections get no more packets then, and go after
 * their time.  Returns false after queueing an error if the session is lost.
 */
bool conntrack_cut(struct session *, uint16_t zone,
                   const struct conntrack_target *targets, size_t n,
                   struct conntrack_result *, struct diags *);

#endif /* lib/conntrack.h */
