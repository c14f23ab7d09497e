/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LB_HEALTH_TRACK_H
#define LB_HEALTH_TRACK_H 1

/* From results of checks to a state
 * =================================
 *
 * One track for each server of a pool.  "fall" failures in a row take a server
 * down and "rise" successes bring it up again, as with HAProxy and keepalived.
 * A new server needs one success.  While results speak against the state of a
 * server, but are not enough yet, checks follow one another faster if the file
 * says so ("fast_interval").
 *
 * Flapping is damped: a server that goes down soon after it came up has to
 * prove itself for twice as long the next time, up to 2^HEALTH_MAX_FLAPS times
 * as long.  "Soon" is HEALTH_CALM times as long as it had to prove itself
 * before.
 *
 * Pure: no clock, no I/O.  Times are milliseconds of a clock that only goes
 * forward; the caller says what time it is. */

#include <stdbool.h>
#include <stdint.h>

#include "lib/check.h"

#define HEALTH_MAX_FLAPS 5
#define HEALTH_CALM 10

struct health_track {
    enum health_state state;
    unsigned int run;           /* Results in a row that speak against it. */
    uint16_t flaps;             /* How often it went down again soon. */
    int64_t up_since;           /* Since when it is up, INT64_MIN for ages. */
};

/* Begins with what is known: HEALTH_UNKNOWN counts as up.  'up_since' is when
 * a server that is up came up, for one that flapped; INT64_MIN for ages ago.
 */
void health_track_init(struct health_track *, enum health_state state,
                       uint16_t flaps, int64_t up_since);

/* Takes in one result.  Returns true if there is something to write down: the
 * state changes, or a new server has failed for the first time. */
bool health_track_result(struct health_track *, const struct check *, bool ok,
                         int64_t now);

/* How many successes in a row it takes to come up. */
unsigned int health_track_rise(const struct health_track *,
                               const struct check *);

/* Whether results speak against the state that a server has, which may be
 * about to change. */
bool health_track_is_turning(const struct health_track *);

/* Milliseconds from the start of one check to that of the next, for a server
 * that 'is_turning' or not. */
uint32_t check_pace(const struct check *, bool is_turning);

/* When to begin the next check at that 'pace', of which the last one began at
 * 'began' and was over at 'now': never two at once, and no burst after a
 * pause. */
int64_t check_next(uint32_t pace, int64_t began, int64_t now);

/* How long after the start the first one begins, so that checks do not all
 * come at once: depends on 'seed' only. */
int64_t check_first(const struct check *, uint64_t seed);

#endif /* lib/health-track.h */
