/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REPORT_H
#define REPORT_H 1

/* What updates and bridges look like to people and to programs
 * ============================================================
 *
 * report-text.c writes for people, report-json.c for programs; both from the
 * same structures, so they always say the same. */

#include <stdbool.h>
#include <stdio.h>

#include <openvswitch/json.h>

#include "lib/bridge.h"
#include "lib/learned.h"
#include "lib/summary.h"
#include "lib/traffic.h"
#include "lib/update.h"

/* What 'update' changes: pools and servers, then flows and groups as a unified
 * diff.  'from' and 'to' are what the two sides are called. */
void report_changes_text(const struct update *, const char *from,
                         const char *to, bool color, FILE *);
void report_changes_json(const struct update *, const char *bridge,
                         bool applied, FILE *);

/* One line on what 'update' did to 'bridge'. */
void report_applied_text(const struct update *, const char *bridge, FILE *);

/* The installed pools, or only the one called 'pool' if that is not NULL.
 * 'n_drift' is how many flows and groups are not as lbgen left them. */
void report_status_text(const struct bridge *, const struct learned *,
                        const char *name, const char *pool, size_t n_drift,
                        FILE *);
void report_status_json(const struct bridge *, const struct learned *,
                        const char *name, const char *pool, size_t n_drift,
                        FILE *);

/* What is known of the health of a server, null for nothing: the same in all
 * reports.  For the caller to free. */
struct json *report_health_json(const struct server *);

#endif /* lbgen/report.h */
