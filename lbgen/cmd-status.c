/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "lbgen/connect.h"
#include "lbgen/report.h"
#include "lbgen/status-watch.h"
#include "lib/compile.h"

/* How many flows and groups are not as the records say.  What cannot be
 * compiled any more, say because a port is gone, becomes a message. */
static size_t
count_drift(const struct command_context *context, const char *bridge_name,
            const struct bridge *bridge)
{
    struct model model;
    struct ofstate desired;
    struct changes changes;
    size_t n = 0;

    if (bridge->n_records && !bridge->has_settings) {
        diag_warning(context->diags, NULL, "bridge \"%s\" has lost lbgen's "
                     "settings; apply the file again", bridge_name);
        return 0;
    }
    if (bridge->is_part) {
        return 0;               /* Or all would have been read. */
    }
    bridge_model(bridge, &model, NULL, NULL);
    ofstate_init(&desired);
    if (compile(&model, &bridge->assignments, &bridge->ports, bridge_name,
                &desired, context->diags)) {
        diff_compute(&desired, &bridge->installed, &changes);
        n = changes.n;
        changes_uninit(&changes);
    }
    ofstate_uninit(&desired);
    bridge_model_uninit(&model);
    return n;
}

/* lbgen status: what is installed, in the words of the file. */
int
cmd_status(const struct command_context *context)
{
    const char *pool = context->n_args ? context->args[0] : NULL;
    int status = STATUS_FAILED;
    struct session *session;
    struct learned learned;
    struct bridge *bridge;

    if (context->watch) {
        return status_watch(context, pool);
    }
    session = connect_bridge(context, NULL, pool, &bridge);
    if (!session) {
        return STATUS_FAILED;
    }
    if (pool && !assignments_find(&bridge->assignments, pool)) {
        diag_error(context->diags, NULL, "bridge \"%s\" has no pool \"%s\"",
                   session_bridge(session), pool);
    } else if (learned_read(session, &bridge->assignments, &learned,
                            context->diags)) {
        const char *name = session_bridge(session);
        size_t n_drift = count_drift(context, name, bridge);

        (context->json ? report_status_json : report_status_text)(
            bridge, &learned, name, pool, n_drift, stdout);
        learned_uninit(&learned);
        status = STATUS_OK;
    }
    bridge_destroy(bridge);
    session_close(session);
    return status;
}
