/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include <stdio.h>
#include <unistd.h>

#include "lbgen/connect.h"
#include "lbgen/report.h"

static bool
use_color(const struct command_context *context)
{
    return (context->color == COLOR_ALWAYS
            || (context->color == COLOR_AUTO && isatty(STDOUT_FILENO)));
}

/* Says how many connections went with their servers. */
static void
report_cut(const char *bridge, const struct conntrack_result *cut)
{
    if (cut->counted && cut->n_cut) {
        printf("%s: %zu connections cut\n", bridge, cut->n_cut);
    }
}

/* Says what 'update' would change. */
static int
preview(const struct command_context *context, const char *bridge,
        const char *to, const struct update *update)
{
    if (context->json) {
        report_changes_json(update, bridge, false, stdout);
    } else {
        report_changes_text(update, bridge, to, use_color(context), stdout);
    }
    return update->changes.n ? STATUS_DIFFERENT : STATUS_OK;
}

static int
commit(const struct command_context *context, struct session *session,
       struct update *update)
{
    const char *bridge = session_bridge(session);

    switch (update_commit(session, update, context->diags)) {
    case UPDATE_DONE:
        break;
    case UPDATE_OVERTAKEN:
        return STATUS_OVERTAKEN;
    case UPDATE_FAILED:
    default:
        return STATUS_FAILED;
    }
    if (context->json) {
        report_changes_json(update, bridge, true, stdout);
    } else {
        report_applied_text(update, bridge, stdout);
        report_cut(bridge, &update->cut);
    }
    return STATUS_OK;
}

int
run_update(const struct command_context *context, struct session *session,
           const struct bridge *bridge, const struct model *model,
           const char *to, bool only_preview)
{
    struct update update;
    int status;

    if (!update_prepare(session, bridge, model, &update, context->diags)) {
        return update.needs_all ? STATUS_NEEDS_ALL : STATUS_FAILED;
    }
    status = (only_preview
              ? preview(context, session_bridge(session), to, &update)
              : commit(context, session, &update));
    update_uninit(&update);
    return status;
}
