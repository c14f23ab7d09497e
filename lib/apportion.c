/* SPDX-License-Identifier: Apache-2.0 */

/* How many slots each server gets
 * ===============================
 *
 * Hamilton's method (largest remainders), level by level: the whole table is
 * divided among the sets and servers at the top, what a set gets among those
 * in it, and so on.  What somebody is to have exactly is a fraction of the
 * table, the product of his share and those of the sets that he is in.  He
 * gets that rounded down, and those with the largest remainders one more until
 * all is given out.  A set that was rounded up has at least one member with a
 * remainder, and one that was rounded down has no more slots than its members
 * rounded up, so on every level everybody is off by less than a slot: sets as
 * well as servers.  (That such a rounding exists for any hierarchy is known
 * from Cox, "A constructive procedure for unbiased controlled rounding",
 * 1987.)
 *
 * All fractions are kept exact. */

#include "lib/slots.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "lib/util.h"
#include "policies/hash.h"

/* Enough for what the model allows: up to three levels of sets, whose weights
 * have 16 bits, and servers' shares of 32, with up to 4096 of each. */
__extension__ typedef unsigned __int128 wide;

/* A set or a server with a share above 0. */
struct claim {
    const char *name;
    uint64_t hash;              /* Of 'name'. */
    size_t index;               /* In the caller's sets or servers. */
    struct claim *parent;       /* NULL for the root. */
    uint32_t share;
    bool is_live;               /* False for a set without a server. */

    wide asked, of;             /* asked / of slots, the latter the same for
                                 * all with this parent. */
    wide remainder;             /* Of that division. */
    wide numerator, denominator; /* Of a set: asked / of, in lowest terms. */
    uint64_t sum;               /* Of a set: the shares of those in it. */
    uint16_t owned;             /* Slots in the installed table. */
    uint16_t quota;
};

/* All claims to one table.  The first is the table as a whole, then come the
 * sets, each after the one that it is in, then the servers. */
struct claims {
    struct claim *list;
    size_t n;
    size_t n_sets;              /* With the first. */
    size_t n_slots;
};

int
slots_compare_names(uint64_t a_hash, const char *a, uint64_t b_hash,
                    const char *b)
{
    return a_hash != b_hash ? (a_hash < b_hash ? -1 : 1) : strcmp(a, b);
}

static int
compare_claim_names(const struct claim *a, const struct claim *b)
{
    return slots_compare_names(a->hash, a->name, b->hash, b->name);
}

static struct claim *
claims_add(struct claims *c, const char *name, size_t index, uint32_t share,
           struct claim *parent)
{
    struct claim *claim = &c->list[c->n++];

    *claim = (struct claim) {
        .name = name,
        .hash = hash_string(name),
        .index = index,
        .share = share,
        .parent = parent,
    };
    return claim;
}

/* Makes 'claim', of a server, and the sets that it is in count. */
static void
claim_live(struct claim *claim, uint16_t owned)
{
    for (; claim; claim = claim->parent) {
        claim->owned += owned;
        if (!claim->is_live && claim->parent) {
            claim->parent->sum += claim->share;
        }
        claim->is_live = true;
    }
}

/* Whether nobody from 'claim' upward is held at nothing. */
static bool
claim_takes_part(const struct claim *claim)
{
    while (claim && claim->share) {
        claim = claim->parent;
    }
    return !claim;
}

static struct claims
claims_collect(const struct slot_demand *demand, const uint16_t *installed,
               size_t n_slots)
{
    struct claims c = { .n_slots = n_slots };
    uint16_t *owned = lb_xcalloc(demand->n + 1, sizeof *owned);

    assert(n_slots <= SLOTS_MAX);
    for (size_t s = 0; installed && s < n_slots; s++) {
        if (installed[s] != SLOT_NONE) {
            owned[installed[s]]++;
        }
    }
    c.list = lb_xcalloc(1 + demand->n_sets + demand->n, sizeof *c.list);
    claims_add(&c, "", 0, 1, NULL);
    for (size_t i = 0; i < demand->n_sets; i++) {
        const struct slot_set *set = &demand->sets[i];

        claims_add(&c, set->name, i, set->share, &c.list[set->parent]);
    }
    c.n_sets = c.n;
    for (size_t i = 0; i < demand->n; i++) {
        const struct slot_server *server = &demand->servers[i];
        struct claim *parent = &c.list[server->set];

        if (server->share && claim_takes_part(parent)) {
            claim_live(claims_add(&c, server->name, i, server->share, parent),
                       owned[i]);
        }
    }
    free(owned);
    return c;
}

static void
claim_reduce(struct claim *claim)
{
    wide a = claim->asked;
    wide b = claim->of;

    while (b) {
        wide rest = a % b;

        a = b;
        b = rest;
    }
    claim->numerator = claim->asked / a;
    claim->denominator = claim->of / a;
}

/* Works out what each claim asks for and gives it the whole part. */
static void
claims_work_out(struct claims *c)
{
    c->list[0].numerator = c->n_slots;
    c->list[0].denominator = 1;
    c->list[0].quota = (uint16_t) c->n_slots;
    for (size_t i = 1; i < c->n; i++) {
        struct claim *claim = &c->list[i];
        const struct claim *parent = claim->parent;

        if (claim->is_live) {
            claim->asked = parent->numerator * claim->share;
            claim->of = parent->denominator * parent->sum;
            claim->remainder = claim->asked % claim->of;
            claim->quota = (uint16_t) (claim->asked / claim->of);
            if (i < c->n_sets) {
                claim_reduce(claim);
            }
        }
    }
}

/* By parent; of those with the same one, who is first to get one of the slots
 * that whole parts leave over. */
static int
compare_remainders(const void *a_, const void *b_)
{
    const struct claim *a = *(struct claim *const *) a_;
    const struct claim *b = *(struct claim *const *) b_;
    bool a_owns = a->owned > a->quota;
    bool b_owns = b->owned > b->quota;

    if (a->parent != b->parent) {
        return a->parent < b->parent ? -1 : 1;
    } else if (a->remainder != b->remainder) {
        return a->remainder > b->remainder ? -1 : 1;
    }
    return a_owns != b_owns ? b_owns - a_owns : compare_claim_names(a, b);
}

/* Gives 'n' claims with one parent what whole parts leave of its quota. */
static void
give_out_rest(struct claim **claims, size_t n)
{
    size_t left = claims[0]->parent->quota;

    for (size_t i = 0; i < n; i++) {
        left -= claims[i]->quota;
    }
    assert(left <= n);
    for (size_t i = 0; i < left; i++) {
        claims[i]->quota++;
    }
}

/* Hamilton's method, from the top. */
static void
claims_apportion(struct claims *c)
{
    struct claim **sorted = lb_xcalloc(c->n, sizeof *sorted);
    size_t n = 0;

    claims_work_out(c);
    for (size_t i = 1; i < c->n; i++) {
        if (c->list[i].is_live) {
            sorted[n++] = &c->list[i];
        }
    }
    qsort(sorted, n, sizeof *sorted, compare_remainders);
    for (size_t i = 0, end; i < n; i = end) {
        for (end = i + 1; end < n; end++) {
            if (sorted[end]->parent != sorted[i]->parent) {
                break;
            }
        }
        give_out_rest(&sorted[i], end - i);
    }
    free(sorted);
}

/* The sign of how much more 'a' is above what it asks for than 'b' is. */
static int
compare_excess(const struct claim *a, const struct claim *b)
{
    int a_whole = a->quota - (int) (a->asked / a->of);
    int b_whole = b->quota - (int) (b->asked / b->of);

    if (a->of == b->of) {
        wide a_sum = (wide) (a_whole + SLOTS_MAX) * a->of + b->remainder;
        wide b_sum = (wide) (b_whole + SLOTS_MAX) * b->of + a->remainder;

        return a_sum > b_sum ? 1 : a_sum < b_sum ? -1 : 0;
    } else {
        double a_excess = a_whole - (double) a->remainder / (double) a->of;
        double b_excess = b_whole - (double) b->remainder / (double) b->of;

        return a_excess > b_excess ? 1 : a_excess < b_excess ? -1 : 0;
    }
}

/* True if 'a' should give up a slot rather than 'b'.  Of two equals it is the
 * one that does not own all its slots yet: what it gives up is not there to be
 * moved. */
static bool
gives_before(const struct claim *a, const struct claim *b)
{
    int excess = compare_excess(a, b);
    bool a_lacks = a->owned < a->quota;
    bool b_lacks = b->owned < b->quota;

    if (excess) {
        return excess > 0;
    }
    return a_lacks != b_lacks ? a_lacks : compare_claim_names(a, b) < 0;
}

/* Gives a slot to each server that has none.  There are slots enough, so as
 * long as one has none another one has two. */
static void
claims_feed_the_poor(struct claims *c)
{
    for (size_t i = c->n_sets; i < c->n; i++) {
        struct claim *giver = NULL;

        if (c->list[i].quota) {
            continue;
        }
        for (size_t j = c->n_sets; j < c->n; j++) {
            struct claim *other = &c->list[j];

            if (other->quota > 1 && (!giver || gives_before(other, giver))) {
                giver = other;
            }
        }
        assert(giver);
        giver->quota--;
        c->list[i].quota = 1;
    }
}

/* Who is first to get a slot when there is none for everybody. */
static int
compare_asked(const void *a_, const void *b_)
{
    const struct claim *a = *(struct claim *const *) a_;
    const struct claim *b = *(struct claim *const *) b_;
    double a_asked = (double) a->asked / (double) a->of;
    double b_asked = (double) b->asked / (double) b->of;

    if (a_asked != b_asked) {
        return a_asked > b_asked ? -1 : 1;
    }
    return !a->owned != !b->owned ? !a->owned - !b->owned
                                  : compare_claim_names(a, b);
}

/* One slot each for those who ask for most. */
static void
claims_ration(struct claims *c)
{
    size_t n = c->n - c->n_sets;
    struct claim **sorted = lb_xcalloc(n, sizeof *sorted);

    claims_work_out(c);
    for (size_t i = 0; i < n; i++) {
        sorted[i] = &c->list[c->n_sets + i];
    }
    qsort(sorted, n, sizeof *sorted, compare_asked);
    for (size_t i = 0; i < n; i++) {
        sorted[i]->quota = i < c->n_slots;
    }
    free(sorted);
}

void
slots_apportion(const struct slot_demand *demand, const uint16_t *installed,
                size_t n_slots, uint16_t *quotas)
{
    struct claims c = claims_collect(demand, installed, n_slots);

    if (c.n - c.n_sets > n_slots) {
        claims_ration(&c);
    } else if (c.n > c.n_sets) {
        claims_apportion(&c);
        claims_feed_the_poor(&c);
    }

    memset(quotas, 0, demand->n * sizeof *quotas);
    for (size_t i = c.n_sets; i < c.n; i++) {
        quotas[c.list[i].index] = c.list[i].quota;
    }
    free(c.list);
}

/* Whether each server owns its quota of 'installed'. */
static bool
are_owned(const uint16_t *quotas, size_t n, const uint16_t *installed,
          size_t n_slots)
{
    uint16_t *owned = lb_xcalloc(n + 1, sizeof *owned);
    bool equal;

    for (size_t s = 0; s < n_slots; s++) {
        if (installed[s] != SLOT_NONE) {
            owned[installed[s]]++;
        }
    }
    equal = !memcmp(owned, quotas, n * sizeof *owned);
    free(owned);
    return equal;
}

void
slots_apportion_homes(const struct slot_demand *demand,
                      const uint16_t *installed, const uint16_t *homes,
                      size_t n_slots, uint16_t *quotas)
{
    uint16_t *mine;

    slots_apportion(demand, installed, n_slots, quotas);
    if (!installed || !homes
        || are_owned(quotas, demand->n, installed, n_slots)) {
        return;
    }
    mine = lb_xcalloc(n_slots, sizeof *mine);
    for (size_t s = 0; s < n_slots; s++) {
        mine[s] = homes[s] != SLOT_NONE ? homes[s] : installed[s];
    }
    slots_apportion(demand, mine, n_slots, quotas);
    free(mine);
}

void
slots_fractions(const struct slot_demand *demand, double *fractions)
{
    struct claims c = claims_collect(demand, NULL, 1);

    claims_work_out(&c);
    memset(fractions, 0, demand->n * sizeof *fractions);
    for (size_t i = c.n_sets; i < c.n; i++) {
        const struct claim *claim = &c.list[i];

        fractions[claim->index] = (double) claim->asked / (double) claim->of;
    }
    free(c.list);
}
