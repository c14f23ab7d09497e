/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LB_BRIDGE_READ_H
#define LB_BRIDGE_READ_H 1

/* Reading a bridge piece by piece
 * ===============================
 *
 * Internal to lib/bridge.c, which reads all of a bridge, and to lib/part.c,
 * which reads what one pool needs: each asks for what it wants, and what comes
 * goes where it belongs in a struct bridge. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <openvswitch/match.h>
#include <openvswitch/ofpbuf.h>

#include "lib/bridge.h"

struct chunk;

/* Zero all but the first three members to begin with; reader_uninit() frees
 * the rest. */
struct reader {
    struct session *session;
    struct bridge *bridge;      /* What is read goes here. */
    struct diags *diags;

    /* Of flows, keep only those that have a counterpart here; NULL for all. */
    const struct ofstate *wanted;

    /* Instead of keeping them, call this for the flows of others. */
    void (*foreign_cb)(const struct of_flow *, void *aux);
    void *foreign_aux;

    struct ofpbuf acts;         /* Scratch. */
    struct chunk *chunks;       /* Of records, for reader_records(). */
    size_t n_chunks;
    size_t allocated_chunks;
};

/* Which flows to ask for: those of 'table', OFPTT_ALL for all, whose cookies
 * are 'cookie' in the bits of 'mask', and which match no more than 'match',
 * NULL for any.  (With a mask of all ones the switch finds them by their
 * cookie; else it looks at each flow of the table.) */
struct reader_request {
    uint8_t table;
    uint64_t cookie;
    uint64_t mask;
    const struct minimatch *match;
};

/* An empty one, for bridge_destroy(). */
struct bridge *bridge_create(void);

/* These ask the switch and return false after queueing an error.  Flows have
 * to be read before groups, whose mark may be lost. */
bool reader_flows(struct reader *, const struct reader_request *);
bool reader_groups(struct reader *, uint32_t id);   /* Or OFPG_ALL. */
bool reader_ports(struct reader *);
bool reader_generation(struct reader *, struct generation *);

/* Stores in '*n' how many flows there are; 'match' must be NULL. */
bool reader_count(struct reader *, const struct reader_request *,
                  uint64_t *n);

/* Makes pools and settings of the records among the flows that were read.
 * False after queueing an error; a damaged record is a warning. */
bool reader_records(struct reader *);
void reader_uninit(struct reader *);

#endif /* lib/bridge-read.h */
