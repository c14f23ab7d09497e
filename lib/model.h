/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LB_MODEL_H
#define LB_MODEL_H 1

/* What a file says: settings, pools, servers
 * ==========================================
 *
 * A model is one file, read, checked and with every default filled in.  It is
 * also what lbgen reads back from a bridge: the record of an installed pool is
 * written in the file's own words and goes through the same reader.
 *
 * lbgen.yaml(5) describes the keys. */

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "lib/address.h"
#include "lib/diag.h"
#include "lib/document.h"
#include "lib/port-set.h"
#include "lib/weights.h"
#include "policies/policy.h"

#define MODEL_MAX_NAME 63       /* Bytes in the name of a pool or server. */
#define MODEL_MAX_WEIGHT 65535
#define MODEL_MAX_POOLS 10000
#define MODEL_MAX_SERVERS 4096  /* In one pool. */
#define MODEL_MAX_SET_LEVELS 3  /* Sets in sets in sets. */

/* Values are those of IPPROTO_*, which is what packets carry. */
enum protocol {
    PROTOCOL_ANY = 0,           /* All of them, ports or not. */
    PROTOCOL_TCP = IPPROTO_TCP,
    PROTOCOL_UDP = IPPROTO_UDP,
    PROTOCOL_SCTP = IPPROTO_SCTP
};

/* How much of its VIP a pool is for.  A pool with more of it gets what those
 * with less leave. */
enum pool_scope {
    POOL_SCOPE_PORTS,           /* Some ports of a protocol. */
    POOL_SCOPE_PROTOCOL,        /* Every port of it. */
    POOL_SCOPE_ALL              /* Everything. */
};

enum connections {
    CONNECTIONS_TRACKED,        /* Connection tracking and NAT. */
    CONNECTIONS_STATELESS,      /* Packets are rewritten both ways. */
    CONNECTIONS_DIRECT          /* Servers have the VIP and answer direct. */
};

/* For CONNECTIONS_STATELESS: whether packets from a server's port to those who
 * do not use the VIP are left alone. */
enum guard {
    GUARD_UNSAID,               /* No, and warn. */
    GUARD_OFF,
    GUARD_ON
};

/* For CONNECTIONS_TRACKED: what becomes of the connections of a server that
 * goes from the pool. */
enum on_removal {
    ON_REMOVAL_CUT,
    ON_REMOVAL_KEEP             /* Until their end. */
};

/* Whether a client stays with the server that its first connection got. */
enum affinity_key {
    AFFINITY_NONE,
    AFFINITY_CLIENT             /* By its address. */
};

struct affinity {
    enum affinity_key by;
    uint16_t timeout;           /* Seconds after its last packet. */
    uint16_t limit;             /* Clients remembered for each server. */
};

/* What "affinity:" means where it does not say. */
#define AFFINITY_TIMEOUT 600
#define AFFINITY_LIMIT 10000

/* Whether new connections go elsewhere at once, all by the switch, when the
 * port of a server goes down. */
enum link_watch {
    WATCH_AUTO,                 /* If no other server is behind the port. */
    WATCH_NONE,
    WATCH_LINK
};

/* What becomes of new connections that no server is there for. */
enum on_empty {
    ON_EMPTY_DROP,
    ON_EMPTY_PASS               /* Left to the bridge's own flows. */
};

enum server_state {
    SERVER_READY,
    SERVER_DRAIN,               /* No new connections. */
    SERVER_MAINT                /* No packets at all. */
};

enum fallback {
    FALLBACK_NONE,              /* The bridge has flows of its own. */
    FALLBACK_NORMAL             /* A learning switch below everything else. */
};

/* Where the replies of tracked servers go. */
enum reply_to {
    REPLY_TO_ROUTE,             /* To the MAC that the server chose. */
    REPLY_TO_SENDER             /* To the MAC that its requests came from. */
};

enum proxy_arp {
    PROXY_ARP_OFF,
    PROXY_ARP_ALL,              /* All but servers and VIPs. */
    PROXY_ARP_PREFIXES          /* And of those, some. */
};

/* How packets get to the servers of a pool and back: see lib/path.h. */
struct path {
    enum reply_to reply_to;
    bool snat;                  /* Servers see another source address: */
    struct ips snat_ips;        /* this one; the VIP if there is none. */
    enum proxy_arp proxy_arp;
    struct prefix *prefixes;    /* For PROXY_ARP_PREFIXES. */
    size_t n_prefixes;
    uint16_t vlan;
};

/* What an operator said at run time of one server.  No part of the file: see
 * lib/override.h. */
struct override {
    bool has_state;
    enum server_state state;
    int64_t state_since;        /* Seconds since the epoch. */

    bool has_weight;
    bool is_percent;            /* 'weight' is percent of the file's. */
    uint16_t weight;
    int64_t weight_since;
};

/* Servers that share a weight.  Sets are counted from 1, each after the one
 * that it is in; number 0 is the pool as a whole. */
struct server_set {
    struct source_loc loc;
    const struct node *node;    /* Borrowed from the document. */
    char *name;
    uint16_t weight;
    size_t parent;              /* Number of the set that it is in. */
};

/* For servers that are checked: what becomes of the tracked connections of one
 * that is found dead. */
enum on_down {
    ON_DOWN_CUT,
    ON_DOWN_KEEP
};

enum health_state {
    HEALTH_UNKNOWN,             /* Not checked so far: counts as up. */
    HEALTH_STARTING,            /* New: nothing before it proves itself. */
    HEALTH_UP,
    HEALTH_DOWN
};

/* What checks found out about one server.  No part of the file: see
 * lib/health.h. */
struct health {
    enum health_state state;
    int64_t since;              /* Seconds since the epoch, of 'state'. */
    char *error;                /* Of the last check that failed, or NULL. */
    uint16_t flaps;             /* See lib/health-track.h. */
    bool out;                   /* Takes it out: by health_settle(). */
};

struct check;

struct server {
    struct source_loc loc;
    const struct node *node;    /* Borrowed from the document. */
    char *name;
    size_t set;                 /* Number of the set that it is in. */
    struct ips ips;             /* Of the families that the pool's VIPs have,
                                 * whatever else the file gives. */
    struct ips via;             /* The router that it is behind, if any;
                                 * what follows is that one's then. */
    uint16_t vlan;              /* VLAN_ANY: that of the pool. */
    struct mac mac;
    bool has_mac;
    char *interface;            /* OVS port name or number, or NULL. */
    struct mac found_mac;       /* What is not given: see lib/found.h. */
    bool has_found_mac;
    char *found_interface;      /* Or NULL. */
    bool missing;               /* Looked for and not found. */
    uint16_t port;              /* Host byte order; 0 for the one that the
                                 * client asked for. */
    uint16_t weight;
    enum server_state state;
    enum link_watch watch;           /* WATCH_AUTO: as the pool's. */
    bool backup;                /* Only where no other server is left. */
    size_t tier;                /* See lib/tiers.h. */
    struct override override;
    struct check *check;        /* Its own, NULL for that of the pool. */
    struct health health;
    double capacity;            /* Relative strength, for "weights"; 0 if left
                                 * out, which means the weight. */
    struct refreshed *refreshed;    /* NULL for none: see lib/refreshed.h. */
};

struct pool {
    struct source_loc loc;
    char *name;
    struct ips vips;
    struct mac vip_mac;         /* Given, or derived from the first VIP. */
    enum protocol protocol;
    struct port_set ports;
    const struct policy *policy;
    long params[POLICY_MAX_PARAMS]; /* As 'policy->params'. */
    enum connections connections;
    enum guard guard;
    struct path path;
    bool drop_fragments;        /* Said so, for pools that are not tracked. */
    enum on_removal on_removal;
    struct check *check;        /* Of its servers, or NULL. */
    bool panicked;              /* For the monitor: when it last began to
                                 * update the bridge. */
    uint8_t panic;              /* Percent down at which all count as up; 0
                                 * for never. */
    enum on_down on_down;
    struct affinity affinity;
    enum on_empty on_empty;
    enum link_watch watch;           /* Of servers that say nothing else. */
    uint16_t drain_timeout;     /* Seconds, 0 for none: see lib/resident.h. */
    uint16_t n_slots;           /* Power of two, SLOTS_MIN to SLOTS_MAX. */
    struct weights weights;     /* Where weights come from at run time. */
    int64_t refreshed_at;       /* Milliseconds since the epoch of the round
                                 * that lib/refreshed.h tells of, or 0. */
    struct server *servers;     /* In file order. */
    size_t n_servers;
    struct server_set *sets;    /* Likewise; number i + 1 is sets[i]. */
    size_t n_sets;
    size_t n_tiers;             /* At least 1: see lib/tiers.h. */
};

/* What goes for the bridge as a whole. */
struct settings {
    uint8_t entry_table;        /* Where packets meet lbgen. */
    uint8_t table_base;         /* First of lbgen's own tables. */
    uint16_t priority;          /* Of flows in 'entry_table'. */
    uint16_t zone;              /* Connection tracking zone. */
    enum fallback fallback;
};

/* A VIP of a pool. */
struct model_vip {
    struct ip ip;
    struct pool *const *pool;   /* Its place in 'pools'. */
};

/* Some of those of a model, borrowed from it. */
struct model_vips {
    const struct model_vip *vips;
    size_t n;
};

/* Owns all that it reaches but file names and nodes, which belong to the
 * document, so it must not outlive that.  What it says is constant once read;
 * overrides and what is found through the switch come on top. */
struct model {
    const char *file_name;      /* Borrowed from the document. */
    char *bridge;               /* NULL if left out. */
    struct settings settings;
    struct pool **pools;        /* In file order; elements owned. */
    size_t n_pools;
    struct model_vip *vips;     /* See model_index_vips(). */
    size_t n_vips;
};

/* Reads and checks a whole file.  Queues every mistake it finds.  Returns NULL
 * if there was any error. */
struct model *model_read(const struct document *, struct diags *);
void model_destroy(struct model *);

/* Warns of what is right, but costs or takes for granted what its user may not
 * expect. */
void model_warn_of_caveats(const struct model *, struct diags *);

/* Reads one pool from the mapping 'node'.  Returns NULL on error. */
struct pool *pool_read(const struct node *node, struct diags *);
void pool_destroy(struct pool *);

/* Reads one server that is no part of a pool into 'server', of zeros.  To be
 * uninitialized in any case. */
bool server_read_alone(const struct node *node, struct server *server,
                       struct diags *);
void server_uninit(struct server *);

/* Reads the settings out of the mapping 'node', leaving alone keys that are no
 * settings.  False on error. */
bool settings_read(const struct node *node, struct settings *, struct diags *);

/* Makes model_pools_at() know the pools that 'model' has now, and whatever
 * takes the place of one and has the same VIPs. */
void model_index_vips(struct model *model);

/* The pools with a VIP 'ip', in the order of the file, whatever their VLAN. */
struct model_vips model_pools_at(const struct model *, const struct ip *ip);

/* The pool called 'name' or NULL; the index in 'pool->servers' of the server
 * called 'name' or SIZE_MAX. */
struct pool *model_find_pool(const struct model *, const char *name);
size_t pool_find_server(const struct pool *, const char *name);

/* The number of the set called 'name' or 0; whether 'set' is 'outer' or is in
 * it. */
size_t pool_find_set(const struct pool *, const char *name);
bool pool_set_is_in(const struct pool *, size_t set, size_t outer);

/* State and weight that count now: those of the file unless an operator said
 * otherwise, or refresh (lib/refreshed.h) of the weight; the weight 0 unless
 * the state is ready and the server not found dead.  In thousandths of the
 * file's unit it is exact. */
enum server_state server_effective_state(const struct server *);
uint32_t server_effective_weight(const struct server *);
uint32_t server_effective_thousandths(const struct server *);

/* The weight before the state is looked at, and the same before refresh is: a
 * percentage of a weight above 0 never makes it 0, unless it is 0 percent. */
uint32_t server_thousandths(const struct server *);
uint32_t server_operator_weight(const struct server *);

/* Whether the parameter of the pool's policy with that index is for any of the
 * pool's VIPs. */
bool pool_has_param(const struct pool *, size_t index);

/* The value of that parameter as a file has it. */
#define PARAM_STRLEN 24
const char *pool_format_param(const struct pool *, size_t index,
                              char buf[PARAM_STRLEN]);

enum pool_scope pool_scope(const struct pool *);

/* Whether 'other', another pool, may be meant by a packet to 'vip' for 'pool'
 * if ports are not known. */
bool pool_may_be_meant(const struct pool *other, const struct pool *pool,
                       const struct ip *vip);

/* Whether the fragments of a packet to 'vip' of 'pool', which is not tracked,
 * all get to one server, although only the first one has ports: those of a
 * direct pool that goes by client and leaves other pools nothing of a
 * protocol. */
bool model_keeps_fragments(const struct model *, const struct pool *,
                           const struct ip *vip);

/* Which ports of 'server' the pool sends to: its own one, or all of the
 * pool's. */
struct port_set server_ports(const struct pool *, const struct server *);

/* What the pool's policy picks a server by. */
enum policy_selection pool_selection(const struct pool *);

/* Whether that is the client's address. */
bool pool_goes_by_client(const struct pool *);

/* How many leading bits of a client's address, of a family, decide on its
 * server, be it by the policy or by affinity; 0 if its connections may go to
 * any. */
int pool_client_prefix(const struct pool *, enum family);

/* Whether slots are flows, as a group has not so many or cannot pick them. */
bool pool_has_slot_flows(const struct pool *);

/* What the pool's policy makes of its servers.  'dist->shares' must have room
 * for 'pool->n_servers' elements.  The policy sees weights in thousandths if
 * refresh has changed any. */
void pool_distribute(const struct pool *, struct distribution *dist);

/* The words that files use. */
const char *protocol_name(enum protocol);
const char *connections_name(enum connections);
const char *server_state_name(enum server_state);
const char *fallback_name(enum fallback);
const char *on_removal_name(enum on_removal);
const char *on_down_name(enum on_down);
const char *on_empty_name(enum on_empty);
const char *watch_name(enum link_watch);

/* "10.0.0.1:80,8000-8010/tcp", with an asterisk for every port, or
 * "10.0.0.1/any". */
#define CLAIM_STRLEN (IP_STRLEN + PORT_SET_STRLEN + 8)
const char *claim_format(const struct ip *, const struct port_set *,
                         enum protocol, char buf[CLAIM_STRLEN]);

/* Writes 'pool' (or 'settings') to 'stream' as one line of JSON, which is YAML
 * as well, in the words of the file: pool_read(pool_write(pool)) == pool. */
void pool_write(const struct pool *, FILE *stream);
void server_write(const struct server *, FILE *stream);
void settings_write(const struct settings *, FILE *stream);

#endif /* lib/model.h */
