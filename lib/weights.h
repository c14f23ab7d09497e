/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LB_WEIGHTS_H
#define LB_WEIGHTS_H 1

/* "weights:" of a pool: where its weights come from
 * =================================================
 *
 * Which weight policy, with which parameters, and whom it asks for what its
 * servers do.  Part of the model. */

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "lib/diag.h"
#include "lib/document.h"
#include "policies/weight.h"

enum source_kind {
    SOURCE_HTTP,                /* 'target' is a URL. */
    SOURCE_AGENT,               /* HAProxy's agent-check; "HOST:PORT". */
    SOURCE_FILE,                /* A path. */
    SOURCE_EXEC,                /* 'args'. */
    SOURCE_SWITCH               /* Nothing to ask: the switch itself knows. */
};

/* Which part of an answer a metric is. */
struct source_value {
    char *path;                 /* JSON "a.b.0", or Prometheus 'x{y="z"}'.
                                 * NULL: as the source does by itself. */
    bool is_rate;               /* A counter; what counts is its growth. */
    bool divides;               /* It is divided by 'factor', */
    double factor;              /* else multiplied. */
};

/* Somebody to ask about each server.  Texts may have "{ip}", "{name}" and
 * "{port}" in them, which stand for the server's. */
struct source {
    struct source_loc loc;
    enum source_kind kind;
    char *target;               /* NULL for SOURCE_EXEC and SOURCE_SWITCH. */
    char **args;                /* SOURCE_EXEC: path of the program first. */
    size_t n_args;
    char *ca;                   /* Who vouches for an https server, a PEM file;
                                 * NULL: whom the system trusts. */
    struct source_value values[N_METRICS];
};

struct weights {
    struct source_loc loc;
    const struct weight_policy *policy; /* NULL: the pool has no "weights". */
    bool is_right;              /* By itself; the pool may not fit. */
    double params[WEIGHT_MAX_PARAMS];   /* As 'policy->params'. */
    double common[WEIGHT_N_COMMON];     /* As 'weight_common'. */
    struct source *sources;
    size_t n_sources;
};

struct reader;

/* Reads the value of "weights" into '*weights', of zeros.  Returns false after
 * queueing errors.  To be uninitialized in any case. */
bool weights_read(const struct reader *, const struct node *,
                  struct weights *weights);
void weights_uninit(struct weights *);

/* Writes what weights_read() reads, as JSON. */
void weights_write(const struct weights *, FILE *);

/* Reads a number as a parameter of this kind is written. */
bool weight_param_read(const struct reader *, const struct node *,
                       const struct weight_param *, double *value);

/* Whether the policy cannot do without the metric. */
bool weights_need(const struct weights *, enum metric);

/* The names of the kinds of sources, as keys. */
const char *source_kind_name(enum source_kind);

struct server;

/* 'text', of 'source', with what stands in braces replaced by what it is of
 * 'server'.  The caller frees it. */
char *source_expand(const struct source *source, const char *text,
                    const struct server *server);

/* For people: "http http://{ip}/x".  The caller frees it. */
char *source_format(const struct source *, const struct server *);

#endif /* lib/weights.h */
