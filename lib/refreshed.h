/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LB_REFRESHED_H
#define LB_REFRESHED_H 1

/* The layer that refresh puts over the file's weights
 * ===================================================
 *
 * What "lbgen refresh" made of a server's weight, and what it must know again
 * in its next round.  Like overrides it lives in the record of the pool and is
 * carried over by apply, for as long as the pool has "weights".
 *
 * A weight is kept as thousandths of the file's, so that a file that says
 * something else later is followed at once.
 *
 * Pure: the caller says what time it is. */

#include <stdint.h>
#include <stdio.h>

#include "lib/answer.h"
#include "lib/assign.h"
#include "lib/document.h"
#include "lib/model.h"

/* Thousandths: what "all of it" is. */
#define REFRESHED_WHOLE 1000

/* No weight is more than ten times the file's. */
#define REFRESHED_MAX (10 * REFRESHED_WHOLE)

struct refreshed {
    /* Thousandths of the file's weight: their product counts. */
    uint16_t ratio;             /* By the weight policy. */
    uint16_t percent;           /* By an agent. */
    uint16_t start;             /* By slow start. */

    int64_t since;              /* Seconds since the epoch when the server came
                                 * back, 0 for always there. */
    bool away;                  /* Not ready in the last round. */
    bool moving;                /* On its way to another weight. */
    uint16_t missed;            /* Rounds in which it said nothing. */
    enum agent_state agent;     /* The last that it said. */
    double values[N_METRICS];   /* Smoothed; NAN for those not known. */
    double counters[N_METRICS]; /* Likewise, as they were. */
};

/* What 'server' has, made if it has none. */
struct refreshed *refreshed_get(struct server *);
struct refreshed *refreshed_clone(const struct refreshed *);

/* Thousandths of the file's weight that 'server' has at the moment. */
uint32_t refreshed_factor(const struct server *);

/* Whether any server of 'pool' has another weight than its file's. */
bool pool_is_refreshed(const struct pool *);

/* To be called when 'server' of 'pool' becomes ready after it was not, by an
 * operator or because a check says so: begins its slow start, if the pool has
 * one. */
void refreshed_came_back(const struct pool *, struct server *, int64_t now);

/* Writes the layer of all servers of 'pool' as a JSON object, and reads it
 * back; 'node' may be NULL for none.  False if it makes no sense. */
bool refreshed_exists(const struct pool *);
void refreshed_write(const struct pool *, FILE *);
bool refreshed_read(const struct node *node, struct pool *pool);

/* Takes over into 'model' the layer of the installed pools, for servers of the
 * same pool and name. */
void refreshed_carry(const struct assignments *installed,
                     struct model *model);

/* For people, the weight in the file's unit: "2.4", "0.3, slow start"; "" if
 * it is the file's. */
#define REFRESHED_STRLEN 96
const char *refreshed_format(const struct server *,
                             char buf[REFRESHED_STRLEN]);

#endif /* lib/refreshed.h */
