/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LB_REFRESH_SWITCH_H
#define LB_REFRESH_SWITCH_H 1

/* What the switch itself knows of servers
 * ======================================= */

#include "lib/bridge.h"
#include "lib/refresh.h"
#include "lib/session.h"

/* Tells 'round' what 'bridge', just read, has counted for each server, and how
 * many connections are open if any pool wants to know.  Does nothing if no
 * pool asks the switch.  What cannot be known is a warning. */
void refresh_ask_switch(struct refresh_round *round, struct session *session,
                        const struct bridge *bridge, struct diags *diags);

#endif /* lib/refresh-switch.h */
