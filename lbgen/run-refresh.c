/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "lbgen/run-refresh.h"

#include <time.h>

#include "lib/metrics.h"

/* Seconds since the epoch. */
static double
find_now(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_REALTIME, &ts);
    return ts.tv_sec + ts.tv_nsec / 1e9;
}

void
run_refresh(const struct command_context *context, struct session *session,
            const struct bridge *bridge, const struct model *file,
            struct model *model, struct refresh_round **roundp,
            struct refresh_report *report)
{
    if (!*roundp) {
        *roundp = refresh_create(file, model);
        metrics_finish(refresh_batch(*roundp));
    }
    refresh_ask_switch(*roundp, session, bridge, context->diags);
    refresh_compute(*roundp, model, &bridge->assignments, find_now(), report,
                    context->diags);
}
