/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "lib/compile-pool.h"

#include "lib/actions.h"

/* Picking a server
 * ================
 *
 * What a kind of "connections:" does with a packet that needs a server, up to
 * the point where one is chosen.  How packets are rewritten then is not known
 * here, nor here how it came about there. */

void
compiler_put_slots(struct compiler *c, const struct assignment *a)
{
    if (pool_has_slot_flows(a->pool)) {
        compiler_put_slot(c, a);
    } else {
        act_group(&c->acts, assignment_group_id(a));
    }
}

void
compiler_put_pick(struct compiler *c, const struct assignment *a)
{
    if (pool_selection(a->pool) == POLICY_BY_TURN
        || a->pool->affinity.by != AFFINITY_NONE) {
        compiler_put_dispatch(c, a);
    } else {
        compiler_put_slots(c, a);
    }
}
