/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LB_COMPILE_POOL_H
#define LB_COMPILE_POOL_H 1

/* What the parts of the compiler share
 * ====================================
 *
 * Internal to lib/compile*.c.  One file for each kind of "connections:", which
 * emits the flows of one pool of that kind. */

#include <stdint.h>

#include <openvswitch/match.h>
#include <openvswitch/ofpbuf.h>

#include "lib/compile.h"
#include "lib/group-repeat.h"
#include "lib/layout.h"
#include "lib/liveness.h"

/* Connection tracking state bits, as in ovs-fields(7), "ct_state". */
enum ct_state {
    CT_NEW = 0x01,
    CT_RELATED = 0x04,
    CT_REPLY = 0x08,
    CT_INVALID = 0x10,
    CT_TRACKED = 0x20,
    CT_SNAT = 0x40
};

/* What may have to be one of some ports. */
enum port_field {
    PORT_FIELD_DST,
    PORT_FIELD_SRC,
    PORT_FIELD_CT_DST           /* Where the connection first went to. */
};

/* A run of the compiler. */
struct compiler {
    const struct model *model;  /* NULL if only one pool matters. */
    const struct settings *settings;
    const struct ports *ports;
    const struct watcher *watcher;
    const char *where;          /* The bridge, for messages; or NULL. */
    struct ofstate *desired;
    struct diags *diags;

    /* The flow that is being put together; emptied by compiler_emit().  It
     * becomes as many flows as there are masks, none being none. */
    struct match match;
    enum port_field port_field; /* What the masks are for. */
    struct port_mask masks[PORT_SET_MAX_MASKS];
    size_t n_masks;
    struct ofpbuf acts;
    uint16_t hard_timeout;      /* Seconds, 0 for none; stays as it is. */
};

/* Adds flows of 'compiler->match' and 'compiler->acts', one for each match
 * that the ports take, and starts afresh.  The same flow may be emitted more
 * than once; a different one of the same match is an error. */
void compiler_emit(struct compiler *, uint8_t table, uint16_t priority,
                   uint64_t cookie, const struct source_loc *loc);

/* Emits a flow into the entry table that packets meet only once: those given
 * back to it are not matched again. */
void compiler_emit_entry(struct compiler *, enum layout_priority,
                         uint64_t cookie, const struct source_loc *loc);

/* Emits a flow into the entry table for packets that were given back. */
void compiler_emit_seen(struct compiler *, enum layout_priority,
                        uint64_t cookie, const struct source_loc *loc);

/* Appends the actions that give a packet back to the entry table, for the
 * bridge's own flows. */
void compiler_put_pass(struct compiler *);

/* Adds a group; 'gm' is still the caller's.  What is no select group gets its
 * mark here.  The same group may be emitted more than once; a different one of
 * the same id is an error. */
void compiler_emit_group(struct compiler *, struct ofputil_group_mod *gm,
                         const struct source_loc *loc);

/* Adds a select group of 'n' buckets, which are those of 'gm' as 'repeats' has
 * it; only once. */
void compiler_emit_repeated(struct compiler *, struct ofputil_group_mod *gm,
                            const struct group_repeat *repeats, size_t n,
                            const struct source_loc *loc);

/* The number of one of lbgen's own tables. */
uint8_t compiler_table(const struct compiler *, enum layout_table);

/* The priority of the flow that takes in packets to the pool's VIP. */
enum layout_priority compiler_entry_priority(const struct pool *);

/* Match packets to (from) one address. */
void compiler_match_ip_dst(struct compiler *, const struct ip *);
void compiler_match_ip_src(struct compiler *, const struct ip *);

/* Match fragments of packets of IP, or only whole ones. */
void compiler_match_fragment(struct compiler *, bool fragment);

/* Matches fragments of what compiler_match_to() matches, after connection
 * tracking. */
void compiler_match_fragment_to(struct compiler *, enum protocol,
                                const struct ip *, const struct port_set *);

/* Match packets of a protocol, and to (from) one address and some ports, or
 * any if that is NULL. */
void compiler_match_protocol(struct compiler *, enum family, enum protocol);
void compiler_match_to(struct compiler *, enum protocol, const struct ip *,
                       const struct port_set *);
void compiler_match_from(struct compiler *, enum protocol, const struct ip *,
                         const struct port_set *);

/* Match what comes from 'client', as far as the first 'prefix' bits of its
 * address go. */
void compiler_match_client(struct compiler *, const struct ip *client,
                           int prefix);

/* Match what is in a VLAN, as VLAN_ANY and VLAN_NONE have it. */
void compiler_match_vlan(struct compiler *, uint16_t vlan);

/* Match what is in VLAN 'from', and take it to 'to', if that is another. */
void compiler_change_vlan(struct compiler *, uint16_t from, uint16_t to);

/* Match what comes from where 'server' of 'pool' is, 'port', as far as that is
 * another VLAN than the pool's. */
void compiler_match_side(struct compiler *, const struct pool *,
                         const struct server *server, uint16_t port);

/* What is added to the priority of a flow that takes in packets by something
 * that pools within a VLAN and without may share: 1 for the first. */
uint16_t compiler_vlan_step(const struct pool *);

/* Match a state of connection tracking: bits of 'mask' as in 'state', which
 * has CT_TRACKED implied. */
void compiler_match_ct(struct compiler *, uint32_t state, uint32_t mask);

/* Match the server that a slot or a connection's mark stands for. */
void compiler_match_member(struct compiler *, uint16_t member);
void compiler_match_mark(struct compiler *, uint16_t member);

/* Likewise, by the mark of a special connection (MARK_SNAT). */
void compiler_match_special(struct compiler *, uint16_t member,
                            uint16_t special);

/* The port of 'server', or PORT_NONE if it is missing, or after queueing an
 * error. */
uint16_t compiler_port(struct compiler *, const struct server *);

uint32_t assignment_group_id(const struct assignment *);

/* Appends the actions that pick a server for the packet.  They end in the
 * server table, with the server's member id in its register. */
void compiler_put_pick(struct compiler *, const struct assignment *);

/* Likewise, for a pool that has slots, without regard to affinity. */
void compiler_put_slots(struct compiler *, const struct assignment *);

/* That of a pool that has a flow for each slot: see lib/compile-slots.c.  The
 * flow under way must match a family. */
void compiler_put_slot(struct compiler *, const struct assignment *);

/* Makes a select group pick its buckets by what the pool's policy says. */
void compiler_set_selection(const struct pool *pool,
                            struct ofputil_group_props *props);
/* Appends to 'acts' what is done once server 'index' is chosen, in a flow or
 * in a bucket. */
void compiler_put_server(const struct compiler *, const struct assignment *,
                         size_t index, struct ofpbuf *acts);

/* For flows that choose a server themselves: adds a group that gives packets
 * to server 'index' as long as it is alive and else has the pool choose.
 * Returns its id, or OFPG_ANY if nobody watches the server: then it needs
 * none. */
uint32_t compiler_hold_server(struct compiler *, const struct assignment *,
                              size_t index);

/* For flows of the dispatch table: appends what goes on there with the member
 * of server 'index' in its register, or with MEMBER_DEAD if the switch watches
 * that server and it is dead. */
void compiler_put_stay(struct compiler *, const struct assignment *,
                       size_t index);

/* Whether the switch watches the port of server 'index'. */
bool compiler_is_watched(const struct compiler *, const struct assignment *,
                         size_t index);

/* Whether the pool has a chain: something may be dead, or comes in order. */
bool compiler_has_chain(const struct compiler *, const struct assignment *);

/* Whether the pool stays where it is when a better tier comes back. */
bool compiler_has_pin(const struct assignment *);

/* The member id that stands for 'tier': that of its first server. */
uint16_t tier_member(const struct assignment *, size_t tier);

/* The group that chooses among the servers of 'tier', or OFPG_ANY if it has
 * none. */
uint32_t tier_group_id(const struct assignment *, size_t tier);

/* Adds to 'gm' a bucket for server 'index', which watches its port or
 * nothing. */
struct ofputil_bucket *chain_add_server(struct compiler *,
                                        const struct assignment *,
                                        size_t index,
                                        struct ofputil_group_mod *gm);

/* Emit the flows of one pool. */
void compile_tracked(struct compiler *, const struct assignment *);
void compile_stateless(struct compiler *, const struct assignment *);
void compile_direct(struct compiler *, const struct assignment *);

/* Emit what all pools of that kind share. */
void compile_tracked_common(struct compiler *);
void compile_stateless_common(struct compiler *);

/* Appends the actions that turn an ARP request (RFC 826), from wherever and to
 * whatever Ethernet address, into the reply that 'mac' has 'ip', or if that is
 * NULL the address that is asked for, and send it back.  A probe (RFC 5227)
 * has sender address 0.0.0.0, which becomes the target of the reply, as it
 * should. */
void compiler_put_arp_reply(struct compiler *, const struct mac *mac,
                            const struct ip *ip);

/* Appends the actions that pick a server for a packet by way of the dispatch
 * table, and emits the flows of that table: for pools that go by turns, and
 * for those with affinity.  lib/compile-turn.c, lib/compile-affinity.c. */
void compiler_put_dispatch(struct compiler *, const struct assignment *);
void compile_turns(struct compiler *, const struct assignment *);
void compile_affinity(struct compiler *, const struct assignment *);

/* Appends, for a pool with affinity, the actions that keep alive what is
 * remembered of the client whose packet this is. */
void compiler_put_use(struct compiler *, const struct assignment *);

/* Appends, likewise, the action that remembers that the client, of 'family',
 * got 'member'. */
void compiler_put_remember(struct compiler *, const struct assignment *,
                           enum family family, uint16_t member);

/* Where a bucket that stands for a member goes on with that in register 0. */
uint8_t compiler_picked_table(const struct compiler *,
                              const struct assignment *);

/* Begin a flow of the dispatch table for the pool of 'a'; emit it. */
void compiler_match_dispatch(struct compiler *, const struct assignment *);
void compiler_emit_dispatch(struct compiler *, const struct assignment *,
                            uint16_t priority, uint16_t member,
                            const struct source_loc *);

/* Priorities in the dispatch table. */
enum dispatch_priority {
    DISPATCH_DEFAULT = 10,      /* A turn that is not known any more. */
    DISPATCH_SERVER = 15,       /* A turn of a server that has fewer now. */
    DISPATCH_TURN = 20,         /* Whose turn it is. */
    DISPATCH_BEGIN_ANY = 29,    /* Nobody has asked yet: any protocol. */
    DISPATCH_BEGIN = 30,        /* Likewise: one with ports. */
    DISPATCH_STOOD_IN = 33,     /* Likewise, but it is nobody's turn. */
    DISPATCH_TAKEN = 35,        /* This server takes the connection. */
    DISPATCH_LOST = 37,         /* Too many were dead. */
    DISPATCH_PINNED = 40,       /* The client has a server. */
    DISPATCH_STEPPED_IN = 45,   /* It is dead, this one stands in. */
    DISPATCH_HELD = 50          /* It is alive. */
};

/* Complete and emit a flow whose match so far says where: it answers who asks
 * for 'ip' there that 'mac' has it.  For IPv4, for IPv6, for either. */
void compile_arp(struct compiler *, const struct mac *, const struct ip *ip,
                 const struct source_loc *);
void compile_neighbor(struct compiler *, const struct mac *,
                      const struct ip *ip, const struct source_loc *);
void compile_claim(struct compiler *, const struct mac *, const struct ip *ip,
                   const struct source_loc *);

/* Emits the flow that answers ARP requests for 'ip', a VIP of 'pool' or an
 * address that its servers see instead of clients', which is IPv4, by 'server'
 * behind 'port', if that is in another VLAN. */
void compile_arp_side(struct compiler *, const struct pool *,
                      const struct server *server, uint16_t port,
                      const struct ip *);

/* Emits the flows that answer ARP requests of the pool's servers for their
 * clients, and what goes with them; and what all pools share that have such
 * flows. */
void compile_proxy(struct compiler *, const struct pool *);
void compile_proxy_common(struct compiler *);

/* Likewise the flow that answers neighbour solicitations, for an address of
 * IPv6; and what all such addresses share. */
void compile_neighbor_side(struct compiler *, const struct pool *,
                           const struct server *server, uint16_t port,
                           const struct ip *);
void compile_neighbor_common(struct compiler *);

/* Emits the flows that take answers to the checks that the switch makes of the
 * pool's servers, and what those answers need to get to the bridge. */
void compile_checks(struct compiler *, const struct pool *);

/* lib/compile-look.c.  Appends, for a pool whose packets are looked at alike,
 * the actions that do so before connection tracking. */
void compiler_put_look(struct compiler *, const struct pool *);

/* The tables that packets to such a pool's VIP go on in after connection
 * tracking, and once a server is chosen; for other pools the forward and the
 * server table. */
enum layout_table compiler_forward_table(const struct pool *);
enum layout_table compiler_server_table(const struct pool *);

/* Emits the flows of the look table that the pool needs. */
void compile_look(struct compiler *, const struct pool *);

/* Emits the flow that answers pings of 'vip' of 'pool'. */
void compile_echo(struct compiler *, const struct pool *,
                  const struct ip *vip);

/* Emit the flows that have connection tracking look at ICMP errors: those to
 * 'ip', which is a VIP of 'pool' or what its servers see instead of clients,
 * and those that come in by 'port', where 'server' is; and what all pools
 * share that have such flows. */
void compile_errors_to(struct compiler *, const struct pool *,
                       const struct ip *);
void compile_errors_common(struct compiler *);

/* Emits the flow for errors to a server that sees 'ip', of IPv6, instead of
 * its clients. */
void compile_snat_errors(struct compiler *, uint16_t member,
                         const struct ip *ip, const struct source_loc *);
void compile_errors_from(struct compiler *, const struct pool *,
                         const struct server *server, enum family,
                         uint16_t port);

/* Emits the flows that give ICMP errors to 'vip' of 'pool', which is direct,
 * to all servers that they may be for. */
void compile_error_copies(struct compiler *, const struct pool *,
                          const struct ip *vip);

/* Emits the flows that send ICMP errors to 'vip' of 'pool' to the error table
 * at once, where no pool is that tracks connections. */
void compile_errors_untracked(struct compiler *, const struct pool *,
                              const struct ip *vip);

/* Emit the flows that have connection tracking look at fragments: those to
 * 'vip' of the pool; those to 'ip', which its servers see instead of clients,
 * and, of 'server' behind 'port', to such an address 'source' out of another
 * VLAN; and those from the address 'ip' of 'server'. */
void compile_fragments_to(struct compiler *, const struct assignment *,
                          const struct ip *vip);
void compile_fragments_back(struct compiler *, const struct pool *,
                            const struct ip *ip);
void compile_fragments_side(struct compiler *, const struct pool *,
                            const struct server *, uint16_t port,
                            const struct ip *source);
void compile_fragments_from(struct compiler *, const struct pool *,
                            const struct server *, const struct ip *ip,
                            uint16_t port);

/* Emits, for a client that stays with server 'index' of 'a' while that drains,
 * the flows for fragments of its new connections.  As compile_resident(). */
void compile_resident_fragments(struct compiler *, const struct assignment *,
                                size_t index, const struct ip *client,
                                int prefix);

/* Emits the flows that drop fragments to 'vip' of 'pool', which is not
 * tracked, if they cannot be right. */
void compile_lost_fragments(struct compiler *, const struct pool *,
                            const struct ip *vip);

/* Adds the pool's groups, and the flows that they need. */
void compile_group(struct compiler *, const struct assignment *);
void compile_slots(struct compiler *, const struct assignment *);
void compile_chain(struct compiler *, const struct assignment *);
void compile_pin(struct compiler *, const struct assignment *);

/* Emits the flows that keep records. */
void compile_record(struct compiler *, const struct assignment *);
void compile_record_settings(struct compiler *);

#endif /* lib/compile-pool.h */
