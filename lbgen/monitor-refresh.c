/* SPDX-License-Identifier: Apache-2.0 */

/* The monitor moves weights: a round of "lbgen refresh" at the interval that
 * the file says, in a child, so that nothing waits for servers that are slow
 * to answer.  The file is the one in force, and not what may be on disk by
 * now.  Health and all else that it does not change, it takes from the
 * bridge. */

#include <config.h>

#include "lbgen/monitor.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "lbgen/run-refresh.h"
#include "lib/util.h"

/* A round that takes longer hangs, in milliseconds: "timeout" and the wait for
 * the lock are well below. */
#define ROUND_LIMIT 180000

/* The command that is run: it says that the bridge is to be locked. */
static const struct command *
find_refresh(void)
{
    const struct command *command = commands;

    while (command->run != cmd_refresh) {
        command++;
    }
    return command;
}

/* In the child.  What a round reports is for people who run it by hand. */
static int
refresh_work(void *m_, FILE *out LB_UNUSED)
{
    const struct monitor *m = m_;
    struct command_context context = *m->context;
    int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    int status;

    if (fd >= 0) {
        dup2(fd, STDOUT_FILENO);
    }
    context.command = find_refresh();
    context.bridge = m->bridge;
    context.diags = diags_create();
    status = refresh_once(&context, m->model);
    diags_flush(context.diags, stderr);
    diags_destroy(context.diags);
    return status;
}

static void
refresh_line(void *m LB_UNUSED, char *line LB_UNUSED)
{
}

static void
refresh_done(void *m_, bool ok, int64_t took LB_UNUSED)
{
    struct monitor *m = m_;

    m->counters.refreshes++;
    m->counters.failed_refreshes += !ok;
}

/* The shortest interval of any pool that has weights to refresh, in
 * milliseconds, or 0. */
static int64_t
find_interval(const struct model *model)
{
    double shortest = 0;

    for (size_t i = 0; i < model->n_pools; i++) {
        const struct weights *weights = &model->pools[i]->weights;

        if (weights->policy
            && (!shortest || weights->common[WEIGHT_INTERVAL] < shortest)) {
            shortest = weights->common[WEIGHT_INTERVAL];
        }
    }
    return shortest * 1000;
}

static void
refresh_due(void *m_)
{
    static const struct job_class class = {
        .work = refresh_work,
        .line = refresh_line,
        .done = refresh_done,
        .limit = ROUND_LIMIT,
    };
    struct monitor *m = m_;

    if (m->synced && watch_is_up(m->watch) && !m->refresh.running) {
        job_start(&m->refresh, m->loop, &class, m);
    }
    monitor_refresh_plan(m);
}

void
monitor_refresh_plan(struct monitor *m)
{
    int64_t interval = find_interval(m->model);
    int64_t when = loop_now() + interval;

    if (!interval) {
        loop_timer_cancel(m->loop, &m->refresh_timer);
    } else if (!m->refresh_timer.place || m->refresh_timer.when > when) {
        loop_timer_set(m->loop, &m->refresh_timer, when, refresh_due, m);
    }
}
