/* SPDX-License-Identifier: Apache-2.0 */
#ifndef POLICY_H
#define POLICY_H 1

/* Balancing policies
 * ==================
 *
 * A policy decides how new connections to one pool spread over its servers.
 * It sees names and weights and fills in a "struct distribution": which share
 * each server is to have, and by what part of a packet the switch picks a
 * slot.  It never sees YAML, OpenFlow or the switch, so equal inputs always
 * give equal output.
 *
 * To add a policy: write policies/<name>.c with one "const struct policy" at
 * its end, declare that here, list it in policy.c, list the file in
 * policies/automake.mk, add examples/<name>.yaml and a test.  HACKING.md walks
 * through "random" line by line. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One server, as a policy sees it. */
struct policy_server {
    const char *name;           /* Unique in the pool. */
    uint32_t weight;            /* Configured; 0 takes no new connections. */
};

/* What the switch picks a slot by. */
enum policy_selection {
    POLICY_BY_CONNECTION,       /* Hash of the whole 5-tuple. */
    POLICY_BY_CLIENT,           /* Hash of the client's network address. */
    POLICY_BY_LOW_BITS,         /* The lowest bits of the client's address, as
                                 * many as number the slots. */
    POLICY_BY_TURN              /* One after the other: see 'order'. */
};

/* How new connections spread.  'shares' is the caller's, one element for each
 * server; the policy fills in the rest.  Shares are relative, like weights. */
struct distribution {
    uint32_t *shares;
    enum policy_selection selection;
    int client_prefix;          /* Not POLICY_BY_CONNECTION: leading bits of an
                                 * IPv4 address that make a client, 1 to
                                 * 32. */
    int client_prefix6;         /* Likewise of an IPv6 address, 1 to 128. */
};

/* A number, or something that is true or false, that the user may set in the
 * pool, in a mapping that is called as the policy is: "sticky: {prefix: 24}".
 * Checked by the model. */
struct policy_param {
    const char *name;
    bool is_flag;               /* "true", 1, or "false", 0. */
    long min, max;              /* Of a number. */
    long value;                 /* When the user says nothing. */
    int ip_version;             /* 4 or 6: only where a VIP is of that version
                                 * of IP.  0: everywhere. */
};

#define POLICY_MAX_PARAMS 8

struct policy {
    const char *name;           /* As in "policy:". */
    const struct policy_param *params;
    size_t n_params;            /* At most POLICY_MAX_PARAMS. */
    bool ignores_weights;       /* Only 0 and not 0 make a difference. */
    bool in_order;              /* The elements of the list of servers take
                                 * each other's place, in the order of the
                                 * file; shares are those within one. */

    /* Fills in '*dist' from the 'n' 'servers' and from 'params', which has
     * one value for each element of the policy's own 'params'. */
    void (*distribute)(const struct policy_server *servers, size_t n,
                       const long *params, struct distribution *dist);

    /* What is wrong with 'params', each of which is in its range, for people;
     * NULL if nothing.  May be NULL. */
    const char *(*find_flaw)(const long *params);

    /* POLICY_BY_TURN, else NULL: fills in 'turns' with indexes into the 'n'
     * servers, server i quotas[i] times, in the order that connections go to
     * them.  There is room for the sum of 'quotas'. */
    void (*order)(const uint16_t *quotas, size_t n, uint16_t *turns);
};

/* All policies, the default first, NULL at the end. */
extern const struct policy *const policies[];

/* The policy called 'name', or NULL. */
const struct policy *policy_find(const char *name);

extern const struct policy wrr_policy;
extern const struct policy random_policy;
extern const struct policy sticky_policy;
extern const struct policy round_robin_policy;
extern const struct policy failover_policy;

/* Parameters of "failover", for those who put it into practice. */
enum {
    FAILOVER_PREEMPT
};

#endif /* policies/policy.h */
