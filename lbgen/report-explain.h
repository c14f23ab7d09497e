/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REPORT_EXPLAIN_H
#define REPORT_EXPLAIN_H 1

/* What an explanation looks like to people and to programs
 * ======================================================== */

#include <stdio.h>

#include "lib/explain.h"
#include "lib/live.h"

/* 'trace' is what the switch itself says, or NULL if it was not asked. */
void report_explain_text(const struct explanation *,
                         const struct live_trace *trace, FILE *);
void report_explain_json(const struct explanation *, const char *bridge,
                         const struct live_trace *trace, FILE *);

#endif /* lbgen/report-explain.h */
