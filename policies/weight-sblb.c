/* SPDX-License-Identifier: Apache-2.0 */

/* SBLB
 * ====
 *
 * Server-based load balancing after Chen, Shang, Tian and Li (International
 * Journal of Distributed Sensor Networks 2015, 531538): the load of a server
 * is one number,
 *
 *     L = sum of r_k * load_k,   sum of r_k = 1
 *
 * over CPU, memory, network and, if asked for, disk and response time; it has
 * a capacity C; and of the n least loaded servers one gets a connection, with
 * probability
 *
 *     P = (C / L) / sum of C / L
 *
 * Here P becomes the weight, so that the switch draws by itself.  Always
 * taking the least loaded would send everybody there until the next round.
 *
 * A load below LOAD_FLOOR counts as that: between idle servers, capacity
 * decides and not noise. */

#include <math.h>
#include <stdlib.h>

#include "lib/util.h"
#include "policies/weight.h"

#define LOAD_FLOOR 0.05

enum {
    SBLB_N = WEIGHT_N_RATIOS,
    SBLB_N_PARAMS
};

static const struct weight_param sblb_params[SBLB_N_PARAMS] = {
    WEIGHT_RATIOS(0.5, 0.2, 0.3),
    [SBLB_N] = { "n", WEIGHT_COUNT, 0, 4096, 0 },
};

static double
load(const struct weight_server *server, const double *params)
{
    return fmax(LOAD_FLOOR, weight_ratios_load(server->values, params));
}

static int
compare_doubles(const void *a_, const void *b_)
{
    double a = *(const double *) a_, b = *(const double *) b_;

    return a < b ? -1 : a > b;
}

/* The largest load that still belongs to the least 'limit'. */
static double
find_limit(const struct weight_server *servers, size_t n,
           const double *params, size_t limit)
{
    double *loads = lb_xcalloc(n, sizeof *loads);
    size_t n_loads = 0;
    double result = INFINITY;

    for (size_t i = 0; i < n; i++) {
        if (servers[i].usable) {
            loads[n_loads++] = load(&servers[i], params);
        }
    }
    if (limit && limit < n_loads) {
        qsort(loads, n_loads, sizeof *loads, compare_doubles);
        result = loads[limit - 1];
    }
    free(loads);
    return result;
}

static void
sblb_compute(const struct weight_server *servers, size_t n,
             const double *params, double *wanted)
{
    double limit = find_limit(servers, n, params, (size_t) params[SBLB_N]);

    for (size_t i = 0; i < n; i++) {
        double l = load(&servers[i], params);

        wanted[i] = l <= limit ? servers[i].capacity / l : 0;
    }
}

const struct weight_policy weight_sblb = {
    .name = "sblb",
    .params = sblb_params,
    .n_params = SBLB_N_PARAMS,
    .check = weight_ratios_check,
    .usable = weight_ratios_usable,
    .needs = WEIGHT_RATIOS_NEEDS,
    .uses_capacity = true,
    .compute = sblb_compute,
};
