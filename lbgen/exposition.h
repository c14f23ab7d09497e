/* SPDX-License-Identifier: Apache-2.0 */
#ifndef EXPOSITION_H
#define EXPOSITION_H 1

/* What the monitor tells Prometheus
 * =================================
 *
 * In the text format 0.0.4, in two parts: what the bridge knows, and what the
 * monitor itself knows.  Names and meanings are in lbgen(8).
 *
 * To add a metric, add a row to one of the tables in exposition.c, and
 * describe it in lbgen(8). */

#include <stdio.h>

#include "lbgen/monitor.h"
#include "lib/bridge.h"

void exposition_write_bridge(const struct bridge *, FILE *);
void exposition_write_monitor(const struct monitor *, FILE *);

#endif /* lbgen/exposition.h */
