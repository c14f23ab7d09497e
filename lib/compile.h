/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LB_COMPILE_H
#define LB_COMPILE_H 1

/* Model and assignments to flows and groups
 * =========================================
 *
 * Pure: what comes out is a function of what goes in.  lib/layout.h shows the
 * tables that packets go through. */

#include <stdbool.h>

#include "lib/assign.h"
#include "lib/diag.h"
#include "lib/model.h"
#include "lib/ofstate.h"
#include "lib/ports.h"

/* Adds to 'desired' all flows and groups that 'model' wants, with ids and
 * slots from 'assignments' (as assignments_compute() made them from 'model')
 * and numbers of ports from 'ports'.  'where' names the bridge in messages, or
 * is NULL if there is none.  Returns false after queueing errors in
 * 'diags'. */
bool compile(const struct model *model, const struct assignments *assignments,
             const struct ports *ports, const char *where,
             struct ofstate *desired, struct diags *diags);

/* Adds to 'flows' those that for 'seconds' give new connections of a
 * client, the first 'prefix' bits of 'client', to server 'index' of the
 * tracked pool of 'a', whatever the slots say.  The pool has a VIP of the
 * client's family. */
void compile_resident(const struct model *model,
                      const struct assignment *a, size_t index,
                      const struct ip *client, int prefix, uint16_t seconds,
                      struct ofstate *flows, struct diags *diags);

#endif /* lib/compile.h */
