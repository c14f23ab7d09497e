/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LB_REFRESH_INTERNAL_H
#define LB_REFRESH_INTERNAL_H 1

/* What the parts of lib/refresh*.c share
 * ====================================== */

#include "lib/refresh.h"
#include "lib/refreshed.h"

/* One server of a pool of the round. */
struct round_server {
    bool asked;
    size_t first;               /* Its first question in the batch; one for
                                 * each source but the switch. */
    struct refresh_switch from_switch;
};

struct round_pool {
    const struct pool *pool;    /* Of the file. */
    int64_t refreshed_at;       /* When it was asked: of the round before. */
    struct round_server *servers;   /* As 'pool->servers'. */
};

struct refresh_round {
    struct metrics_batch *batch;
    struct round_pool *pools;
    size_t n_pools;
};

/* What is known of a server after it was asked. */
enum sample_status {
    SAMPLE_NONE,                /* It was not asked. */
    SAMPLE_OK,
    SAMPLE_WAITS,               /* Of counters, which need a second round. */
    SAMPLE_MISSING
};

/* One server on its way through a round. */
struct work_server {
    struct server *server;      /* Of the model: gets the result. */
    struct refreshed *old;      /* Its layer before, NULL for none.  Owned. */
    const struct round_server *round;   /* NULL if the file has it not. */
    double capacity;
    enum sample_status status;
    bool is_active;             /* Ready, with a weight that is ours. */
    double ratio;               /* In force, and wanted in the end. */
    double target;
    double start;               /* Likewise, of slow start. */
    double start_target;
    struct refresh_server *report;
};

/* One pool on its way. */
struct work {
    const struct refresh_round *round;
    const struct round_pool *round_pool;
    const struct weights *weights;      /* Of the file. */
    struct pool *pool;                  /* Of the model. */
    struct work_server *servers;        /* As 'pool->servers'. */
    size_t n;
    double now;                 /* Seconds since the epoch. */
    double since_last;          /* Seconds since the last round, NAN for the
                                 * first. */
    const uint16_t *owners;     /* Of slots, or NULL. */
    struct refresh_pool *report;
    struct diags *diags;
};

/* Checks and smoothes what server 'i' says, into its layer. */
void work_take_sample(struct work *, size_t i);

/* Fills in 'target' and 'start_target' of all servers, and why. */
void work_find_targets(struct work *);

/* Goes from 'ratio' to 'target' and from 'start' to 'start_target' as far as
 * the slots may. */
void work_move(struct work *);

#endif /* lib/refresh-internal.h */
