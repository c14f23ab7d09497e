/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REPORT_REFRESH_H
#define REPORT_REFRESH_H 1

/* What a round of refresh looks like to people and to programs
 * ============================================================ */

#include <stdbool.h>
#include <stdio.h>

#include "lib/refresh.h"

/* One line for each server, with what it says and what came of it.  Pools of
 * which no weight changes are left out unless 'all'. */
void report_refresh_text(const struct refresh_report *, bool all, FILE *);
void report_refresh_json(const struct refresh_report *, const char *bridge,
                         bool applied, FILE *);

#endif /* lbgen/report-refresh.h */
