/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LB_LEAVING_H
#define LB_LEAVING_H 1

/* Servers that are gone from their pool while their connections go on
 * ===================================================================
 *
 * What lib/removal.h decides on, and a part of struct assignment and of
 * records.  A leaving server has its MAC address and interface as if its file
 * gave them, and nothing of an operator's overrides.
 *
 * Pure. */

#include <stdio.h>

#include "lib/assign.h"
#include "lib/document.h"

/* Adds a copy of 'server', which is located (lib/found.h). */
void leaving_add(struct assignment *, const struct server *server,
                 uint16_t member);

/* The one with the member id, or NULL. */
const struct leaving *leaving_find(const struct assignment *,
                                   uint16_t member);
void leaving_uninit(struct assignment *);

/* Writes them as a JSON array and reads them back; 'node' may be NULL for
 * none.  False if it makes no sense. */
void leaving_write(const struct assignment *, FILE *);
bool leaving_read(const struct node *node, struct assignment *);

#endif /* lib/leaving.h */
