/* SPDX-License-Identifier: Apache-2.0 */

#include "lib/health-track.h"

/* Longest time until the first check, in milliseconds. */
#define MAX_FIRST 1000

void
health_track_init(struct health_track *track, enum health_state state,
                  uint16_t flaps, int64_t up_since)
{
    *track = (struct health_track) {
        .state = state,
        .flaps = flaps > HEALTH_MAX_FLAPS ? HEALTH_MAX_FLAPS : flaps,
        .up_since = up_since,
    };
}

unsigned int
health_track_rise(const struct health_track *track, const struct check *check)
{
    return (track->state == HEALTH_STARTING ? 1
            : (unsigned int) check->rise << track->flaps);
}

/* Counts a server that goes down soon after it came up. */
static void
count_flap(struct health_track *track, const struct check *check, int64_t now)
{
    int64_t proof = ((int64_t) check_pace(check, true) * check->rise
                     << track->flaps);

    if (track->up_since == INT64_MIN
        || now - track->up_since > HEALTH_CALM * proof) {
        track->flaps = 0;
    } else if (track->flaps < HEALTH_MAX_FLAPS) {
        track->flaps++;
    }
}

static bool
change(struct health_track *track, enum health_state state)
{
    track->state = state;
    track->run = 0;
    return true;
}

static bool
take_success(struct health_track *track, const struct check *check,
             int64_t now)
{
    if (track->state == HEALTH_UP) {
        track->run = 0;
        return false;
    } else if (track->state == HEALTH_UNKNOWN) {
        return change(track, HEALTH_UP);
    } else if (++track->run < health_track_rise(track, check)) {
        return false;
    }
    track->up_since = now;
    return change(track, HEALTH_UP);
}

static bool
take_failure(struct health_track *track, const struct check *check,
             int64_t now)
{
    if (track->state == HEALTH_DOWN) {
        track->run = 0;
        return false;
    } else if (track->state == HEALTH_STARTING) {
        /* It has nothing to lose, but why it failed is worth knowing. */
        return !track->run++;
    } else if (++track->run < check->fall) {
        return false;
    }
    count_flap(track, check, now);
    return change(track, HEALTH_DOWN);
}

bool
health_track_result(struct health_track *track, const struct check *check,
                    bool ok, int64_t now)
{
    return (ok ? take_success(track, check, now)
            : take_failure(track, check, now));
}

bool
health_track_is_turning(const struct health_track *track)
{
    return track->run && track->state != HEALTH_STARTING;
}

uint32_t
check_pace(const struct check *check, bool is_turning)
{
    return (is_turning && check->fast_interval
            && check->fast_interval < check->interval
            ? check->fast_interval : check->interval);
}

int64_t
check_next(uint32_t pace, int64_t began, int64_t now)
{
    int64_t next = began + pace;

    return next > now ? next : now;
}

int64_t
check_first(const struct check *check, uint64_t seed)
{
    uint32_t span = check->interval < MAX_FIRST ? check->interval : MAX_FIRST;

    /* Fibonacci hashing (Knuth, TAOCP 6.4). */
    return (seed * UINT64_C(0x9e3779b97f4a7c15) >> 32) % span;
}
