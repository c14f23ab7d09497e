/* SPDX-License-Identifier: Apache-2.0 */

/* What a file that is right costs, or takes for granted, that its user may not
 * expect.  Said by check alone: who applies a file has made up his mind. */

#include "lib/model-internal.h"

#include <inttypes.h>

#include "lib/slots.h"

/* What a flow takes of ovs-vswitchd's memory, in bytes, measured with
 * 100,000 flows of Open vSwitch 3.1. */
#define FLOW_MEMORY 1300

static int
log2_of(unsigned int n)
{
    int bits = 0;

    while (n >>= 1) {
        bits++;
    }
    return bits;
}

static void
warn_low_bits(const struct pool *pool, struct diags *diags)
{
    diag_warning(diags, &pool->loc, "pool \"%s\": with low_bits the last %d "
                 "bits of a client's address are its slot; shares are right "
                 "only if clients are spread evenly over these, which a few "
                 "clients, hosts of one network that are numbered from 1, and "
                 "many behind one address are not", pool->name,
                 log2_of(pool->n_slots));
}

static void
warn_slot_flows(const struct pool *pool, struct diags *diags)
{
    diag_warning(diags, &pool->loc, "pool \"%s\": its %"PRIu16" slots are as "
                 "many flows, some %.1f MB in ovs-vswitchd, and up to %"PRIu16
                 " cached flows in the datapath for each way that packets "
                 "come in; the first packet to each slot takes the slow path; "
                 "\"slots: %d\" or fewer are one group", pool->name,
                 pool->n_slots, (double) pool->n_slots * FLOW_MEMORY / 1e6,
                 pool->n_slots, SLOTS_DEFAULT);
}

void
model_warn_of_caveats(const struct model *model, struct diags *diags)
{
    for (size_t i = 0; i < model->n_pools; i++) {
        const struct pool *pool = model->pools[i];

        pool_warn_of_deaths(pool, diags);
        if (pool_selection(pool) == POLICY_BY_LOW_BITS) {
            warn_low_bits(pool, diags);
        }
        if (pool_has_slot_flows(pool)
            && pool_selection(pool) != POLICY_BY_LOW_BITS) {
            warn_slot_flows(pool, diags);
        }
    }
}
