/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LB_LAYOUT_H
#define LB_LAYOUT_H 1

/* Where things lie on the bridge
 * ==============================
 *
 * Packets meet lbgen in one table that it shares with others, the entry table
 * ("entry_table:", 0 unless the user says otherwise).  From there they go on
 * in tables of lbgen's own, LAYOUT_N_TABLES from "table_base:" on:
 *
 *   tracked                              stateless
 *
 *   client -> VIP                        client -> VIP
 *     entry: ct(nat)                       entry: learn client, group
 *     forward: known  -> server            server: rewrite, output
 *              new    -> group           server -> client
 *     server: commit with NAT, output      entry: rewrite
 *   server -> client                       client: output where learned
 *     entry: ct(nat)
 *     reverse: known -> reply: client
 *              else  -> given back to the entry table
 *
 * A group has one bucket for each slot.  A bucket only says which server it
 * stands for, by the server's member id in register 0, and resubmits to the
 * server table, where new connections are counted: counters of flows survive a
 * change of the group, those of buckets do not.
 *
 * A tracked connection carries two things in its mark: in the upper half the
 * member id of its server, in the lower half the port that its client is
 * behind.  So established connections need one lookup by mark whatever the
 * number of VIPs, and replies leave by the port that the requests came in by:
 * no MAC learning, no NORMAL.
 *
 * Packets of most tracked pools come through the look table on their way to
 * the forward table and from the group to the server table: see
 * lib/compile-look.c. */

#include <stdbool.h>
#include <stdint.h>

#include <openvswitch/meta-flow.h>

/* Tables, counted from "table_base:". */
enum layout_table {
    TABLE_FORWARD,              /* To a VIP, after ct(nat). */
    TABLE_REVERSE,              /* From a server, after ct(nat). */
    TABLE_SERVER,               /* The slot is chosen; register 0 says. */
    TABLE_CLIENT,               /* Learned: client MAC to port. */
    TABLE_RECORD,               /* Notes to ourselves; no packet gets here. */
    TABLE_GUARD,                /* Learned: who uses which VIP. */
    TABLE_RETURN,               /* Guarded servers to clients, if known. */
    TABLE_TURN,                 /* Learned: whose turn it is in a pool. */
    TABLE_DISPATCH,             /* From whose turn it is to the server. */
    TABLE_AFFINITY,             /* Learned: client to server. */
    TABLE_SLOT = 10,            /* The number of the slot is in a register. */
    TABLE_PIN = 11,             /* The tier that a pool stays at. */
    TABLE_NEIGHBOR = 12,        /* Advertisements of VIPs, half made. */
    TABLE_ERROR = 13,           /* ICMP errors, after ct(nat). */
    TABLE_LOOK = 14,            /* The same fields are looked at for all. */
    TABLE_REPLY = 14,           /* From a server, connection known: told from
                                 * those by its state. */
    TABLE_ANSWERS = 15,         /* Learned: answers to lib/discover-probe.h. */
    LAYOUT_N_TABLES = 16        /* Reserved, for what is to come. */
};

/* Priorities in the entry table, counted from "priority:".  Where one pool may
 * say which VLAN it is in and another one does not, the first has the next
 * higher one: see compiler_vlan_step(). */
enum layout_priority {
    PRIORITY_PROXY = 0,         /* From servers' ports to the VIP's MAC. */
    PRIORITY_RETURN = 1,        /* From servers. */
    PRIORITY_RETURN_ERROR = 2,  /* ICMP errors. */
    PRIORITY_RETURN_OWN = 3,    /* From servers to VIPs, but an answer. */
    PRIORITY_RETURN_FRAGMENT = 2,   /* From other VLANs, one more. */
    PRIORITY_ECHO = 3,          /* Pings of VIPs. */

    /* To VIPs, above the rest: servers may be clients.  From pools that take
     * all that is left of a VIP to those that are more particular. */
    PRIORITY_ENTRY_ALL = 4,
    PRIORITY_ENTRY_PROTOCOL = 6,
    PRIORITY_ENTRY = 8,

    PRIORITY_SILENCE = 9,       /* Claims of VIPs by direct servers. */
    PRIORITY_CHECK = 9,         /* Answers to checks from the switch. */

    /* Fragments, which may be for any of these. */
    PRIORITY_FRAGMENT_ALL = 10,
    PRIORITY_FRAGMENT = 12,
    PRIORITY_FRAGMENT_SIDE = 15,    /* From servers in other VLANs. */

    PRIORITY_FIRST = PRIORITY_PROXY,
    PRIORITY_LAST = PRIORITY_FRAGMENT_SIDE
};

/* Priority of the flow that "fallback: normal" adds to the entry table. */
#define LAYOUT_FALLBACK_PRIORITY 1

/* What a flow is for: bits 32 to 39 of its cookie.  Bridges remember the
 * numbers: they never change, and new ones go on at the end. */
enum cookie_kind {
    COOKIE_ARP = 1,
    COOKIE_ENTRY = 2,           /* Entry table, client to VIP. */
    COOKIE_RETURN = 3,          /* Entry table, server to client. */
    COOKIE_NEW = 4,             /* Forward table, a new connection. */
    COOKIE_FORWARD = 5,         /* Forward table, a known one. */
    COOKIE_RESIDENT = 6,        /* Forward table, a new one of a client that
                                 * stays with a server that drains. */
    COOKIE_REVERSE = 7,         /* Reply table, a known server's. */
    COOKIE_PASS = 8,            /* Reverse table, gives back the rest. */
    COOKIE_STALE = 9,           /* Reply table, drops what is left over. */
    COOKIE_SERVER = 10,         /* Server table. */
    COOKIE_CLIENT = 11,         /* Learned by the switch itself. */
    COOKIE_USER = 12,           /* Likewise, in the guard table. */
    COOKIE_GUARD = 13,          /* Entry table, guarded server to anybody. */
    COOKIE_FLOOD = 14,          /* Client table, port not learned. */
    COOKIE_FALLBACK = 15,
    COOKIE_RECORD = 16,
    COOKIE_SETTINGS = 17,
    COOKIE_SOLICIT = 18,        /* Entry table, who has a VIP of IPv6? */
    COOKIE_ADVERT = 19,         /* Neighbor table, the answer. */
    COOKIE_ECHO6 = 20,          /* Entry table, ping of a VIP of IPv6. */
    COOKIE_ECHO = 23,           /* Entry table, ping of a VIP of IPv4. */
    COOKIE_ERROR = 24,          /* Entry and error table, ICMP errors. */
    COOKIE_FRAGMENT = 25,       /* Entry table, fragments. */
    COOKIE_TURN = 28,           /* Learned, in the turn table. */
    COOKIE_AFFINITY = 29,       /* Learned, in the affinity table. */
    COOKIE_DISPATCH = 30,       /* Dispatch table. */
    COOKIE_EMPTY = 33,          /* Server table, no server. */
    COOKIE_PIN = 34,            /* Learned: the tier that a pool stays at. */
    COOKIE_PINNED = 35,         /* Pin table, to that tier, or to any. */
    COOKIE_SETTLE = 36,         /* Pin table, a server is chosen. */
    COOKIE_SLOT = 38,           /* Slot table. */
    COOKIE_SILENCE = 43,        /* Entry table, ARP of direct servers that
                                 * claim the VIP. */
    COOKIE_SNAT = 44,           /* Entry table, server to a SNAT address. */
    COOKIE_RESTORE = 45,        /* Reverse table, a known connection. */
    COOKIE_PROXY_ARP = 46,      /* Entry table, servers' requests. */
    COOKIE_PROXY = 47,          /* Entry table, what they then send. */
    COOKIE_CHECK = 48,          /* Entry table, answers to checks. */
    COOKIE_LOOK = 49,           /* Look table. */
    COOKIE_COPY = 52,           /* Error table, to all servers. */
    COOKIE_KNOWN_ERROR = 53,    /* Error table, of known connections. */
    COOKIE_PROBE = 0xf0         /* Gone in seconds: lib/discover-probe.h. */
};

/* Cookie: "lbg" in bits 40 to 63, kind, pool id in bits 16 to 31, member id in
 * bits 0 to 15.  The upper 24 bits are what makes a flow lbgen's. */
#define COOKIE_MAGIC UINT64_C(0x6c62670000000000)
#define COOKIE_MASK UINT64_C(0xffffff0000000000)

static inline uint64_t
cookie_make(enum cookie_kind kind, uint16_t pool_id, uint16_t member)
{
    return (COOKIE_MAGIC | (uint64_t) kind << 32 | (uint64_t) pool_id << 16
            | member);
}

/* Whether the switch itself made the flows of a kind, by learn(). */
static inline bool
cookie_is_learned(enum cookie_kind kind)
{
    return (kind == COOKIE_CLIENT || kind == COOKIE_USER
            || kind == COOKIE_TURN || kind == COOKIE_AFFINITY
            || kind == COOKIE_PIN);
}

static inline enum cookie_kind
cookie_kind(uint64_t cookie)
{
    return (cookie >> 32) & 0xff;
}

static inline uint16_t
cookie_pool(uint64_t cookie)
{
    return cookie >> 16;
}

static inline uint16_t
cookie_member(uint64_t cookie)
{
    return cookie;
}

/* Who gets the answers to checks from the switch: connections that ask for
 * them by this id. */
#define CONTROLLER_ID 0x6c62

/* Groups have no cookie.  What makes a select group lbgen's is the low half of
 * its selection_method_param, which only seeds the hash; what makes one of
 * another type lbgen's are the ids of its buckets, which count up from here
 * and do nothing in such groups. */
#define GROUP_MAGIC UINT32_C(0x6c626762)
#define GROUP_BUCKET_MAGIC UINT32_C(0x6c626700)

/* What a group is for: the upper half of its id.  The lower half is a pool's
 * id or a member's, 1 to 65535.  With 0, a pool or member that cannot be, one
 * is for lib/generation.h and one is there to be watched: it is always
 * alive.
 *
 * Buckets refer to groups with lower ids only, so that groups added in the
 * order of their ids, and deleted in the reverse order, are always whole. */
enum group_kind {
    GROUP_MAIN = 0x6c62,        /* A pool's servers: its first tier. */
    GROUP_TIER = 0x6c63,        /* Another tier, by its first member. */
    GROUP_CHAIN = 0x6c64,       /* A pool's tiers, by what is alive. */
    GROUP_HOLD = 0x6c65,        /* A server, as long as it is alive; else the
                                 * chain. */
    GROUP_SLOTS_LOW = 0x6c66,   /* Second step, by client. */
    GROUP_SLOTS = 0x6c67,       /* First step to a slot that is a flow. */
    GROUP_HOLD_TIER = 0x6c68,   /* Likewise a tier, by its first member. */
    GROUP_STAY = 0x6c69,        /* A server whose turn it is or that a client
                                 * has, and whether it is alive. */
    GROUP_KIND_LAST = 0x6c6a    /* Reserved up to here. */
};

#define GROUP_GENERATION ((uint32_t) GROUP_MAIN << 16)
#define GROUP_ALWAYS ((uint32_t) GROUP_TIER << 16)

static inline uint32_t
group_make(enum group_kind kind, uint16_t id)
{
    return (uint32_t) kind << 16 | id;
}

static inline uint16_t
group_kind(uint32_t group_id)
{
    return group_id >> 16;
}

/* Whether a group id is one that lbgen makes. */
static inline bool
group_id_is_ours(uint32_t group_id)
{
    return (group_kind(group_id) >= GROUP_MAIN
            && group_kind(group_id) <= GROUP_KIND_LAST
            && (group_id & UINT16_MAX || group_id == GROUP_ALWAYS));
}

/* Added to the parameter of a GROUP_SLOTS. */
#define GROUP_SLOTS_PARAM (UINT64_C(1) << 32)

/* Registers.  MEMBER is only used within lbgen's own tables.  One bit of SEEN
 * tells the entry table that lbgen has already had this packet. */
#define REG_MEMBER MFF_REG0
#define REG_POOL MFF_REG1
#define REG_KNOWN MFF_REG2      /* 1 if the guard table knows the client. */
#define REG_TURN MFF_REG3       /* Id of a turn, as in lib/turns.h. */
#define REG_AFFINITY MFF_REG4   /* Member that a client stays with. */
#define REG_SLOT MFF_REG5
#define REG_PASSED MFF_REG5     /* Pools that go by turns have no slots: as
                                 * many bits to the left as turns of dead
                                 * servers were passed over. */
#define REG_PIN MFF_REG6
#define REG_PORT MFF_REG7       /* That a reply leaves by. */
#define REG_SCRATCH MFF_REG8    /* Means nothing after one flow. */
#define MEMBER_DEAD UINT32_C(0x10000)   /* Of REG_MEMBER: it was dead. */
#define REG_SEEN MFF_REG15
#define REG_SEEN_OFS 31
#define REG_SEEN_BIT (UINT32_C(1) << REG_SEEN_OFS)

/* The pin register: what the pin table is asked for, and in the lower half the
 * tier that the pool stays at, by its first member, or 0. */
#define PIN_STAGE_MASK UINT32_C(0xc0000000)
#define PIN_LOOK UINT32_C(0x80000000)   /* The lower half. */
#define PIN_GO UINT32_C(0x40000000)     /* A server. */
#define PIN_SETTLE UINT32_C(0xc0000000) /* To remember which tier it was. */

/* Records: which one is in one register, which chunk of its text in another.
 * A chunk and its flow stay well below the 64 KiB that OpenFlow allows. */
#define RECORD_REG_ID 0
#define RECORD_REG_CHUNK 1
#define RECORD_CHUNK 60000
#define RECORD_PRIORITY 1

/* Halves of a connection's mark. */
#define MARK_MEMBER_SHIFT 16
#define MARK_MEMBER_MASK UINT32_C(0xffff0000)
#define MARK_PORT_BITS 16

/* In place of the port, which is in the label then: what is special about the
 * connection.  No port has such a number: ordinary ones end below, reserved
 * ones like "LOCAL" begin at 0xfff7.  So the label, which takes a lookup of
 * its own, is looked at only where there is one. */
#define MARK_SENDER 0xff01      /* Replies go to the MAC in the label. */
#define MARK_SNAT 0xff02        /* Likewise, and the server does not see the
                                 * client. */
#define MARK_SPECIAL 0xff00
#define MARK_SPECIAL_MASK 0xfff0

/* Of the label of a special connection: the MAC that its requests come from,
 * and the port that they come in by. */
#define LABEL_MAC_BITS 48
#define LABEL_PORT_OFS 64

#endif /* lib/layout.h */
