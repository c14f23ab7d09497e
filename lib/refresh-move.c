/* SPDX-License-Identifier: Apache-2.0 */

/* From wanted weights to slots
 * ============================
 *
 * Weights are what is kept and slots follow from them, as everywhere.  So
 * weights move only if slots do, and only as far as few enough slots move. */

#include <config.h>

#include "lib/refresh-internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/demand.h"

/* A server that is off by less than this part of a slot is not worth a
 * change: rounding is half of one already. */
#define HYSTERESIS 0.75

/* Halvings of the way until it is known how far to go. */
#define N_HALVINGS 12

/* Puts all servers 'part', 0 to 1, of the way to their targets.  A weight
 * never becomes 0 by rounding. */
static void
place(struct work *work, double part)
{
    for (size_t i = 0; i < work->n; i++) {
        const struct work_server *s = &work->servers[i];
        struct refreshed *r = s->server->refreshed;

        if (s->is_active) {
            double ratio = s->ratio + part * (s->target - s->ratio);
            double start = s->start + part * (s->start_target - s->start);

            r->ratio = lround(fmax(1, ratio * REFRESHED_WHOLE));
            r->start = lround(fmax(1, start * REFRESHED_WHOLE));
        }
    }
}

/* How many slots each server gets as it is placed now. */
static void
find_quotas(const struct work *work, uint16_t *quotas)
{
    struct pool_demand demand;

    pool_demand_init(work->pool, &demand);
    slots_apportion(&demand.slots, work->owners, work->pool->n_slots, quotas);
    pool_demand_uninit(&demand);
}

/* How many slots go from one server to another between two rounds. */
static size_t
count_moved(const uint16_t *old, const uint16_t *new, size_t n)
{
    size_t moved = 0;

    for (size_t i = 0; i < n; i++) {
        moved += old[i] > new[i] ? old[i] - new[i] : 0;
    }
    return moved;
}

/* Whether any server would be off by HYSTERESIS if all kept the slots that
 * they have, 'quotas'.  The servers must be placed at their targets. */
static bool
is_worth_it(const struct work *work, const uint16_t *quotas)
{
    double *fractions = lb_xcalloc(work->n, sizeof *fractions);
    struct pool_demand demand;
    bool result = false;

    pool_demand_init(work->pool, &demand);
    slots_fractions(&demand.slots, fractions);
    pool_demand_uninit(&demand);
    for (size_t i = 0; i < work->n; i++) {
        result |= (fabs(fractions[i] * work->pool->n_slots - quotas[i])
                   >= HYSTERESIS);
    }
    free(fractions);
    return result;
}

/* Says of all servers that are not where they were to be that it is for
 * 'why'. */
static void
explain(struct work *work, enum refresh_why why)
{
    for (size_t i = 0; i < work->n; i++) {
        struct work_server *s = &work->servers[i];

        if (s->is_active && s->target != s->ratio
            && s->report->why != REFRESH_DRIFTS) {
            s->report->why = why;
            s->server->refreshed->moving = why != REFRESH_SLOTS;
        }
    }
}

/* Ends slow starts whose time is over.  The last bit of a weight may not be
 * worth a slot, and would stay out for ever. */
static void
finish_starts(struct work *work)
{
    for (size_t i = 0; i < work->n; i++) {
        const struct work_server *s = &work->servers[i];

        if (s->is_active && s->start_target >= 1) {
            s->server->refreshed->start = REFRESHED_WHOLE;
        }
    }
}

/* Goes as far as 'max_moved' slots allow, from 'quotas' on. */
static void
go_part_of_the_way(struct work *work, const uint16_t *quotas,
                   size_t max_moved)
{
    uint16_t *new = lb_xcalloc(work->n, sizeof *new);
    double low = 0, high = 1;

    for (int i = 0; i < N_HALVINGS; i++) {
        double middle = (low + high) / 2;

        place(work, middle);
        find_quotas(work, new);
        if (count_moved(quotas, new, work->n) > max_moved) {
            high = middle;
        } else {
            low = middle;
        }
    }
    place(work, low);
    free(new);
}

void
work_move(struct work *work)
{
    double part = work->weights->common[WEIGHT_MAX_MOVE];
    size_t max_moved = (size_t) fmax(1, part * work->pool->n_slots);
    uint16_t *old = lb_xcalloc(work->n, sizeof *old);
    uint16_t *new = lb_xcalloc(work->n, sizeof *new);

    place(work, 0);
    find_quotas(work, old);
    place(work, 1);
    find_quotas(work, new);
    if (!is_worth_it(work, old)) {
        place(work, 0);
        finish_starts(work);
        explain(work, REFRESH_SLOTS);
    } else if (count_moved(old, new, work->n) > max_moved) {
        go_part_of_the_way(work, old, max_moved);
        explain(work, REFRESH_MOVE);
    }
    find_quotas(work, new);
    for (size_t i = 0; i < work->n; i++) {
        work->servers[i].report->slots = new[i];
    }
    free(new);
    free(old);
}
