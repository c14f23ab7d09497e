/* SPDX-License-Identifier: Apache-2.0 */

/* What "weights" and "capacity" cannot do for a pool. */

#include "lib/model-internal.h"

#include <math.h>

#include "lib/tiers.h"
#include "policies/weight.h"

/* Whether weights divide anything: servers that are not alone in their
 * tier. */
static bool
any_server_shares(const struct pool *pool)
{
    for (size_t tier = 0; tier < pool->n_tiers; tier++) {
        size_t n = 0;

        for (size_t i = 0; i < pool->n_servers; i++) {
            n += pool->servers[i].tier == tier;
        }
        if (n > 1) {
            return true;
        }
    }
    return false;
}

/* Where servers take each other's place.  An agent may take one out even
 * there. */
static void
check_in_order(const struct reader *r, const struct node *node,
               const struct pool *pool)
{
    const struct weights *weights = &pool->weights;

    if (weights->policy->spills) {
        if (!pool->params[FAILOVER_PREEMPT]) {
            reader_error(r, &node->loc, "weights of policy \"%s\" give what "
                         "is too much to the next in line and take it back, "
                         "which \"preempt: false\" does not let them",
                         weights->policy->name);
        }
    } else if ((weights->policy->usable || !weights->n_sources)
               && !any_server_shares(pool)) {
        reader_error(r, &node->loc, "weights of policy \"%s\" change shares "
                     "within a set, and servers of policy \"%s\" that are in "
                     "none take each other's place, whatever they weigh",
                     weights->policy->name, pool->policy->name);
    }
}

/* Whether 'source' of 'pool' may say 'metric' of a server.  What an answer
 * has in it is not known before it is there. */
static bool
may_say(const struct pool *pool, const struct source *source,
        enum metric metric)
{
    bool any = false;

    if (source->kind == SOURCE_SWITCH) {
        return (metric == METRIC_PACKETS || metric == METRIC_BYTES
                || (pool->connections == CONNECTIONS_TRACKED
                    && (metric == METRIC_QPS
                        || metric == METRIC_CONNECTIONS)));
    }
    for (size_t m = 0; m < N_METRICS; m++) {
        any |= source->values[m].path != NULL;
    }
    return !any || source->values[metric].path;
}

/* Checks that the policy may get what it goes by. */
static void
check_sources(const struct reader *r, const struct node *node,
              const struct pool *pool)
{
    const struct weights *weights = &pool->weights;
    const struct weight_policy *policy = weights->policy;
    const struct node *from = node_get(node, "from");
    double values[N_METRICS];
    bool any_switch = false;

    for (size_t m = 0; m < N_METRICS; m++) {
        values[m] = NAN;
    }
    for (size_t i = 0; i < weights->n_sources; i++) {
        any_switch |= weights->sources[i].kind == SOURCE_SWITCH;
        for (size_t m = 0; m < N_METRICS; m++) {
            if (may_say(pool, &weights->sources[i], m)) {
                values[m] = 0;
            }
        }
    }
    if (policy->usable && weights->n_sources
        && !policy->usable(values, weights->params)) {
        reader_error(r, from ? &from->loc : node_locate(node, "policy"),
                     "policy \"%s\" needs %s, which nobody who is asked can "
                     "say%s; name a source in \"from\" that can",
                     policy->name, policy->needs, !any_switch ? ""
                     : pool->connections == CONNECTIONS_TRACKED
                     ? ": the switch says packets, bytes, qps and connections"
                     : ": the switch says packets and bytes of a pool that is "
                     "not tracked");
    }
}

static void
check_capacities(const struct reader *r, const struct pool *pool)
{
    if (pool->weights.policy && pool->weights.policy->uses_capacity) {
        return;
    }
    for (size_t i = 0; i < pool->n_servers; i++) {
        const struct server *server = &pool->servers[i];
        char owner[OWNER_SIZE];

        if (server->capacity > 0) {
            diag_error(r->diags, node_locate(server->node, "capacity"),
                       "%s: capacity is for \"weights: {policy: sblb}\", "
                       "which this pool has not",
                       owner_format("server", server->name, owner));
        }
    }
}

void
pool_check_weights(const struct reader *r, const struct node *pool_node,
                   const struct pool *pool)
{
    const struct node *node = node_get(pool_node, "weights");

    if (node && pool->policy->ignores_weights) {
        reader_error(r, &node->loc, "weights are for a policy that goes by "
                     "them, and \"%s\" does not", pool->policy->name);
    } else if (node && pool->weights.policy && pool->policy->in_order) {
        check_in_order(r, node, pool);
    }
    if (node && pool->weights.is_right) {
        check_sources(r, node, pool);
    }
    if (!node || pool->weights.policy) {
        check_capacities(r, pool);
    }
}
