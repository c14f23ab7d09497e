/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LB_OVERRIDE_H
#define LB_OVERRIDE_H 1

/* Overrides: what an operator says at run time
 * ============================================
 *
 * "lbgen drain", "maint" and "weight" set them, "ready" clears them.  They
 * live in the record of the pool, so every later apply keeps them until it is
 * told to reset them, and nothing in a file clears one silently.
 *
 * Pure: the caller says what time it is. */

#include <stdio.h>

#include "lib/assign.h"
#include "lib/diag.h"
#include "lib/document.h"
#include "lib/model.h"

#define OVERRIDE_MAX_PERCENT 1000

/* True if the operator said anything of 'server'. */
bool override_exists(const struct server *);

/* Set or clear them.  A server that its file does not call ready becomes it by
 * an override as well. */
void override_set_state(struct server *, enum server_state, int64_t now);
void override_set_weight(struct server *, uint16_t weight, bool is_percent,
                         int64_t now);
void override_make_ready(struct server *, int64_t now);

/* Reads "N" or "P%" into the arguments.  Returns NULL or what is wrong. */
const char *override_parse_weight(const char *s, uint16_t *weight,
                                  bool *is_percent);

/* Writes those of all servers of 'pool' as a JSON object, by the servers'
 * names, and reads them back; 'node' may be NULL for none.  False if they make
 * no sense. */
void override_write(const struct pool *pool, FILE *);
bool override_read(const struct node *node, struct pool *pool);

/* Takes over into 'model' the overrides of the installed pools, for servers of
 * the same pool and name.  Queues a note for each that is not what the file
 * says. */
void override_carry(const struct assignments *installed, struct model *model,
                    int64_t now, struct diags *);

/* For people: "drain since 5m, weight 50% since 2h", without the ages if 'now'
 * is negative; "" for none. */
#define OVERRIDE_STRLEN 96
const char *override_format(const struct server *, int64_t now,
                            char buf[OVERRIDE_STRLEN]);

#endif /* lib/override.h */
