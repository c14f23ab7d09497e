/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include <time.h>

#include "lbgen/connect.h"
#include "lbgen/load.h"
#include "lib/discover.h"
#include "lib/override.h"

static int
diff_or_apply(const struct command_context *context, bool only_preview)
{
    struct document *document;
    struct model *model = load_model(context, context->args[0], &document);
    struct session *session = NULL;
    struct bridge *bridge = NULL;
    int status = STATUS_FAILED;

    if (model) {
        session = connect_bridge(context, model, &bridge);
    }
    if (session) {
        if (!context->reset) {
            override_carry(&bridge->assignments, model, time(NULL),
                           context->diags);
        }
        if (discover(session, bridge, model, NULL, context->allow_missing,
                     context->diags)) {
            status = run_update(context, session, bridge, model,
                                model->file_name, only_preview);
        }
    }
    bridge_destroy(bridge);
    session_close(session);
    model_destroy(model);
    document_destroy(document);
    return status;
}

/* lbgen diff: what apply would change. */
int
cmd_diff(const struct command_context *context)
{
    return diff_or_apply(context, true);
}

/* lbgen apply: make the bridge what the file says. */
int
cmd_apply(const struct command_context *context)
{
    return diff_or_apply(context, context->dry_run);
}
