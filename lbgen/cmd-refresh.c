/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include <stdlib.h>
#include <time.h>

#include "lbgen/connect.h"
#include "lbgen/load.h"
#include "lbgen/report-refresh.h"
#include "lbgen/run-refresh.h"
#include "lib/metrics.h"

/* One refresh. */
struct request {
    const struct model *file;
    struct refresh_round *round;    /* NULL until servers were asked. */
};

/* The installed pools, those with "weights" in the file as copies to
 * change. */
struct changed_model {
    struct model model;
    struct record *copies;
    size_t n_copies;
};

/* Queues an error for each pool that is to be refreshed and is not there. */
static bool
check_installed(const struct command_context *context,
                const struct model *file, const struct bridge *bridge,
                const char *name)
{
    bool ok = true;

    for (size_t i = 0; i < file->n_pools; i++) {
        const struct pool *pool = file->pools[i];

        if (pool->weights.policy
            && !assignments_find(&bridge->assignments, pool->name)) {
            diag_error(context->diags, &pool->loc, "bridge \"%s\" has no pool "
                       "\"%s\": apply the file first", name, pool->name);
            ok = false;
        }
    }
    return ok;
}

static void
changed_model_init(struct changed_model *changed, const struct model *file,
                   const struct bridge *bridge)
{
    bridge_model(bridge, &changed->model, NULL, NULL);
    changed->copies = lb_xcalloc(bridge->n_records, sizeof *changed->copies);
    changed->n_copies = 0;
    for (size_t i = 0; i < changed->model.n_pools; i++) {
        const struct pool *pool = model_find_pool(
            file, changed->model.pools[i]->name);
        struct record *copy = &changed->copies[changed->n_copies];

        if (pool && pool->weights.policy
            && record_copy(&bridge->records[i], copy)) {
            changed->model.pools[i] = copy->pool;
            changed->n_copies++;
        }
    }
}

static void
changed_model_uninit(struct changed_model *changed)
{
    for (size_t i = 0; i < changed->n_copies; i++) {
        record_uninit(&changed->copies[i]);
    }
    free(changed->copies);
    bridge_model_uninit(&changed->model);
}

/* Sends what has changed and says so. */
static int
commit(const struct command_context *context, struct session *session,
       const struct bridge *bridge, const struct model *model,
       const struct refresh_report *report)
{
    struct update update;
    enum update_result result = UPDATE_DONE;

    if (refresh_any_change(report)) {
        if (!update_prepare(session, bridge, model, &update,
                            context->diags)) {
            return STATUS_FAILED;
        }
        result = update_commit(session, &update, context->diags);
        update_uninit(&update);
    }
    if (result != UPDATE_DONE) {
        return result == UPDATE_OVERTAKEN ? STATUS_OVERTAKEN : STATUS_FAILED;
    }
    if (context->json) {
        report_refresh_json(report, session_bridge(session), true, stdout);
    } else {
        report_refresh_text(report, context->verbose > 0, stdout);
    }
    return STATUS_OK;
}

static int
preview(const struct command_context *context, struct session *session,
        const struct bridge *bridge, const struct model *model,
        const struct refresh_report *report)
{
    if (context->json) {
        report_refresh_json(report, session_bridge(session), false, stdout);
        return refresh_any_change(report) ? STATUS_DIFFERENT : STATUS_OK;
    }
    if (context->verbose) {
        report_refresh_text(report, true, stdout);
    }
    return run_update(context, session, bridge, model, "refresh", true);
}

static int
refresh_bridge(const struct command_context *context, struct session *session,
               struct bridge *bridge, void *request_)
{
    struct request *request = request_;
    const char *name = session_bridge(session);
    bool all_there = check_installed(context, request->file, bridge, name);
    struct changed_model changed;
    struct refresh_report report;
    int status;

    if (!bridge_check_settings(bridge, name, context->diags)) {
        return STATUS_FAILED;
    }
    changed_model_init(&changed, request->file, bridge);
    run_refresh(context, session, bridge, request->file, &changed.model,
                &request->round, &report);
    status = (context->dry_run
              ? preview(context, session, bridge, &changed.model, &report)
              : commit(context, session, bridge, &changed.model, &report));
    if (status != STATUS_OVERTAKEN
        && (!all_there || refresh_any_frozen(&report))) {
        status = STATUS_FAILED;
    }
    refresh_report_uninit(&report);
    changed_model_uninit(&changed);
    return status;
}

/* lbgen refresh: one round of metrics and weights. */
int
cmd_refresh(const struct command_context *context_)
{
    /* Who comes while another round is under way has nothing to do. */
    struct command_context context = *context_;
    struct document *document;
    struct model *model = load_model(&context, context.args[0], &document);
    struct request request = { .file = model };
    int status = STATUS_FAILED;

    context.no_wait = true;
    if (model) {
        metrics_init();
        status = work_on_bridge(&context, model, NULL, refresh_bridge,
                                &request);
        refresh_destroy(request.round);
        metrics_exit();
    }
    model_destroy(model);
    document_destroy(document);
    return status;
}
