/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LB_EXPLAIN_H
#define LB_EXPLAIN_H 1

/* Which server a client gets, and why
 * ===================================
 *
 * Out of what is installed on a bridge, not out of a file: the group that is
 * there counts, be it as lbgen left it or not.  What the switch would do with
 * the packet is computed (lib/pick.h), so nothing is sent and nothing changes.
 *
 * Pure.  What only the running switch knows comes in as "struct explain_facts"
 * (lib/live.h finds it out); without it the answer says what it takes for
 * granted. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/bridge.h"
#include "lib/conntrack.h"
#include "lib/learned.h"
#include "lib/pick.h"

enum explain_datapath {
    EXPLAIN_DATAPATH_UNKNOWN,
    EXPLAIN_DATAPATH_USERSPACE, /* In ovs-vswitchd: its hash is known. */
    EXPLAIN_DATAPATH_KERNEL     /* Its hash is not. */
};

enum explain_hash {
    EXPLAIN_HASH_ASSUMED,       /* 'build' is a guess, the common one. */
    EXPLAIN_HASH_KNOWN,         /* 'build' it is. */
    EXPLAIN_HASH_FOREIGN        /* None of those in lib/ovs-hash.h. */
};

/* What the running switch is like.  All zeros if nothing is known. */
struct explain_facts {
    enum explain_datapath datapath;
    enum explain_hash hash;
    enum ovs_hash_build build;
    char *nic_port;             /* A port whose NIC may hash, or NULL. */
};

enum explain_answer {
    EXPLAIN_SERVER,             /* This one. */
    EXPLAIN_ANY,                /* One of several: it depends. */
    EXPLAIN_NONE,               /* None: packets are dropped. */
    EXPLAIN_UNKNOWN             /* The group does what is not foreseen. */
};

/* A new connection.  0 is what is not known: a port, or, of a pool for every
 * protocol, which one. */
struct explain_question {
    struct ip client;
    uint16_t client_port;
    uint16_t vip_port;          /* One of the pool's. */
    enum protocol protocol;     /* The pool's, unless that is for every one. */
};

/* Borrows from the bridge that it was made from. */
struct explanation {
    const struct assignment *assignment;
    struct pick_packet packet;
    struct explain_facts facts; /* 'nic_port' borrowed. */
    enum explain_answer answer;
    bool is_passed;             /* EXPLAIN_NONE: left to others' flows. */

    /* The group that decides, behind those that only lead to it; 'group' is
     * NULL if it is not on the bridge. */
    uint32_t group_id;
    struct pick_group *group;
    enum pick_result result;

    bool is_resident;           /* The server drains, and this client stays
                                 * (lib/resident.h): it meets no group. */

    /* What the switch remembers (lib/learned.h): the client, which meets no
     * group then, or nothing of it; and, if the answer is who is next in turn,
     * that it is. */
    const struct learned_client *remembered;    /* Borrowed, or NULL. */
    bool is_next;

    /* If 'has_pick': what the switch computes, and the bucket it takes. */
    bool has_pick;
    struct pick pick;

    /* EXPLAIN_SERVER: index of the server. */
    size_t server;

    /* For each server: slots of the installed group, share that its weight
     * asks for. */
    size_t *n_slots;
    double *asked;

    /* Connections that the switch tracks, if 'knows_tracked': how many the
     * client has to each server; and the server of the one with the addresses
     * and ports of 'packet', or SIZE_MAX. */
    bool knows_tracked;
    size_t *n_tracked;
    size_t tracked_server;
    char tracked_state[CONNECTION_STATE_SIZE];

    /* What else there is to know, sentences without a full stop. */
    char **notes;
    size_t n_notes;
    size_t allocated_notes;
};

/* Says what happens to the new connection of the question to the pool of
 * 'assignment', which has a VIP of the client's family.  'name' is the bridge,
 * for messages.  'learned' is what the switch has learned on that pool, NULL
 * if that is not known. */
struct explanation *explain_create(const struct bridge *, const char *name,
                                   const struct assignment *assignment,
                                   const struct explain_question *,
                                   const struct explain_facts *,
                                   const struct learned *learned);
void explain_destroy(struct explanation *);

/* Adds what is known of the client's tracked connections, which no group
 * moves.  They are all in the pool's zone. */
void explain_add_connections(struct explanation *,
                             const struct connection_list *);

/* Adds to the notes.  Only for lib/explain*.c, as the next four. */
void explain_add_note(struct explanation *, const char *format, ...)
    LB_PRINTF(2, 3);

/* The answer as far as the switch goes by what it has learned, which is all
 * for pools that go by turns, as long as there is a turn of a server that is
 * not down.  lib/explain-learned.c. */
void explain_by_turn(struct explanation *, const struct reach *,
                     const struct learned *);
void explain_by_affinity(struct explanation *, const struct reach *,
                         const struct learned *);

/* Notes who is down or starting; and where in the order of tiers
 * (lib/tiers.h) the answer is.  lib/explain-tiers.c. */
void explain_note_health(struct explanation *);
void explain_note_tier(struct explanation *, const struct bridge *);

/* The bucket, and the member id, that 'has_pick' speaks of. */
const struct pick_bucket *explain_bucket(const struct explanation *);

/* Index of the server with the member id 'member', or SIZE_MAX. */
size_t explain_find_member(const struct assignment *, uint16_t member);

#endif /* lib/explain.h */
