/* SPDX-License-Identifier: Apache-2.0 */

/* Reading "affinity:", the mapping that keeps clients on their servers. */

#include "lib/model-internal.h"

#include <inttypes.h>

/* As much as a switch should be made to hold by whoever can send packets from
 * many addresses. */
#define LIMIT_MAX 65535

static const struct word by_words[] = {
    { "client", AFFINITY_CLIENT },
    { NULL, 0 }
};

static bool
read_by(const struct reader *r, const struct node *node, void *affinity_)
{
    struct affinity *affinity = affinity_;
    int value;

    if (!value_word(r, node, by_words, &value)) {
        return false;
    }
    affinity->by = value;
    return true;
}

static bool
read_timeout(const struct reader *r, const struct node *node, void *affinity_)
{
    struct affinity *affinity = affinity_;
    long seconds;

    if (!value_duration(r, node, UINT16_MAX, &seconds)) {
        return false;
    }
    affinity->timeout = seconds;
    return true;
}

static bool
read_limit(const struct reader *r, const struct node *node, void *affinity_)
{
    struct affinity *affinity = affinity_;

    return value_u16(r, node, 1, LIMIT_MAX, &affinity->limit);
}

static const struct field affinity_fields[] = {
    { "by", read_by, NULL },
    { "timeout", read_timeout, NULL },
    { "limit", read_limit, NULL },
    { NULL, NULL, NULL }
};

bool
read_pool_affinity(const struct reader *parent, const struct node *node,
                   void *pool_)
{
    struct pool *pool = pool_;
    const char *known[MAX_KEYS] = { NULL };
    char owner[PART_SIZE];
    struct reader r = *parent;

    if (!value_check_type(parent, node, NODE_MAPPING, "a mapping")) {
        return false;
    }
    pool->affinity = (struct affinity) {
        .by = AFFINITY_CLIENT,
        .timeout = AFFINITY_TIMEOUT,
        .limit = AFFINITY_LIMIT,
    };
    r.owner = part_format(parent, "affinity", owner);
    fields_names(affinity_fields, known, 0);
    fields_check_known(&r, node, known, NULL);
    fields_read(&r, node, affinity_fields, &pool->affinity);
    return true;
}

/* An affinity is looked up before a server is picked, and remembered after. */
static void
check_affinity(const struct reader *r, const struct node *node,
               const struct pool *pool)
{
    const struct node *affinity = node_get(node, "affinity");

    if (!affinity) {
        return;
    }
    if (pool->connections != CONNECTIONS_TRACKED) {
        reader_error(r, &affinity->loc, "affinity is for \"connections: "
                     "tracked\"; without connection tracking, connections "
                     "that a client has would change server with it");
    }
    if (pool_goes_by_client(pool)) {
        reader_error(r, &affinity->loc, "affinity is for policies that pick "
                     "a server for each connection; \"policy: %s\" keeps "
                     "clients on their servers by itself",
                     pool->policy->name);
    }
}

static void
check_turns(const struct reader *r, const struct node *node,
            const struct pool *pool)
{
    const struct node *policy = node_get(node, "policy");

    if (pool_selection(pool) == POLICY_BY_TURN
        && pool->connections != CONNECTIONS_TRACKED) {
        reader_error(r, &policy->loc, "policy \"%s\" needs \"connections: "
                     "tracked\"; without connection tracking, the switch does "
                     "not know which packets begin a connection and take a "
                     "turn", pool->policy->name);
    }
}

void
pool_check_selection(const struct reader *r, const struct node *node,
                     const struct pool *pool)
{
    check_affinity(r, node, pool);
    check_turns(r, node, pool);
}

void
affinity_write(const struct affinity *affinity, FILE *stream)
{
    if (affinity->by != AFFINITY_NONE) {
        fprintf(stream, ",\"affinity\":{\"by\":\"client\",\"timeout\":%"PRIu16
                ",\"limit\":%"PRIu16"}", affinity->timeout, affinity->limit);
    }
}
