/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LB_REFRESH_H
#define LB_REFRESH_H 1

/* One round of metrics and weights
 * ================================
 *
 *     round = refresh_create(file, model);        whom to ask
 *     metrics_finish(refresh_batch(round));       or in small steps
 *     refresh_compute(round, model, ...);         new weights, in 'model'
 *     ... report, and update the bridge to 'model' ...
 *     refresh_destroy(round);
 *
 * Which policies, parameters and sources there are is what the file says, and
 * never what the bridge says: programs may be run.
 *
 * From an answer to a weight:
 *
 *   1. An answer is checked; what cannot be is left out and reported.
 *   2. Each metric is smoothed, by an exponentially weighted moving average.
 *   3. The weight policy says what it wants.
 *   4. That is kept within "min" and "max" times the configured weight,
 *   5. ignored if it is less than "deadband" away from the weight in force,
 *   6. and otherwise followed by "max_step" at most.
 *   7. Nothing changes as long as no server is off by most of a slot,
 *   8. and no more than "max_move" of the slots change hands.
 *
 * A server that says nothing keeps its weight for "hold" rounds and then goes
 * step by step to its configured one.  If half of a pool says nothing, the
 * pool keeps all weights: it is frozen.
 *
 * Pure but for the batch: refresh_compute() is told what time it is. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/assign.h"
#include "lib/diag.h"
#include "lib/metrics.h"
#include "lib/model.h"

/* Why a server has the weight that it has after a round. */
enum refresh_why {
    REFRESH_NOT_READY,          /* Drained, in maint, down or of weight 0. */
    REFRESH_OVERRIDDEN,         /* By the operator. */
    REFRESH_WAITS,              /* Counters need a second round. */
    REFRESH_HOLDS,              /* Says nothing, and keeps its weight. */
    REFRESH_DRIFTS,             /* Said nothing for too long. */
    REFRESH_FROZEN,             /* Half of the pool says nothing. */
    REFRESH_AGENT,              /* Its agent says drain. */
    REFRESH_SAME,               /* Within the deadband. */
    REFRESH_SLOTS,              /* Too little for a slot. */
    REFRESH_FOLLOWS,            /* Gets what is wanted. */
    REFRESH_BOUND,              /* By "min" or "max". */
    REFRESH_STEP,               /* By "max_step". */
    REFRESH_MOVE                /* By "max_move". */
};

/* What became of one server. */
struct refresh_server {
    const char *name;
    bool asked;
    bool missing;               /* Asked, and nothing usable came. */
    char *complaint;            /* What is wrong with the sample, or NULL. */
    double sample[N_METRICS];   /* As measured; NAN for those not known. */
    double smoothed[N_METRICS];
    double wanted;              /* Weight, by the policy; NAN for none. */
    double old_weight;
    double weight;              /* In the file's unit. */
    size_t old_slots, slots;
    bool starting;              /* In slow start. */
    enum refresh_why why;
};

/* What became of one pool. */
struct refresh_pool {
    const char *name;
    const struct weights *weights;
    bool frozen;
    bool weights_changed;
    bool state_changed;         /* Anything that has to be remembered. */
    struct refresh_server *servers; /* As those of the pool. */
    size_t n_servers;
};

struct refresh_report {
    struct refresh_pool *pools; /* Those with "weights". */
    size_t n_pools;
};

struct refresh_round;

/* Begins a round for those pools of 'model' that have "weights" in 'file'.  Of
 * their servers those are asked that 'model' says are ready, with all layers
 * on it.  'file' must live as long as the round; 'model' need not. */
struct refresh_round *refresh_create(const struct model *file,
                                     const struct model *model);
void refresh_destroy(struct refresh_round *);

/* What is to be asked, owned by the round. */
struct metrics_batch *refresh_batch(struct refresh_round *);

/* What the switch says of one server of a pool. */
struct refresh_switch {
    bool known;
    double qps_counter;         /* New connections so far, NAN: not known. */
    double packets_counter;
    double bytes_counter;
    double connections;         /* Open ones, NAN if not known. */
};

/* Whether any pool asks the switch, and for open connections, which are not
 * free to count. */
bool refresh_needs_switch(const struct refresh_round *);
bool refresh_needs_connections(const struct refresh_round *);

/* Tells the round what the switch says of server 'server' of the pool called
 * 'pool'. */
void refresh_set_switch(struct refresh_round *, const char *pool,
                        const char *server, const struct refresh_switch *);

/* Puts new weights into the pools of 'model' that the round is for (others are
 * left alone), which has the layers of lib/override.h and lib/refreshed.h on
 * it, and queues warnings.  'installed' has the slots.  'now' is when the
 * answers were there, in seconds since the epoch, with fractions.
 *
 * The batch must be done.  May be called again, with a fresh 'model', for the
 * same answers: servers that are ready only since then are as those that were
 * not asked, and pools that have had another round since then, which had newer
 * answers, are left alone and are not in the report. */
void refresh_compute(struct refresh_round *, struct model *model,
                     const struct assignments *installed, double now,
                     struct refresh_report *, struct diags *);
void refresh_report_uninit(struct refresh_report *);

/* True if any pool is frozen; or if there is anything to send. */
bool refresh_any_frozen(const struct refresh_report *);
bool refresh_any_change(const struct refresh_report *);

const char *refresh_why_name(enum refresh_why);

#endif /* lib/refresh.h */
