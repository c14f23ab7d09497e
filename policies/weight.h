/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WEIGHT_H
#define WEIGHT_H 1

/* Weight policies
 * ===============
 *
 * A weight policy says which weights a pool's servers should have, given what
 * they report of themselves.  It is a second kind of policy, beside those in
 * policies/policy.h that make shares of weights: "lbgen refresh" asks it once
 * a round, and what it wants is damped, bounded and compared with what is
 * there by lib/refresh.h before anything comes of it.
 *
 * Pure: no YAML, no switch, no clock; equal inputs always give equal output.
 *
 * To add one: write policies/weight-<name>.c with one "const struct
 * weight_policy" at its end, declare that here, list it in weight.c, list the
 * file in policies/automake.mk, describe it under CHOOSING A WEIGHT POLICY in
 * lbgen.yaml(5) and test it in tests/test_weight_policies.py.  Parameters are
 * rows of a table: reading, checking, writing and messages come from that. */

#include <stdbool.h>
#include <stddef.h>

/* What servers report, or the switch of them.  Fractions are of what there is:
 * 1 is a CPU that is busy all the time; it may be more. */
enum metric {
    METRIC_CPU,                 /* Fraction. */
    METRIC_MEMORY,              /* Fraction. */
    METRIC_NETWORK,             /* Fraction. */
    METRIC_IO,                  /* Fraction. */
    METRIC_RESPONSE_TIME,       /* Seconds. */
    METRIC_STRESS,              /* Fraction: cpu and memory in one. */
    METRIC_UTILIZATION,         /* Fraction: the application's own figure. */
    METRIC_QPS,                 /* Requests per second. */
    METRIC_EPS,                 /* Errors per second. */
    METRIC_CONNECTIONS,         /* Open now. */
    METRIC_PACKETS,             /* Per second, to the server. */
    METRIC_BYTES,               /* Per second, to the server. */
    N_METRICS
};

/* Name as in files, unit for people, and what is taken for a lie. */
struct metric_info {
    const char *name;
    const char *unit;           /* "", "s", "/s". */
    double max;                 /* More than that is no measurement. */
};

extern const struct metric_info metrics[N_METRICS];

/* The metric called 'name', or N_METRICS. */
enum metric metric_find(const char *name);

/* One server, as a weight policy sees it. */
struct weight_server {
    const char *name;           /* Unique in the pool. */
    double weight;              /* Configured, above 0. */
    double capacity;            /* Relative strength, above 0. */
    double current;             /* Weight in force. */
    double age;                 /* Seconds since it came back, or INFINITY. */
    size_t set;                 /* Those with the same one share a share. */
    size_t tier;                /* 0, except for policies that spill. */
    bool usable;                /* Has what 'usable' below asks for. */
    double values[N_METRICS];   /* Smoothed; NAN for those not known. */
};

/* How a parameter is written. */
enum weight_param_kind {
    WEIGHT_NUMBER,              /* "1.5" */
    WEIGHT_COUNT,               /* "3" */
    WEIGHT_FRACTION,            /* "0.1" or "10%" */
    WEIGHT_SECONDS              /* "90", "0.5", "500ms", "90s", "10m",
                                 * "1h" */
};

/* A number that the user may set, in the mapping "weights:". */
struct weight_param {
    const char *name;
    enum weight_param_kind kind;
    double min, max;
    double value;               /* When the user says nothing. */
};

#define WEIGHT_MAX_PARAMS 12

struct weight_policy {
    const char *name;           /* As in "weights: {policy: NAME}". */
    const struct weight_param *params;
    size_t n_params;            /* At most WEIGHT_MAX_PARAMS. */

    /* Says what is wrong with 'params' taken together, NULL if nothing.  May
     * be NULL itself. */
    const char *(*check)(const double *params);

    /* Whether 'values' are enough to go by, and what would be, for messages.
     * A policy without it needs nothing. */
    bool (*usable)(const double *values, const double *params);
    const char *needs;

    /* True if it looks at 'capacity'. */
    bool uses_capacity;

    /* True if the switch, which no file has to name, knows enough. */
    bool asks_switch;

    /* True if, where servers take each other's place, what they do not want of
     * their weight goes to those who come next.  They are in different tiers
     * then, from 0 on, and what is wanted is not scaled. */
    bool spills;

    /* Fills in wanted[0..n).  Only how they compare counts: they are scaled so
     * that their sum is that of the configured weights.  What it says for a
     * server that is not usable is not looked at.  At least one is usable. */
    void (*compute)(const struct weight_server *servers, size_t n,
                    const double *params, double *wanted);
};

/* All of them, the default first, NULL at the end. */
extern const struct weight_policy *const weight_policies[];

/* The one called 'name', or NULL. */
const struct weight_policy *weight_policy_find(const char *name);

/* What goes for every policy: how lib/refresh.h damps and bounds what it
 * wants. */
enum {
    WEIGHT_INTERVAL,            /* Nominal seconds from round to round. */
    WEIGHT_SMOOTHING,           /* Time constant of the EWMA, in rounds. */
    WEIGHT_MIN,                 /* Least and most of the configured weight. */
    WEIGHT_MAX,
    WEIGHT_DEADBAND,            /* Smaller changes are none. */
    WEIGHT_MAX_STEP,            /* Largest change in a round. */
    WEIGHT_MAX_MOVE,            /* Of the slots, in a round. */
    WEIGHT_HOLD,                /* Rounds that a silent server keeps all. */
    WEIGHT_SLOW_START,          /* Seconds, 0 for none. */
    WEIGHT_AGGRESSION,          /* Of the slow start. */
    WEIGHT_TIMEOUT,             /* Seconds for a server to answer. */
    WEIGHT_N_COMMON
};

extern const struct weight_param weight_common[WEIGHT_N_COMMON];

/* What is wrong with the common parameters taken together, or NULL. */
const char *weight_common_check(const double *common);

/* Slow start: the part, above 0 to 1, of its weight that a server has 'age'
 * seconds after it came back. */
double weight_slow_start(double age, double window, double aggression);

/* The load of a server as a weighted sum of fractions, for policies that have
 * the first WEIGHT_N_RATIOS parameters out of WEIGHT_RATIOS. */
enum {
    WEIGHT_RATIO_CPU,
    WEIGHT_RATIO_MEMORY,
    WEIGHT_RATIO_NETWORK,
    WEIGHT_RATIO_IO,
    WEIGHT_RATIO_RESPONSE_TIME,
    WEIGHT_SLOW,                /* Response time that is a load of 1. */
    WEIGHT_N_RATIOS
};

#define WEIGHT_RATIOS(CPU, MEMORY, NETWORK)                             \
    [WEIGHT_RATIO_CPU] = { "cpu", WEIGHT_FRACTION, 0, 1, CPU },         \
    [WEIGHT_RATIO_MEMORY] = { "memory", WEIGHT_FRACTION, 0, 1, MEMORY }, \
    [WEIGHT_RATIO_NETWORK]                                              \
        = { "network", WEIGHT_FRACTION, 0, 1, NETWORK },                \
    [WEIGHT_RATIO_IO] = { "io", WEIGHT_FRACTION, 0, 1, 0 },             \
    [WEIGHT_RATIO_RESPONSE_TIME]                                        \
        = { "response_time", WEIGHT_FRACTION, 0, 1, 0 },                \
    [WEIGHT_SLOW] = { "slow", WEIGHT_SECONDS, 0.001, 3600, 1 }

const char *weight_ratios_check(const double *params);
bool weight_ratios_usable(const double *values, const double *params);
double weight_ratios_load(const double *values, const double *params);

#define WEIGHT_RATIOS_NEEDS "what \"cpu\", \"memory\", \"network\", \"io\" " \
    "and \"response_time\" give a part of the load to"

extern const struct weight_policy weight_static;
extern const struct weight_policy weight_adaptive;
extern const struct weight_policy weight_sblb;
extern const struct weight_policy weight_orca;
extern const struct weight_policy weight_feedback;
extern const struct weight_policy weight_least_connections;
extern const struct weight_policy weight_threshold;

#endif /* policies/weight.h */
