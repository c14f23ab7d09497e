/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LB_HEALTH_H
#define LB_HEALTH_H 1

/* Health: what checks found out about servers
 * ===========================================
 *
 * A layer of its own beside what the file says and what an operator said.
 * "lbgen monitor" sets it; like overrides it lives in the record of the pool,
 * so that every apply keeps it, status shows it, and another monitor goes on
 * where a killed one was.
 *
 * A server that is down or starting counts with weight 0, unless so many of
 * its pool are down that the pool panics: then something else must be wrong,
 * and all count as up.  Where servers stand in for others (lib/tiers.h), that
 * takes so many in each tier: as long as one is well, the order decides.
 *
 * Pure: the caller says what time it is. */

#include <stdio.h>

#include "lib/assign.h"
#include "lib/document.h"
#include "lib/model.h"

/* Longest error that is kept, in bytes. */
#define HEALTH_MAX_ERROR 120

/* Sets the state of 'server' and why, NULL for no reason.  'since' stays if
 * the state does. */
void health_set(struct server *, enum health_state, const char *error,
                int64_t now);

/* Works out for all servers of 'pool' whether their health takes them out.  To
 * be called after changes.  Those without a check have no health. */
void health_settle(struct pool *);

/* Whether so many servers are down that all count as up. */
bool health_panics(const struct pool *);

/* Writes that of all servers of 'pool' as a JSON object, by the servers'
 * names, and reads it back and settles it; 'node' may be NULL for none.  False
 * if it makes no sense. */
bool health_exists(const struct pool *);
void health_write(const struct pool *, FILE *);
bool health_read(const struct node *node, struct pool *);

/* Reads that of one server, as health_write() writes it, into '*health', whose
 * 'error' must be NULL. */
bool health_read_server(const struct node *node, struct health *health);

/* Takes over into 'model' the health of the installed servers of the same pool
 * and name. */
void health_carry(const struct assignments *installed, struct model *);

/* Takes over into 'pool' the health of servers of 'old', which may be NULL. */
void health_take_over(struct pool *pool, const struct pool *old);

/* As health_carry(), for servers of 'model' of which nothing is known.  Those
 * that are checked and not installed are starting. */
void health_adopt(const struct assignments *installed, struct model *,
                  int64_t now);

const char *health_state_name(enum health_state);

/* For people: "down since 5m: connection refused", without the age if 'now' is
 * negative; "none" for nothing known. */
#define HEALTH_STRLEN 192
const char *health_format(const struct server *, int64_t now,
                          char buf[HEALTH_STRLEN]);

#endif /* lib/health.h */
