/* SPDX-License-Identifier: Apache-2.0 */

/* The monitor tells Prometheus: over HTTP, by libmicrohttpd, or in a file for
 * node-exporter's textfile collector.
 *
 * What the bridge knows is read by a child each time, and whoever asks
 * meanwhile gets the same answer.  Nothing waits for who asks. */

#include <config.h>

#include "lbgen/monitor.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <microhttpd.h>

#include "lbgen/exposition.h"
#include "lbgen/notify.h"

/* A child that reads the bridge for longer hangs, in milliseconds. */
#define READ_LIMIT 60000

/* Milliseconds between two files, at least. */
#define FILE_INTERVAL 15000

/* Milliseconds until it is tried again to take a connection that this process
 * had no descriptor for. */
#define ACCEPT_PAUSE 100

#define MAX_CONNECTIONS 64
#define CONNECTION_TIMEOUT 10   /* Seconds. */

/* A request that waits for the child. */
struct waiter {
    struct waiter *next;
    struct MHD_Connection *connection;
    bool answered;              /* There is 'text' for it. */
    char *text;
    size_t size;
};

struct monitor_metrics {
    struct monitor *m;
    struct MHD_Daemon *daemon;  /* NULL if nobody may ask. */
    struct loop_fd epoll;
    bool is_paused;             /* 'epoll' is not listened to. */
    struct loop_timer timer;
    const char *file_name;      /* NULL for none. */
    struct loop_timer file_timer;
    bool file_due;
    struct job job;
    char *text;                 /* What the child wrote so far. */
    size_t size;
    FILE *stream;               /* To 'text', while it runs. */
    struct waiter *waiters;
};

/* In the child. */
static int
read_work(void *mm_, FILE *out)
{
    const struct monitor_metrics *mm = mm_;
    struct session_options options = mm->m->options;
    struct diags *diags = diags_create();
    struct session *session;
    struct bridge *bridge;

    options.lock = NULL;
    session = session_open(&options, diags);
    bridge = session ? bridge_read(session, diags) : NULL;
    if (bridge) {
        exposition_write_bridge(bridge, out);
    }
    bridge_destroy(bridge);
    session_close(session);
    diags_destroy(diags);
    return 0;
}

static void
read_line(void *mm_, char *line)
{
    struct monitor_metrics *mm = mm_;

    fprintf(mm->stream, "%s\n", line);
}

/* Writes a file as a whole or not at all. */
static void
write_file(const struct monitor_metrics *mm)
{
    char *name = lb_xasprintf("%s.new", mm->file_name);
    FILE *file = fopen(name, "we");
    /* Who reads it is somebody else, whatever the umask is. */
    bool ok = (file && !fchmod(fileno(file), 0644)
               && fwrite(mm->text, 1, mm->size, file) == mm->size);

    if (file && fclose(file)) {
        ok = false;
    }
    if (!ok || rename(name, mm->file_name)) {
        log_line(LOG_LEVEL_ERROR, "cannot write metrics: file=%s error=\"%s\"",
                 mm->file_name, strerror(errno));
    }
    free(name);
}

static void run_daemon(struct monitor_metrics *);

static void
read_done(void *mm_, bool ok LB_UNUSED, int64_t took LB_UNUSED)
{
    struct monitor_metrics *mm = mm_;

    exposition_write_monitor(mm->m, mm->stream);
    fclose(mm->stream);
    if (mm->file_due) {
        mm->file_due = false;
        write_file(mm);
    }
    for (struct waiter *w = mm->waiters; w; w = w->next) {
        w->answered = true;
        w->text = lb_xmemdup0(mm->text, mm->size);
        w->size = mm->size;
        MHD_resume_connection(w->connection);
    }
    mm->waiters = NULL;
    free(mm->text);
    mm->text = NULL;
    if (mm->daemon) {
        run_daemon(mm);
    }
}

static void
read_bridge(struct monitor_metrics *mm)
{
    static const struct job_class class = {
        .work = read_work,
        .line = read_line,
        .done = read_done,
        .limit = READ_LIMIT,
    };

    if (!mm->job.running) {
        mm->stream = open_memstream(&mm->text, &mm->size);
        if (!mm->stream) {
            abort();
        }
        job_start(&mm->job, mm->m->loop, &class, mm);
    }
}

/* HTTP. */

static enum MHD_Result
answer(struct MHD_Connection *connection, unsigned int status,
       const char *text, size_t size)
{
    struct MHD_Response *response = MHD_create_response_from_buffer(
        size, CONST_CAST(char *, text), MHD_RESPMEM_MUST_COPY);
    enum MHD_Result result;

    MHD_add_response_header(response, "Content-Type",
                            "text/plain; version=0.0.4; charset=utf-8");
    result = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result
handle(void *mm_, struct MHD_Connection *connection, const char *url,
       const char *method, const char *version LB_UNUSED,
       const char *upload LB_UNUSED, size_t *upload_size LB_UNUSED,
       void **waiter_)
{
    static const char missing[] = "there is only /metrics\n";
    struct monitor_metrics *mm = mm_;
    struct waiter *w = *waiter_;

    if (strcmp(method, "GET") || strcmp(url, "/metrics")) {
        return answer(connection, MHD_HTTP_NOT_FOUND, missing,
                      sizeof missing - 1);
    } else if (w && w->answered) {
        return answer(connection, MHD_HTTP_OK, w->text, w->size);
    } else if (!w) {
        w = *waiter_ = lb_xcalloc(1, sizeof *w);
        w->connection = connection;
        w->next = mm->waiters;
        mm->waiters = w;
        MHD_suspend_connection(connection);
        read_bridge(mm);
    }
    return MHD_YES;
}

static void
request_over(void *mm_, struct MHD_Connection *connection LB_UNUSED,
             void **waiter_, enum MHD_RequestTerminationCode code LB_UNUSED)
{
    struct monitor_metrics *mm = mm_;
    struct waiter *w = *waiter_;

    if (w) {
        for (struct waiter **p = &mm->waiters; *p; p = &(*p)->next) {
            if (*p == w) {
                *p = w->next;
                break;
            }
        }
        free(w->text);
        free(w);
        *waiter_ = NULL;
    }
}

static void
timer_expired(void *mm)
{
    run_daemon(mm);
}

static void
run_daemon(struct monitor_metrics *mm)
{
    MHD_UNSIGNED_LONG_LONG timeout;

    if (mm->is_paused) {
        mm->is_paused = false;
        loop_modify(mm->m->loop, &mm->epoll, EPOLLIN);
    }
    MHD_run(mm->daemon);
    if (MHD_get_timeout(mm->daemon, &timeout) == MHD_YES) {
        loop_timer_set(mm->m->loop, &mm->timer,
                       loop_now() + (timeout ? timeout : 1), timer_expired,
                       mm);
    } else {
        loop_timer_cancel(mm->m->loop, &mm->timer);
    }
}

/* Whether there is a descriptor for one more. */
static bool
has_room(void)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd >= 0) {
        close(fd);
    }
    return fd >= 0;
}

/* Without a descriptor for who wants to connect, libmicrohttpd would try again
 * at once, for ever. */
static void
daemon_ready(void *mm_, unsigned int events LB_UNUSED)
{
    struct monitor_metrics *mm = mm_;

    if (has_room()) {
        run_daemon(mm);
    } else {
        mm->is_paused = true;
        loop_modify(mm->m->loop, &mm->epoll, 0);
        loop_timer_set(mm->m->loop, &mm->timer, loop_now() + ACCEPT_PAUSE,
                       timer_expired, mm);
    }
}

/* Begins to listen.  False after queueing an error. */
static bool
listen_at(struct monitor_metrics *mm, const char *where,
          struct diags *diags)
{
    struct sockaddr_storage ss = mm->m->context->metrics_address;
    const union MHD_DaemonInfo *info;
    unsigned int flags = (MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME
                          | MHD_USE_ITC);

    if (ss.ss_family == AF_INET6) {
        flags |= MHD_USE_IPv6;
    }
    mm->daemon = MHD_start_daemon(
        flags, 0, NULL, NULL, handle, mm, MHD_OPTION_SOCK_ADDR, &ss,
        MHD_OPTION_NOTIFY_COMPLETED, request_over, mm,
        MHD_OPTION_CONNECTION_LIMIT, MAX_CONNECTIONS,
        MHD_OPTION_CONNECTION_TIMEOUT, CONNECTION_TIMEOUT, MHD_OPTION_END);
    if (!mm->daemon) {
        diag_error(diags, NULL, "cannot listen at %s for --metrics: %s",
                   where, strerror(errno));
        return false;
    }
    info = MHD_get_daemon_info(mm->daemon, MHD_DAEMON_INFO_LISTEN_FD);
    job_keep_from_children(info->listen_fd);
    info = MHD_get_daemon_info(mm->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    return loop_add(mm->m->loop, &mm->epoll, info->epoll_fd,
                    EPOLLIN, daemon_ready, mm);
}

static void
file_due(void *mm_)
{
    struct monitor_metrics *mm = mm_;

    mm->file_due = true;
    read_bridge(mm);
    loop_timer_set(mm->m->loop, &mm->file_timer,
                   loop_now() + FILE_INTERVAL, file_due, mm);
}

struct monitor_metrics *
monitor_metrics_create(struct monitor *m, struct diags *diags)
{
    const struct command_context *context = m->context;
    struct monitor_metrics *mm = lb_xcalloc(1, sizeof *mm);

    mm->m = m;
    mm->file_name = context->metrics_file;
    mm->epoll.fd = -1;
    if (context->metrics && !listen_at(mm, context->metrics, diags)) {
        monitor_metrics_destroy(mm);
        return NULL;
    }
    if (mm->file_name) {
        loop_timer_set(m->loop, &mm->file_timer, loop_now() + 1000,
                       file_due, mm);
    }
    return mm;
}

void
monitor_metrics_destroy(struct monitor_metrics *mm)
{
    if (!mm) {
        return;
    }
    if (mm->job.running) {
        job_abandon(&mm->job);
        fclose(mm->stream);
        free(mm->text);
    }
    if (mm->daemon) {
        for (struct waiter *w = mm->waiters; w; w = w->next) {
            MHD_resume_connection(w->connection);
        }
        loop_remove(mm->m->loop, &mm->epoll);
        MHD_stop_daemon(mm->daemon);
    }
    loop_timer_cancel(mm->m->loop, &mm->timer);
    loop_timer_cancel(mm->m->loop, &mm->file_timer);
    free(mm);
}
