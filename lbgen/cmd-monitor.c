/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "lbgen/monitor.h"

#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "lbgen/notify.h"
#include "lib/found.h"
#include "lib/health.h"
#include "lib/input.h"

/* Longest file, in bytes. */
#define MAX_FILE (64 * 1024 * 1024)

/* How long the switch may take to be there until that is said, in
 * milliseconds. */
#define START_PATIENCE 2000

/* How often the bridge is looked at without a reason, in milliseconds, and at
 * least so many times as long as that takes. */
#define ROUTINE_INTERVAL 10000
#define ROUTINE_FACTOR 50

/* How long to wait before what seems to have changed is looked at. */
#define CALM 50

/* How long to wait for others to come back as well: then slots move once. */
#define RETURN_PAUSE 100

/* Whether servers that count again would lose what they get now, because the
 * connections that they had are still being cut.  A death does not wait for
 * that, unless it is the one that makes the dead of its pool count again. */
static bool
must_wait_for_cuts(const struct monitor *m, unsigned int reasons)
{
    if (!m->tails) {
        return false;
    }
    for (size_t i = 0; i < m->model->n_pools; i++) {
        const struct pool *pool = m->model->pools[i];

        if (health_panics(pool) && !pool->panicked) {
            return true;
        }
    }
    return (reasons & (REASON_RETURN | REASON_FOUND)
            && !(reasons & REASON_DEATH));
}

/* Begins the job if there is reason to, and nothing else to wait for. */
static void
sync_due(void *m_)
{
    struct monitor *m = m_;
    unsigned int reasons = m->reasons;

    if (m->sync || !reasons || m->stopping) {
        return;
    } else if (m->synced && !watch_is_up(m->watch)) {
        return;                 /* WATCH_UP will come. */
    } else if (must_wait_for_cuts(m, reasons)) {
        return;                 /* Their end will come. */
    }
    m->reasons = 0;
    monitor_sync(m, reasons);
}

void
monitor_want(struct monitor *m, enum monitor_reason reason)
{
    int64_t pause = 0;

    m->reasons |= reason;
    if (m->retry) {
        pause = m->retry;
    } else if (!(m->reasons & ~(REASON_DRIFT | REASON_ROUTINE))) {
        pause = m->calm;
    } else if (!(m->reasons & ~(REASON_DRIFT | REASON_ROUTINE
                                | REASON_RETURN | REASON_FOUND))) {
        pause = RETURN_PAUSE;
    }
    if (!m->sync_timer.place || m->sync_timer.when > loop_now() + pause) {
        loop_timer_set(m->loop, &m->sync_timer, loop_now() + pause, sync_due,
                       m);
    }
}

static void
routine(void *m_)
{
    struct monitor *m = m_;
    int64_t pause = m->counters.apply_ms * ROUTINE_FACTOR;

    if (pause < ROUTINE_INTERVAL) {
        pause = ROUTINE_INTERVAL;
    }
    monitor_files_look(m->files);
    monitor_want(m, REASON_ROUTINE);
    loop_timer_set(m->loop, &m->routine_timer, loop_now() + pause, routine,
                   m);
}

static void
watch_event(void *m_, enum watch_event event)
{
    struct monitor *m = m_;

    switch (event) {
    case WATCH_UP:
        if (m->synced) {
            log_line(LOG_LEVEL_NOTICE, "switch connected: bridge=%s",
                     m->bridge);
        }
        m->retry = 0;
        monitor_want(m, m->synced ? REASON_SWITCH : REASON_START);
        break;
    case WATCH_DOWN:
        /* Checks may go through the switch, and would blame the servers. */
        checker_pause(m->checker);
        log_line(LOG_LEVEL_WARNING, "switch lost: bridge=%s", m->bridge);
        notify("STATUS=waiting for bridge %s", m->bridge);
        break;
    case WATCH_CHANGED:
    default:
        monitor_want(m, REASON_DRIFT);
        break;
    }
}

/* Checks from the switch. */

static bool
send_to_switch(void *m_, struct ofpbuf *message)
{
    struct monitor *m = m_;

    return watch_send(m->watch, message);
}

static uint64_t
ping_switch(void *m_)
{
    struct monitor *m = m_;

    return watch_ping(m->watch);
}

static bool
switch_has_answered(void *m_, uint64_t ping)
{
    struct monitor *m = m_;

    return watch_has_answered(m->watch, ping);
}

static void
take_answer(void *m_, const void *frame, size_t size)
{
    struct monitor *m = m_;

    prober_take(&m->prober, frame, size);
}

static void
server_found(void *m_)
{
    monitor_want(m_, REASON_FOUND);
}

static void
health_changed(void *m_, struct pool *pool, struct server *server,
               enum health_state before)
{
    struct monitor *m = m_;
    const struct health *h = &server->health;

    m->counters.transitions++;
    log_line((h->state == HEALTH_DOWN ? LOG_LEVEL_WARNING : LOG_LEVEL_NOTICE),
             "server %s: pool=%s server=%s was=%s%s%s%s",
             health_state_name(h->state), pool->name, server->name,
             health_state_name(before), h->error ? " error=\"" : "",
             h->error ? h->error : "", h->error ? "\"" : "");
    monitor_want(m, (h->state != HEALTH_UP ? REASON_DEATH
                     : server->missing ? REASON_FOUND : REASON_RETURN));
}

static void
check_impossible(void *m LB_UNUSED, struct pool *pool, struct server *server,
                 const char *error)
{
    log_line(LOG_LEVEL_WARNING, "cannot check: pool=%s server=%s error=\"%s\"",
             pool->name, server->name, error);
}

/* Reading the file. */

/* A file that was read. */
struct reading {
    char *text;
    size_t size;
    struct document *document;
    struct model *model;
};

static void
reading_uninit(struct reading *r)
{
    model_destroy(r->model);
    document_destroy(r->document);
    free(r->text);
}

/* Reads 'm->file_name'.  False after queueing an error.  To be uninitialized
 * in any case. */
static bool
read_file(const struct monitor *m, struct reading *r, struct diags *diags)
{
    memset(r, 0, sizeof *r);
    if (!input_read(m->file_name, m->file_name, MAX_FILE, &r->text, &r->size,
                    diags)) {
        return false;
    }
    r->document = document_read_memory(m->file_name, r->text, r->size, diags);
    if (r->document) {
        r->model = model_read(r->document, diags);
    }
    return r->model;
}

/* Puts 'r' in force, which it takes over. */
static void
use_file(struct monitor *m, struct reading *r)
{
    struct reading old = { m->text, m->text_size, m->document, m->model };

    m->text = r->text;
    m->text_size = r->size;
    m->document = r->document;
    m->model = r->model;
    if (old.model) {
        for (size_t i = 0; i < m->model->n_pools; i++) {
            struct pool *pool = m->model->pools[i];

            const struct pool *was = model_find_pool(old.model, pool->name);

            pool->panicked = was && was->panicked;
            health_take_over(pool, was);
            found_take_over(pool, was);
        }
    }
    checker_load(m->checker, m->model);
    monitor_refresh_plan(m);
    reading_uninit(&old);
}

/* Prints messages as lines of the log. */
static void
log_diags(struct diags *diags)
{
    diags_flush(diags, stderr);
}

/* Leaves 'r' be, which it takes over, and what was in force in force. */
static void
refuse_file(struct monitor *m, struct reading *r)
{
    m->counters.failed_reloads++;
    log_line(LOG_LEVEL_ERROR, "file refused: file=%s; the one before "
             "stays in force", m->file_name);
    free(m->refused);
    m->refused = r->text;
    m->refused_size = r->size;
    m->unreadable = !r->text;
    r->text = NULL;
    reading_uninit(r);
}

static void
forget_refused(struct monitor *m)
{
    free(m->refused);
    m->refused = NULL;
    m->unreadable = false;
}

static bool
is_same(const struct reading *r, const char *text, size_t size)
{
    return r->size == size && !memcmp(r->text, text, size);
}

/* Whether what was read is what was read last time. */
static bool
is_no_news(struct monitor *m, const struct reading *r)
{
    if (!r->text) {
        return m->unreadable;
    } else if (is_same(r, m->text, m->text_size)) {
        forget_refused(m);
        return true;
    }
    return m->refused && is_same(r, m->refused, m->refused_size);
}

void
monitor_reload(struct monitor *m, bool always)
{
    struct diags *diags = diags_create();
    struct reading r;
    bool ok = read_file(m, &r, diags);

    if (!always && is_no_news(m, &r)) {
        reading_uninit(&r);
        diags_destroy(diags);
        return;
    }
    if (ok && !m->context->bridge && r.model->bridge
        && strcmp(r.model->bridge, m->bridge)) {
        diag_error(diags, NULL, "%s names another bridge, %s; for that, start "
                   "the monitor anew", m->file_name, r.model->bridge);
        ok = false;
    }
    log_diags(diags);
    diags_destroy(diags);
    if (ok) {
        m->counters.reloads++;
        forget_refused(m);
        use_file(m, &r);
        monitor_want(m, REASON_FILE);
    } else {
        refuse_file(m, &r);
    }
}

/* Being a service. */

static void
signals_ready(void *m_, unsigned int events LB_UNUSED)
{
    struct monitor *m = m_;
    struct signalfd_siginfo info;

    while (read(m->signals.fd, &info, sizeof info) == sizeof info) {
        if (info.ssi_signo == SIGHUP) {
            monitor_reload(m, true);
        } else {
            m->stopping = true;
        }
    }
}

static void
watch_signals(struct monitor *m)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigprocmask(SIG_BLOCK, &set, NULL);
    loop_add(m->loop, &m->signals,
             signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC), EPOLLIN,
             signals_ready, m);
}

static void
feed_watchdog(void *m_)
{
    struct monitor *m = m_;

    notify("WATCHDOG=1");
    loop_timer_set(m->loop, &m->watchdog_timer, loop_now() + m->watchdog / 2,
                   feed_watchdog, m);
}

static void
say_waiting(void *m_)
{
    struct monitor *m = m_;

    if (!watch_is_up(m->watch)) {
        log_line(LOG_LEVEL_WARNING, "waiting for the switch: bridge=%s "
                 "error=\"%s\"; nothing is checked meanwhile", m->bridge,
                 watch_error(m->watch));
    }
}

/* False after queueing an error.  To be uninitialized in any case. */
static bool
monitor_init(struct monitor *m, struct reading *r)
{
    const struct command_context *context = m->context;
    const struct checker_listener listener = {
        .changed = health_changed, .unable = check_impossible, .aux = m
    };

    m->bridge = lb_xstrdup(context->bridge ? context->bridge
                           : r->model->bridge);
    m->options = (struct session_options) {
        .bridge = m->bridge,
        .timeout = context->timeout,
        .private_key = context->private_key,
        .certificate = context->certificate,
        .ca_cert = context->ca_cert,
        .lock = &m->lock,
    };
    m->calm = CALM;
    m->last_repair = INT64_MIN / 2;
    m->started = time(NULL);
    lb_raise_fd_limit();
    m->loop = loop_create();
    watch_signals(m);
    session_init(context->verbose);
    m->checker = checker_create(m->loop, &listener);
    m->prober = (struct prober) {
        .send = send_to_switch,
        .ping = ping_switch,
        .has_answered = switch_has_answered,
        .aux = m,
    };
    prober_init(&m->prober);
    checker_set_prober(m->checker, &m->prober, server_found, m);
    m->watch = watch_create(&m->options, watch_event, take_answer, m);
    m->files = monitor_files_create(m);
    use_file(m, r);
    m->metrics = monitor_metrics_create(m, context->diags);
    return m->metrics;
}

static void
monitor_uninit(struct monitor *m)
{
    struct reading r = { m->text, m->text_size, m->document, m->model };
    int fd = m->signals.fd;

    monitor_sync_abandon(m);
    job_abandon(&m->refresh);
    monitor_metrics_destroy(m->metrics);
    checker_destroy(m->checker);
    prober_uninit(&m->prober);
    monitor_files_destroy(m->files);
    watch_destroy(m->watch);
    loop_remove(m->loop, &m->signals);
    close(fd);
    loop_destroy(m->loop);
    reading_uninit(&r);
    free(m->complaint);
    free(m->refused);
    free(m->bridge);
}

static void
monitor_run(struct monitor *m)
{
    int64_t now = loop_now();

    loop_timer_set(m->loop, &m->start_timer, now + START_PATIENCE,
                   say_waiting, m);
    loop_timer_set(m->loop, &m->routine_timer, now + ROUTINE_INTERVAL,
                   routine, m);
    m->watchdog = notify_watchdog_interval();
    if (m->watchdog) {
        feed_watchdog(m);
    }
    log_line(LOG_LEVEL_INFO, "monitor started: bridge=%s file=%s checks=%zu",
             m->bridge, m->file_name, checker_n_items(m->checker));
    notify("READY=1\nSTATUS=waiting for bridge %s", m->bridge);
    while (!m->stopping) {
        watch_run(m->watch);
        watch_wait(m->watch);
        loop_run_once(m->loop);
    }
    notify("STOPPING=1");
    log_line(LOG_LEVEL_INFO, "monitor stopped: bridge=%s; the bridge stays as "
             "it is", m->bridge);
}

/* lbgen monitor: keep the bridge right, as a service. */
int
cmd_monitor(const struct command_context *context)
{
    struct monitor m = { .context = context, .file_name = context->args[0] };
    int status = STATUS_FAILED;
    struct reading r;

    if (!strcmp(m.file_name, "-")) {
        diag_error(context->diags, NULL, "monitor needs a file that it can "
                   "read again, not standard input");
        return STATUS_USAGE;
    }
    if (!read_file(&m, &r, context->diags)) {
        reading_uninit(&r);
        return STATUS_FAILED;
    }
    if (!context->bridge && !r.model->bridge) {
        diag_error(context->diags, NULL, "which bridge? set \"bridge\" in the "
                   "file or give -b BRIDGE");
        reading_uninit(&r);
        return STATUS_FAILED;
    }
    log_diags(context->diags);
    if (monitor_init(&m, &r)) {
        monitor_run(&m);
        status = STATUS_OK;
    }
    monitor_uninit(&m);
    return status;
}
