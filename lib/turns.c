/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "lib/turns.h"

#include <math.h>
#include <stdlib.h>

#include "lib/demand.h"
#include "lib/slots.h"
#include "lib/util.h"

/* How far from a whole number a share in turns may be, by rounding. */
#define TOLERANCE 1e-7

/* Whether 'n_turns' turns give each server just the fraction that it is to
 * have. */
static bool
is_exact(const double *fractions, size_t n, size_t n_turns)
{
    for (size_t i = 0; i < n; i++) {
        double share = fractions[i] * n_turns;

        if (fabs(share - round(share)) > TOLERANCE) {
            return false;
        }
    }
    return true;
}

/* The smallest number of turns that is exact, or 'max'. */
static size_t
count_turns(const struct slot_demand *demand, size_t max)
{
    double *fractions = lb_xcalloc(demand->n, sizeof *fractions);
    size_t n_turns = 1;

    slots_fractions(demand, fractions);
    while (n_turns < max && !is_exact(fractions, demand->n, n_turns)) {
        n_turns++;
    }
    free(fractions);
    return n_turns;
}

size_t
turns_apportion(const struct pool *pool, uint16_t *quotas)
{
    struct pool_demand demand;
    size_t n = 0;

    pool_demand_init(pool, &demand);
    slots_apportion(&demand.slots, NULL,
                    count_turns(&demand.slots, pool->n_slots), quotas);
    pool_demand_uninit(&demand);
    for (size_t i = 0; i < pool->n_servers; i++) {
        n += quotas[i];
    }
    return n;
}

/* Fills in 'before' and 'first'. */
static void
index_turns(const struct pool *pool, const uint16_t *quotas,
            struct turns *turns)
{
    uint16_t *n_seen = lb_xcalloc(pool->n_servers, sizeof *n_seen);
    size_t n = pool->n_servers;
    size_t next = 0;

    for (size_t turn = 0; turn < turns->n; turn++) {
        uint16_t server = turns->servers[turn];

        turns->before[turn] = n_seen[server]++;
        if (!turns->before[turn]) {
            turns->first[server] = turn;
        }
    }
    /* Twice round, for those without turns at the end of the file. */
    for (size_t i = 2 * n; i-- > 0; ) {
        if (quotas[i % n]) {
            next = turns->first[i % n];
        } else {
            turns->first[i % n] = next;
        }
    }
    free(n_seen);
}

void
turns_compute(const struct pool *pool, struct turns *turns)
{
    uint16_t *quotas = lb_xcalloc(pool->n_servers, sizeof *quotas);

    turns->n = turns_apportion(pool, quotas);
    turns->servers = lb_xcalloc(turns->n, sizeof *turns->servers);
    turns->before = lb_xcalloc(turns->n, sizeof *turns->before);
    turns->first = lb_xcalloc(pool->n_servers, sizeof *turns->first);
    pool->policy->order(quotas, pool->n_servers, turns->servers);
    index_turns(pool, quotas, turns);
    free(quotas);
}

void
turns_uninit(struct turns *turns)
{
    free(turns->servers);
    free(turns->before);
    free(turns->first);
}

uint32_t
turn_id(const struct assignment *a, const struct turns *turns, size_t turn)
{
    return ((uint32_t) a->members[turns->servers[turn]] << TURN_MEMBER_SHIFT
            | turns->before[turn]);
}

size_t
turn_find(const struct assignment *a, const struct turns *turns, uint32_t id)
{
    size_t server = assignment_find_member(a, id >> TURN_MEMBER_SHIFT);

    for (size_t turn = 0; turn < turns->n; turn++) {
        if (turn_id(a, turns, turn) == id) {
            return turn;
        }
    }
    return server == SIZE_MAX ? 0 : turns->first[server];
}

size_t
turn_after(const struct turns *turns, size_t turn)
{
    for (size_t i = 1; i < turns->n; i++) {
        size_t next = (turn + i) % turns->n;

        if (turns->servers[next] != turns->servers[turn]) {
            return next;
        }
    }
    return turn;
}

size_t
turn_pass_over(const struct turns *turns, size_t turn, const bool *dead)
{
    for (int i = 0; i <= TURNS_MAX_PASSED; i++) {
        if (!dead[turns->servers[turn]]) {
            return turn;
        }
        turn = turn_after(turns, turn);
    }
    return SIZE_MAX;
}
