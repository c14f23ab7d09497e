/* SPDX-License-Identifier: Apache-2.0 */

/* How slots find their servers
 * ============================
 *
 * Every pair of a server and a slot has a cost, and the cheapest pair of all
 * that are still possible is made first, until every slot has a server and
 * every server has its quota.
 *
 * The cost is that of weighted rendezvous (Thaler and Ravishankar, "Using
 * name-based mappings to increase hit rates", 1998): let u be a number in (0,
 * 1) drawn by hashing the server's name and the slot; the cost is -log(u) /
 * quota.  If each slot simply took its cheapest server, servers would get
 * slots in proportion to their quotas, give or take chance, and a server that
 * joins or leaves would disturb no slots but its own.  Holding servers to
 * their quotas takes out the chance and disturbs few slots more.
 *
 * "Cheapest pair first" is what deferred acceptance finds (Gale and Shapley,
 * "College admissions and the stability of marriage", 1962): each slot asks
 * the servers in order of cost, and a server over quota sends away its most
 * expensive slot, which asks on.  Because both sides rank a pair by the same
 * number there is only one stable outcome, whoever asks first.
 *
 * All this ends up in switches, so it must come out bit for bit the same on
 * every machine.  Hence the logarithm in integers: libm's differs in the last
 * bit from one libc to the next. */

#include "lib/slots.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "lib/util.h"
#include "policies/hash.h"

/* A server with a quota above 0. */
struct taker {
    uint16_t index;             /* In the caller's servers. */
    const char *name;
    uint64_t hash;              /* Of 'name'. */
    uint16_t quota;
    uint64_t inverse;           /* Of the quota, times 2**INVERSE_BITS. */
    size_t room;                /* Slots it may still take. */
    uint64_t likely;            /* See market_set_likely(). */

    /* Free slots that it holds for now, by 'next_held' of the market.  Once it
     * holds 'room' of them, 'worst' is the most expensive one. */
    size_t n_held;
    size_t held;
    size_t worst;
    uint64_t worst_cost;        /* UINT64_MAX while there is room. */
};

/* A free slot and a taker that it is likely to end up with. */
struct pair {
    struct taker *taker;
    uint64_t bound;             /* No more than what the pair costs. */
};

/* Free slots and the servers that have room for them. */
struct market {
    struct taker *takers;       /* In the order of compare_takers(). */
    size_t n_takers;
    const uint16_t *homes;      /* By slot, borrowed; NULL for none. */
    bool *is_short;             /* By server: its quota is above what it
                                 * owns. */
    uint16_t free[SLOTS_MAX];   /* Ascending. */
    size_t n_free;

    /* Likely pairs of free slot f, from [first_pair[f]] until before
     * [first_pair[f + 1]].  No other pair costs less than 'unlikely_cost'. */
    struct pair *pairs;
    size_t n_pairs, allocated_pairs;
    size_t first_pair[SLOTS_MAX + 1];
    uint64_t unlikely_cost;

    /* By free slot: who holds it, at what cost, and which else that one holds,
     * up to NOTHING_HELD. */
    struct taker *holder[SLOTS_MAX];
    uint64_t held_cost[SLOTS_MAX];
    uint16_t next_held[SLOTS_MAX];
};

/* Fractional bits of an inverse quota.  A cost has 6 + LOG_BITS bits from the
 * logarithm and these from the inverse, 62 in all. */
#define INVERSE_BITS 24
#define LOG_BITS 32
#define LOG_STEPS 8

/* How many likely pairs a slot has, about.  With much less many slots run out
 * of them, and much more are not looked at any faster than all. */
#define LIKELY_PAIRS 32

#define NOTHING_HELD UINT16_MAX

/* Above all that; see keeping_cost(). */
#define COST_GUEST (UINT64_C(1) << 62)
#define COST_WANTED (UINT64_C(1) << 63)

/* Returns about -log2('u' / 2**64) * 2**LOG_BITS, always above 0.
 *
 * Squaring a number in [1, 2) doubles its logarithm, whose whole part then is
 * the next bit of the fraction (Knuth, The Art of Computer Programming, volume
 * 1, section 1.2.2).  Some bits are worked out that way, the rest is taken as
 * linear, which is off by less than 0.0004: plenty, as quotas are exact. */
static uint64_t
minus_log2(uint64_t u)
{
    uint64_t fraction = 0;
    unsigned int zeros;
    uint64_t m;                 /* In [1, 2), with 31 fractional bits. */

    u |= 1;                     /* 0 has no logarithm. */
    zeros = (unsigned int) __builtin_clzll(u);
    m = u << zeros >> 32;
    for (int i = 0; i < LOG_STEPS; i++) {
        m = m * m >> 31;
        fraction = fraction << 1 | m >> 32;
        m >>= m >> 32;
    }
    m -= UINT64_C(1) << 31;
    fraction = (fraction << 31 | m) >> (LOG_STEPS + 31 - LOG_BITS);
    return ((uint64_t) (zeros + 1) << LOG_BITS) - fraction;
}

/* Returns no more than minus_log2() and, for the cheap pairs that matter,
 * hardly less, in a fraction of the time.
 *
 * The logarithm of a number in [1, 2) is below its tangent at 2, whose slope
 * is 1 / (2 * ln(2)) = 0.7213, of which 184 / 256 takes a little off;
 * minus_log2() itself only ever rounds a logarithm down. */
static uint64_t
minus_log2_bound(uint64_t u)
{
    unsigned int zeros;
    uint64_t to_2;              /* 2 - m, with LOG_BITS fractional bits. */

    u |= 1;
    zeros = (unsigned int) __builtin_clzll(u);
    to_2 = (UINT64_C(1) << LOG_BITS) - (u << zeros << 1 >> (64 - LOG_BITS));
    return ((uint64_t) zeros << LOG_BITS) + (to_2 * 184 >> 8);
}

static bool
is_home(const struct market *m, const struct taker *t, size_t slot)
{
    return m->homes && m->homes[slot] == t->index;
}

/* What the pair costs: nothing for a slot that was its own before. */
static uint64_t
slot_cost(const struct market *m, const struct taker *t, size_t slot)
{
    return (is_home(m, t, slot) ? 0
            : minus_log2(hash_mix(t->hash, slot)) * t->inverse);
}

/* What it costs 't' to keep 'slot', of those that it owns.  What was another
 * server's before costs more than all that was its own, and most if that one
 * is short of slots now. */
static uint64_t
keeping_cost(const struct market *m, const struct taker *t, size_t slot)
{
    uint16_t home = m->homes ? m->homes[slot] : SLOT_NONE;
    uint64_t cost = slot_cost(m, t, slot);

    return (home == SLOT_NONE || home == t->index ? cost
            : cost | (m->is_short[home] ? COST_WANTED : COST_GUEST));
}

static int
compare_takers(const void *a_, const void *b_)
{
    const struct taker *a = a_;
    const struct taker *b = b_;

    return slots_compare_names(a->hash, a->name, b->hash, b->name);
}

/* Fills in 'm->takers', with the whole quota as room. */
static void
market_invite(struct market *m, const struct slot_server *servers, size_t n,
              const uint16_t *quotas)
{
    m->takers = lb_xcalloc(n + 1, sizeof *m->takers);
    for (size_t i = 0; i < n; i++) {
        if (quotas[i]) {
            m->takers[m->n_takers++] = (struct taker) {
                .index = (uint16_t) i,
                .name = servers[i].name,
                .hash = hash_string(servers[i].name),
                .quota = quotas[i],
                .inverse = (UINT64_C(1) << INVERSE_BITS) / quotas[i],
                .room = quotas[i],
            };
        }
    }
    qsort(m->takers, m->n_takers, sizeof *m->takers, compare_takers);
}

/* Finds out who owns fewer slots than its quota. */
static void
market_find_short(struct market *m, size_t n, const uint16_t *quotas,
                  const uint16_t *installed, size_t n_slots)
{
    uint16_t *owned = lb_xcalloc(n + 1, sizeof *owned);

    m->is_short = lb_xcalloc(n + 1, sizeof *m->is_short);
    for (size_t s = 0; installed && s < n_slots; s++) {
        if (installed[s] != SLOT_NONE) {
            owned[installed[s]]++;
        }
    }
    for (size_t i = 0; i < n; i++) {
        m->is_short[i] = owned[i] < quotas[i];
    }
    free(owned);
}

/* Leaves 't' the slots that it owns in 'installed', of those too many the
 * cheapest, but first no others' that want them back, and takes them off its
 * room. */
static void
taker_keep(const struct market *m, struct taker *t, const uint16_t *installed,
           size_t n_slots, uint16_t *slots)
{
    uint64_t cost[SLOTS_MAX];
    uint16_t owned[SLOTS_MAX];
    size_t n_owned = 0;

    for (size_t s = 0; s < n_slots; s++) {
        if (installed[s] == t->index) {
            owned[n_owned++] = (uint16_t) s;
        }
    }
    for (size_t i = 0; n_owned > t->room && i < n_owned; i++) {
        cost[i] = keeping_cost(m, t, owned[i]);
    }
    while (n_owned > t->room) {
        size_t worst = 0;

        for (size_t i = 1; i < n_owned; i++) {
            if (cost[i] >= cost[worst]) {
                worst = i;
            }
        }
        n_owned--;
        memmove(&owned[worst], &owned[worst + 1],
                (n_owned - worst) * sizeof *owned);
        memmove(&cost[worst], &cost[worst + 1],
                (n_owned - worst) * sizeof *cost);
    }
    for (size_t i = 0; i < n_owned; i++) {
        slots[owned[i]] = t->index;
    }
    t->room -= n_owned;
}

/* Says which of the numbers that takers draw for slots are likely to win: for
 * each slot about LIKELY_PAIRS, those that make the cheapest pairs.  There a
 * cost is in proportion to what the number is short of 1, over the quota, and
 * the chance to be that cheap therefore to the quota. */
static void
market_set_likely(struct market *m)
{
    double total = 0;

    for (size_t i = 0; i < m->n_takers; i++) {
        total += m->takers[i].quota;
    }
    m->unlikely_cost = UINT64_MAX;
    for (size_t i = 0; i < m->n_takers; i++) {
        struct taker *t = &m->takers[i];
        double chance = LIKELY_PAIRS * t->quota / total;

        t->likely = 0;
        if (chance < 1) {
            uint64_t cost;

            t->likely = (uint64_t) ((1 - chance) * 0x1p64);
            cost = minus_log2_bound(t->likely - 1) * t->inverse;
            m->unlikely_cost = cost < m->unlikely_cost ? cost
                               : m->unlikely_cost;
        }
    }
}

/* Finds the likely pairs of free slot 'f', the next one. */
static void
market_pair_up(struct market *m, size_t f)
{
    size_t slot = m->free[f];

    for (size_t i = 0; i < m->n_takers; i++) {
        struct taker *t = &m->takers[i];
        uint64_t u = hash_mix(t->hash, slot);

        if (u >= t->likely || is_home(m, t, slot)) {
            m->pairs = lb_grow(m->pairs, m->n_pairs, &m->allocated_pairs,
                               sizeof *m->pairs);
            m->pairs[m->n_pairs++] = (struct pair) {
                .taker = t,
                .bound = is_home(m, t, slot) ? 0
                         : minus_log2_bound(u) * t->inverse,
            };
        }
    }
    m->first_pair[f + 1] = m->n_pairs;
}

/* Sends home the takers without room, lists the slots that nobody has in
 * 'slots' and finds their likely pairs. */
static void
market_open(struct market *m, const uint16_t *slots, size_t n_slots)
{
    size_t n_takers = 0;

    for (size_t i = 0; i < m->n_takers; i++) {
        if (m->takers[i].room) {
            m->takers[n_takers] = m->takers[i];
            m->takers[n_takers].held = NOTHING_HELD;
            m->takers[n_takers++].worst_cost = UINT64_MAX;
        }
    }
    m->n_takers = n_takers;

    for (size_t s = 0; s < n_slots; s++) {
        if (slots[s] == SLOT_NONE) {
            m->free[m->n_free++] = (uint16_t) s;
        }
    }
    market_set_likely(m);
    for (size_t f = 0; f < m->n_free; f++) {
        market_pair_up(m, f);
    }
}

/* Makes 't' the holder of free slot 'f' if that costs less than the holder
 * that 'f' has, and 't' would not send it away. */
static void
market_offer(struct market *m, size_t f, struct taker *t)
{
    uint64_t cost = slot_cost(m, t, m->free[f]);

    if (cost < m->held_cost[f]
        && (cost < t->worst_cost
            || (cost == t->worst_cost && f < t->worst))) {
        m->holder[f] = t;
        m->held_cost[f] = cost;
    }
}

/* Finds the cheapest taker for free slot 'f' that would not send it away, and
 * returns that.  The slot need not remember whom it has asked: those who
 * refused it once hold cheaper slots and will never hold more expensive ones
 * again. */
static struct taker *
market_choose(struct market *m, size_t f)
{
    m->holder[f] = NULL;
    m->held_cost[f] = UINT64_MAX;
    for (size_t i = m->first_pair[f]; i < m->first_pair[f + 1]; i++) {
        const struct pair *pair = &m->pairs[i];

        if (pair->bound < m->held_cost[f]
            && pair->bound <= pair->taker->worst_cost) {
            market_offer(m, f, pair->taker);
        }
    }
    /* Of equal ones the first taker is chosen, likely or not. */
    if (m->held_cost[f] >= m->unlikely_cost) {
        m->held_cost[f] = UINT64_MAX;
        for (size_t i = 0; i < m->n_takers; i++) {
            market_offer(m, f, &m->takers[i]);
        }
    }
    assert(m->holder[f]);
    return m->holder[f];
}

/* Finds the most expensive slot that 't' holds, of equals the last. */
static void
market_find_worst(const struct market *m, struct taker *t)
{
    t->worst = t->held;
    t->worst_cost = m->held_cost[t->held];
    for (size_t f = t->held; f != NOTHING_HELD; f = m->next_held[f]) {
        if (m->held_cost[f] > t->worst_cost
            || (m->held_cost[f] == t->worst_cost && f > t->worst)) {
            t->worst = f;
            t->worst_cost = m->held_cost[f];
        }
    }
}

static void
market_hold(struct market *m, struct taker *t, size_t f)
{
    m->next_held[f] = (uint16_t) t->held;
    t->held = f;
    t->n_held++;
}

/* Sends away the most expensive slot that 't' held before 'f', which was just
 * added to those, and returns it. */
static size_t
market_send_away(struct market *m, struct taker *t, size_t f)
{
    size_t worst = t->worst;

    while (m->next_held[f] != worst) {
        f = m->next_held[f];
    }
    m->next_held[f] = m->next_held[worst];
    t->n_held--;
    return worst;
}

/* Lets all free slots ask until each has a taker. */
static void
market_run(struct market *m)
{
    size_t asking[SLOTS_MAX];
    size_t n_asking = 0;

    for (size_t f = m->n_free; f-- > 0; ) {
        asking[n_asking++] = f;
    }
    while (n_asking) {
        size_t f = asking[--n_asking];
        struct taker *t = market_choose(m, f);

        market_hold(m, t, f);
        if (t->n_held > t->room) {
            asking[n_asking++] = market_send_away(m, t, f);
        }
        if (t->n_held == t->room) {
            market_find_worst(m, t);
        }
    }
}

void
slots_assign(const struct slot_server *servers, size_t n,
             const uint16_t *quotas, const uint16_t *installed,
             const uint16_t *homes, size_t n_slots, uint16_t *slots)
{
    struct market m = { .homes = homes };

    assert(n_slots <= SLOTS_MAX && n < SLOT_NONE);
    for (size_t s = 0; s < n_slots; s++) {
        slots[s] = SLOT_NONE;
    }
    market_invite(&m, servers, n, quotas);
    market_find_short(&m, n, quotas, installed, n_slots);
    for (size_t i = 0; installed && i < m.n_takers; i++) {
        taker_keep(&m, &m.takers[i], installed, n_slots, slots);
    }
    if (m.n_takers) {
        market_open(&m, slots, n_slots);
        market_run(&m);
    }
    for (size_t f = 0; f < m.n_free; f++) {
        slots[m.free[f]] = m.holder[f]->index;
    }
    free(m.pairs);
    free(m.is_short);
    free(m.takers);
}

void
slots_find_homes(const uint16_t *quotas, const uint16_t *installed,
                 const uint16_t *homes, const uint16_t *slots, size_t n_slots,
                 uint16_t *new_homes)
{
    for (size_t s = 0; s < n_slots; s++) {
        uint16_t home = homes ? homes[s] : SLOT_NONE;

        if (home == SLOT_NONE && installed && installed[s] != SLOT_NONE
            && !quotas[installed[s]]) {
            home = installed[s];
        }
        new_homes[s] = home == slots[s] ? SLOT_NONE : home;
    }
}

size_t
slots_moved(const uint16_t *a, const uint16_t *b, size_t n_slots)
{
    size_t moved = 0;

    for (size_t s = 0; s < n_slots; s++) {
        moved += a[s] != b[s];
    }
    return moved;
}
