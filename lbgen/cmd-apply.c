/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include <time.h>

#include "lbgen/connect.h"
#include "lbgen/load.h"
#include "lbgen/report-refresh.h"
#include "lbgen/run-refresh.h"
#include "lib/discover.h"
#include "lib/health.h"
#include "lib/metrics.h"
#include "lib/override.h"
#include "lib/refreshed.h"

/* What to do with the bridge. */
struct request {
    struct model *model;
    bool only_preview;
    struct asked asked;         /* Answers to --refresh. */
};

/* Goes on from 'model' as refresh would, and says how. */
static void
refresh(const struct command_context *context, struct session *session,
        struct bridge *bridge, struct request *request)
{
    struct refresh_report report;

    run_refresh(context, session, bridge, request->model, request->model,
                &request->asked, &report);
    if (context->verbose && !context->json) {
        report_refresh_text(&report, true, stdout);
    }
    refresh_report_uninit(&report);
}

static int
compare_or_change(const struct command_context *context,
                  struct session *session, struct bridge *bridge,
                  void *request_)
{
    struct request *request = request_;
    struct model *model = request->model;

    health_carry(&bridge->assignments, model);
    refreshed_carry(&bridge->assignments, model);
    if (!context->reset) {
        override_carry(&bridge->assignments, model, time(NULL),
                       context->diags);
    }
    if (!discover(session, bridge, model, NULL, context->allow_missing,
                  context->diags)) {
        return STATUS_FAILED;
    }
    if (context->refresh) {
        refresh(context, session, bridge, request);
    }
    return run_update(context, session, bridge, model, model->file_name,
                      request->only_preview);
}

static int
diff_or_apply(const struct command_context *context, bool only_preview)
{
    struct document *document;
    struct model *model = load_model(context, context->args[0], &document);
    struct request request = { .model = model, .only_preview = only_preview };
    int status = STATUS_FAILED;

    if (context->refresh) {
        metrics_init();
    }
    if (model) {
        status = work_on_bridge(context, model, NULL, compare_or_change,
                                &request);
    }
    refresh_destroy(request.asked.round);
    if (context->refresh) {
        metrics_exit();
    }
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
