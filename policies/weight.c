/* SPDX-License-Identifier: Apache-2.0 */

#include "policies/weight.h"

#include <math.h>
#include <string.h>

#include "lib/util.h"

/* A busy machine may report somewhat more than all of it, and a load average
 * per CPU more still. */
#define MAX_FRACTION 4

const struct metric_info metrics[N_METRICS] = {
    [METRIC_CPU] = { "cpu", "", MAX_FRACTION },
    [METRIC_MEMORY] = { "memory", "", MAX_FRACTION },
    [METRIC_NETWORK] = { "network", "", MAX_FRACTION },
    [METRIC_IO] = { "io", "", MAX_FRACTION },
    [METRIC_RESPONSE_TIME] = { "response_time", "s", 1e6 },
    [METRIC_STRESS] = { "stress", "", MAX_FRACTION },
    [METRIC_UTILIZATION] = { "utilization", "", MAX_FRACTION },
    [METRIC_QPS] = { "qps", "/s", 1e9 },
    [METRIC_EPS] = { "eps", "/s", 1e9 },
    [METRIC_CONNECTIONS] = { "connections", "", 1e9 },
    [METRIC_PACKETS] = { "packets", "/s", 1e12 },
    [METRIC_BYTES] = { "bytes", "/s", 1e15 },
};

const struct weight_policy *const weight_policies[] = {
    &weight_static,
    &weight_adaptive,
    &weight_sblb,
    &weight_orca,
    &weight_feedback,
    &weight_least_connections,
    &weight_threshold,
    NULL
};

const struct weight_param weight_common[WEIGHT_N_COMMON] = {
    [WEIGHT_INTERVAL] = { "interval", WEIGHT_SECONDS, 1, 86400, 60 },
    [WEIGHT_SMOOTHING] = { "smoothing", WEIGHT_NUMBER, 0, 100, 2 },
    [WEIGHT_MIN] = { "min", WEIGHT_FRACTION, 0.01, 1, 0.2 },
    [WEIGHT_MAX] = { "max", WEIGHT_FRACTION, 1, 10, 2 },
    [WEIGHT_DEADBAND] = { "deadband", WEIGHT_FRACTION, 0, 1, 0.1 },
    [WEIGHT_MAX_STEP] = { "max_step", WEIGHT_FRACTION, 0.01, 1, 0.3 },
    [WEIGHT_MAX_MOVE] = { "max_move", WEIGHT_FRACTION, 0.01, 1, 0.1 },
    [WEIGHT_HOLD] = { "hold", WEIGHT_COUNT, 0, 1000, 3 },
    [WEIGHT_SLOW_START] = { "slow_start", WEIGHT_SECONDS, 0, 86400, 0 },
    [WEIGHT_AGGRESSION] = { "aggression", WEIGHT_NUMBER, 0.1, 10, 1 },
    [WEIGHT_TIMEOUT] = { "timeout", WEIGHT_SECONDS, 0.01, 60, 2 },
};

enum metric
metric_find(const char *name)
{
    enum metric m = 0;

    while (m < N_METRICS && strcmp(metrics[m].name, name)) {
        m++;
    }
    return m;
}

const struct weight_policy *
weight_policy_find(const char *name)
{
    for (const struct weight_policy *const *p = weight_policies; *p; p++) {
        if (!strcmp((*p)->name, name)) {
            return *p;
        }
    }
    return NULL;
}

const char *
weight_common_check(const double *common)
{
    return (common[WEIGHT_TIMEOUT] >= common[WEIGHT_INTERVAL]
            ? "timeout must be less than interval: a round is over before the "
              "next begins" : NULL);
}

/* Which metric each ratio is of. */
static const enum metric ratio_metrics[] = {
    [WEIGHT_RATIO_CPU] = METRIC_CPU,
    [WEIGHT_RATIO_MEMORY] = METRIC_MEMORY,
    [WEIGHT_RATIO_NETWORK] = METRIC_NETWORK,
    [WEIGHT_RATIO_IO] = METRIC_IO,
    [WEIGHT_RATIO_RESPONSE_TIME] = METRIC_RESPONSE_TIME,
};

const char *
weight_ratios_check(const double *params)
{
    double sum = 0;

    for (size_t i = 0; i < LB_ARRAY_SIZE(ratio_metrics); i++) {
        sum += params[i];
    }
    return (fabs(sum - 1) > 1e-6
            ? "cpu, memory, network, io and response_time must add up to 1"
            : NULL);
}

bool
weight_ratios_usable(const double *values, const double *params)
{
    for (size_t i = 0; i < LB_ARRAY_SIZE(ratio_metrics); i++) {
        if (params[i] > 0 && isnan(values[ratio_metrics[i]])) {
            return false;
        }
    }
    return true;
}

double
weight_ratios_load(const double *values, const double *params)
{
    double load = 0;

    for (size_t i = 0; i < LB_ARRAY_SIZE(ratio_metrics); i++) {
        double value = values[ratio_metrics[i]];

        if (params[i] > 0) {
            load += params[i] * (i == WEIGHT_RATIO_RESPONSE_TIME
                                 ? value / params[WEIGHT_SLOW] : value);
        }
    }
    return load;
}
