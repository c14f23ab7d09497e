/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "lbgen/run-refresh.h"

#include <time.h>

#include "lbgen/connect.h"
#include "lib/metrics.h"

/* Seconds since the epoch. */
static double
find_now(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_REALTIME, &ts);
    return ts.tv_sec + ts.tv_nsec / 1e9;
}

/* Begins the round for what is installed.  False after queueing an error. */
static bool
begin_round(const struct command_context *context, const struct model *file,
            struct session *session, const struct bridge *bridge,
            struct asked *asked)
{
    struct model model;

    if (!bridge_check_settings(bridge, session_bridge(session),
                               context->diags)) {
        return false;
    }
    bridge_model(bridge, &model, NULL, NULL);
    asked->round = refresh_create(file, &model);
    bridge_model_uninit(&model);
    return true;
}

/* Connects anew if somebody has to be waited for: a switch may close a
 * connection on which nothing is said for that long, and what it counts is to
 * be as new as what servers say. */
bool
ask_for_refresh(const struct command_context *context,
                const struct model *file, struct asked *asked)
{
    struct bridge *bridge;
    struct session *session = connect_bridge(context, file, NULL, &bridge);
    bool ok = session && begin_round(context, file, session, bridge, asked);

    if (ok && !metrics_run(refresh_batch(asked->round))) {
        bridge_destroy(bridge);
        session_close(session);
        session = NULL;
        bridge = NULL;
        metrics_finish(refresh_batch(asked->round));
        if (refresh_needs_switch(asked->round)) {
            session = connect_bridge(context, file, NULL, &bridge);
            ok = session;
        }
    }
    if (ok) {
        if (session) {
            refresh_ask_switch(asked->round, session, bridge, context->diags);
        }
        asked->when = find_now();
    }
    bridge_destroy(bridge);
    session_close(session);
    return ok;
}

void
run_refresh(const struct command_context *context, struct session *session,
            const struct bridge *bridge, const struct model *file,
            struct model *model, struct asked *asked,
            struct refresh_report *report)
{
    if (!asked->round) {
        asked->round = refresh_create(file, model);
        metrics_finish(refresh_batch(asked->round));
        refresh_ask_switch(asked->round, session, bridge, context->diags);
        asked->when = find_now();
    }
    refresh_compute(asked->round, model, &bridge->assignments, asked->when,
                    report, context->diags);
}
