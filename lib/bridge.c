/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "lib/bridge.h"

#include <stdlib.h>
#include <string.h>

#include "lib/bridge-read.h"
#include "lib/layout.h"

/* How often a bridge that changes while it is read is read again. */
#define READ_TRIES 5

/* Reads the bridge once, and before anything else its generation. */
static struct bridge *
read_once(struct session *session, bool whole, struct generation *before,
          struct diags *diags)
{
    struct reader r = {
        .session = session, .bridge = bridge_create(), .diags = diags
    };
    const struct reader_request ours = {
        .table = OFPTT_ALL, .cookie = COOKIE_MAGIC, .mask = COOKIE_MASK
    };
    struct bridge *bridge = r.bridge;
    bool ok = (reader_generation(&r, before)
               && reader_flows(&r, &ours)
               && reader_groups(&r, OFPG_ALL)
               && (!whole || (reader_ports(&r) && reader_records(&r))));

    reader_uninit(&r);
    if (!ok) {
        bridge_destroy(bridge);
        return NULL;
    }
    bridge->n_pools = bridge->n_records;
    return bridge;
}

/* The switch gives all flows as of one moment, and all groups, generation
 * included, as of a later one.  Where the generation before the flows is that
 * among the groups, nothing of lbgen's changed between. */
static struct bridge *
read_consistently(struct session *session, bool whole, struct diags *diags)
{
    for (int i = 0; i < READ_TRIES; i++) {
        struct generation before;
        struct bridge *bridge = read_once(session, whole, &before, diags);

        if (!bridge || generation_equal(&before, &bridge->generation)) {
            return bridge;
        }
        bridge_destroy(bridge);
    }
    diag_error(diags, NULL, "bridge \"%s\" changes faster than it can be "
               "read; see what else is running lbgen",
               session_bridge(session));
    return NULL;
}

struct bridge *
bridge_read(struct session *session, struct diags *diags)
{
    return read_consistently(session, true, diags);
}

struct bridge *
bridge_read_installed(struct session *session, struct diags *diags)
{
    return read_consistently(session, false, diags);
}

void
bridge_destroy(struct bridge *bridge)
{
    if (!bridge) {
        return;
    }
    ofstate_uninit(&bridge->installed);
    ofstate_uninit(&bridge->residents);
    ofstate_uninit(&bridge->pins);
    ports_uninit(&bridge->ports);
    free(bridge->foreign_groups);
    for (size_t i = 0; i < bridge->n_records; i++) {
        record_uninit(&bridge->records[i]);
    }
    free(bridge->records);
    free(bridge->assignments.pools);
    free(bridge);
}

bool
bridge_read_foreign(struct session *session, uint8_t table,
                    void (*cb)(const struct of_flow *, void *aux), void *aux,
                    struct diags *diags)
{
    struct reader r = {
        .session = session, .diags = diags, .foreign_cb = cb,
        .foreign_aux = aux
    };

    return reader_flows(&r, &(struct reader_request) { .table = table });
}

bool
bridge_check_settings(const struct bridge *bridge, const char *name,
                      struct diags *diags)
{
    if (bridge->n_records && !bridge->has_settings) {
        diag_error(diags, NULL, "bridge \"%s\" has lost lbgen's settings; "
                   "apply the file first, or delete --all", name);
        return false;
    }
    return true;
}

void
bridge_model(const struct bridge *bridge, struct model *model,
             bool (*leave_out)(const struct pool *, const void *aux),
             const void *aux)
{
    memset(model, 0, sizeof *model);
    model->settings = bridge->settings;
    model->pools = lb_xcalloc(bridge->n_records, sizeof *model->pools);
    for (size_t i = 0; i < bridge->n_records; i++) {
        struct pool *pool = bridge->records[i].pool;

        if (!leave_out || !leave_out(pool, aux)) {
            model->pools[model->n_pools++] = pool;
        }
    }
    model_index_vips(model);
}

void
bridge_model_uninit(struct model *model)
{
    free(model->pools);
    free(model->vips);
}
