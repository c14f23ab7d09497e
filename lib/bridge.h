/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LB_BRIDGE_H
#define LB_BRIDGE_H 1

/* What is installed on a bridge
 * =============================
 *
 * Reads back everything that is lbgen's, by cookie (flows) and by mark
 * (groups), and out of it the pools in the words of the file that they came
 * from.  What is not lbgen's is looked at only to find clashes. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/assign.h"
#include "lib/diag.h"
#include "lib/generation.h"
#include "lib/model.h"
#include "lib/ofstate.h"
#include "lib/ports.h"
#include "lib/record.h"
#include "lib/session.h"

/* Never copy it by value: hash maps may point into themselves. */
struct bridge {
    bool is_part;               /* Only one pool was read: see lib/part.h. */
    size_t n_pools;             /* How many there are, read or not. */
    struct ofstate installed;   /* Without those below. */
    struct ofstate residents;   /* Flows of lib/resident.h. */
    struct ofstate pins;        /* Flows of the kind COOKIE_PIN. */
    struct generation generation;   /* Not in 'installed' either. */
    size_t n_learned;           /* Number of those. */
    struct ports ports;

    uint32_t *foreign_groups;   /* Ids of groups that are not lbgen's. */
    size_t n_foreign_groups;
    size_t allocated_foreign_groups;

    /* Out of the records. */
    struct settings settings;
    bool has_settings;          /* Else 'settings' is zeros. */
    struct record *records;
    size_t n_records;
    struct assignments assignments; /* Of 'records', borrowed from them. */
};

/* Reads the bridge, all of it as of one moment.  Returns NULL after queueing
 * an error.  A damaged record is a warning: that pool counts as not installed,
 * and apply mends it. */
struct bridge *bridge_read(struct session *, struct diags *);

/* Likewise, but leaves ports and whatever is out of the records empty. */
struct bridge *bridge_read_installed(struct session *, struct diags *);
void bridge_destroy(struct bridge *);

/* Whether no lbgen has changed the bridge since 'bridge' was read.  False
 * after queueing an error if the switch does not say. */
bool bridge_is_current(struct session *, const struct bridge *,
                       struct diags *);

/* False after queueing an error if there are pools but the settings that they
 * were compiled with are lost, so that they cannot be compiled again. */
bool bridge_check_settings(const struct bridge *, const char *name,
                           struct diags *);

/* Calls 'cb' for each flow in 'table' that is not lbgen's.  The flow is gone
 * after the call. */
bool bridge_read_foreign(struct session *, uint8_t table,
                         void (*cb)(const struct of_flow *, void *aux),
                         void *aux, struct diags *);

/* The installed pools as a model, all but those that 'leave_out' says true for
 * (NULL for none).  Borrows from 'bridge'; bridge_model_uninit() frees it. */
void bridge_model(const struct bridge *, struct model *,
                  bool (*leave_out)(const struct pool *, const void *aux),
                  const void *aux);
void bridge_model_uninit(struct model *);

#endif /* lib/bridge.h */
