/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "lbgen/run-refresh.h"

#include <time.h>

#include "lbgen/connect.h"
#include "lib/loop.h"
#include "lib/metrics.h"

/* How old, in milliseconds, what was read of the bridge may be to go on with.
 * (What other lbgens change is noticed in any case.) */
#define FRESH 1000

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

/* Reads the bridge, and stores when that was. */
static struct session *
read_now(const struct command_context *context, const struct model *file,
         struct asked *asked, int64_t *when)
{
    *when = loop_now();
    return connect_bridge(context, file, NULL, &asked->bridge);
}

static void
forget_bridge(struct asked *asked)
{
    bridge_destroy(asked->bridge);
    asked->bridge = NULL;
}

/* Connects anew if somebody has to be waited for: a switch may close a
 * connection on which nothing is said for that long, and what it counts is to
 * be as new as what servers say. */
bool
ask_for_refresh(const struct command_context *context,
                const struct model *file, struct asked *asked)
{
    int64_t when;
    struct session *session = read_now(context, file, asked, &when);
    bool ok = session && begin_round(context, file, session, asked->bridge,
                                     asked);

    if (ok && !metrics_run(refresh_batch(asked->round))) {
        session_close(session);
        session = NULL;
        metrics_finish(refresh_batch(asked->round));
        if (refresh_needs_switch(asked->round)) {
            forget_bridge(asked);
            session = read_now(context, file, asked, &when);
            ok = session;
        }
    }
    if (ok && session) {
        refresh_ask_switch(asked->round, session, asked->bridge,
                           context->diags);
    }
    asked->when = find_now();
    if (!ok || loop_now() - when > FRESH) {
        forget_bridge(asked);
    }
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
