/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include <stdlib.h>
#include <unistd.h>

#include "lbgen/connect.h"
#include "lbgen/load.h"
#include "lbgen/report-refresh.h"
#include "lbgen/run-refresh.h"
#include "lib/discover-ports.h"
#include "lib/metrics.h"

/* One refresh. */
struct request {
    const struct model *file;
    struct asked asked;
};

/* The installed pools, those with "weights" in the file as copies to
 * change. */
struct changed_model {
    struct model model;
    struct record *copies;
    size_t n_copies;
    struct discovered_ports ports;
    bool has_news;              /* Of ports, whatever weights are. */
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
                   struct session *session, const struct bridge *bridge,
                   struct diags *diags)
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
    changed->has_news = discover_ports(session, bridge, &changed->model,
                                       &changed->ports, diags);
}

static void
changed_model_uninit(struct changed_model *changed)
{
    for (size_t i = 0; i < changed->n_copies; i++) {
        record_uninit(&changed->copies[i]);
    }
    free(changed->copies);
    discovered_ports_uninit(&changed->ports);
    bridge_model_uninit(&changed->model);
}

/* Sends what has changed and says so. */
static int
commit(const struct command_context *context, struct session *session,
       const struct bridge *bridge, const struct changed_model *changed,
       const struct refresh_report *report)
{
    struct update update;
    enum update_result result = UPDATE_DONE;

    if (refresh_any_change(report) || changed->has_news) {
        if (!update_prepare(session, bridge, &changed->model, &update,
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
        const struct bridge *bridge, const struct changed_model *changed,
        const struct refresh_report *report)
{
    if (context->json) {
        report_refresh_json(report, session_bridge(session), false, stdout);
        return (refresh_any_change(report) || changed->has_news
                ? STATUS_DIFFERENT : STATUS_OK);
    }
    if (context->verbose) {
        report_refresh_text(report, true, stdout);
    }
    return run_update(context, session, bridge, &changed->model, "refresh",
                      true);
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
    changed_model_init(&changed, request->file, session, bridge,
                       context->diags);
    run_refresh(context, session, bridge, request->file, &changed.model,
                &request->asked, &report);
    status = (context->dry_run
              ? preview(context, session, bridge, &changed, &report)
              : commit(context, session, bridge, &changed, &report));
    if (status != STATUS_OVERTAKEN
        && (!all_there || refresh_any_frozen(&report))) {
        status = STATUS_FAILED;
    }
    refresh_report_uninit(&report);
    changed_model_uninit(&changed);
    return status;
}

int
refresh_once(const struct command_context *context, const struct model *file)
{
    struct request request = { .file = file };
    int status = STATUS_FAILED;
    int lock = -1;

    metrics_init();
    /* Who comes while another round is under way has nothing to do.  The
     * bridge is only locked when all have answered: what is urgent must not
     * wait for a server that is slow. */
    if ((context->dry_run || lock_rounds(context, file, &lock))
        && ask_for_refresh(context, file, &request.asked)) {
        status = work_on_known_bridge(context, file, NULL,
                                      request.asked.bridge, refresh_bridge,
                                      &request);
    }
    if (lock >= 0) {
        close(lock);
    }
    refresh_destroy(request.asked.round);
    metrics_exit();
    return status;
}

/* lbgen refresh: one round of metrics and weights. */
int
cmd_refresh(const struct command_context *context)
{
    struct document *document;
    struct model *model = load_model(context, context->args[0], &document);
    int status = model ? refresh_once(context, model) : STATUS_FAILED;

    model_destroy(model);
    document_destroy(document);
    return status;
}
