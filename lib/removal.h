/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LB_REMOVAL_H
#define LB_REMOVAL_H 1

/* What becomes of the connections that an update leaves without a server
 * =====================================================================
 *
 * A server goes from its pool or into maint, a pool goes or gets another VIP,
 * the zone changes: tracked connections are left that no flow forwards any
 * more.  They are cut once the update is committed, so that their clients
 * connect anew at once (lib/conntrack.h).
 *
 * Or, with "on_removal: keep", a server that goes stays behind as "leaving":
 * the flows of its connections stay, no new ones get there, and a later update
 * that finds none left takes it away.  Leaving servers are kept in the record
 * of their pool. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/assign.h"
#include "lib/bridge.h"
#include "lib/conntrack.h"
#include "lib/diag.h"
#include "lib/model.h"
#include "lib/session.h"

struct removal {
    uint16_t zone;              /* Where the connections are, but for VLANs. */
    struct conntrack_target *targets;   /* The ones to cut. */
    size_t n_targets;
    size_t allocated;
};

/* Fills in '*removal' for 'bridge' to become what 'model' and 'assignments'
 * say, and adds to 'assignments' the servers that stay behind.  Asks 'session'
 * whether they still have connections; if that cannot be known, they stay. */
void removal_prepare(struct session *, const struct bridge *bridge,
                     const struct model *model,
                     struct assignments *assignments,
                     struct removal *removal, struct diags *);
void removal_uninit(struct removal *);

/* Warns of connections of others in the zone that the bridge is about to
 * use. */
void removal_check_zone(struct session *, const struct bridge *bridge,
                        const struct model *model,
                        const struct assignments *, struct diags *);

#endif /* lib/removal.h */
