/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RUN_REFRESH_H
#define RUN_REFRESH_H 1

/* One round of refresh, from questions to weights
 * =============================================== */

#include "lbgen/command.h"
#include "lib/refresh-switch.h"

/* Asks the servers of those pools of 'model' that have "weights" in 'file',
 * unless '*roundp' is a round in which they were asked already, and puts new
 * weights into 'model'.  The caller destroys '*roundp' and uninitializes
 * '*report'.  metrics_init() must have been called. */
void run_refresh(const struct command_context *, struct session *,
                 const struct bridge *, const struct model *file,
                 struct model *model, struct refresh_round **roundp,
                 struct refresh_report *report);

#endif /* lbgen/run-refresh.h */
