/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "lib/metrics.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "lib/metrics-internal.h"

/* Polls that are under way at once, unless there are fewer descriptors. */
#define MAX_RUNNING 1000

/* Descriptors that the rest of the process may need. */
#define SPARE_FDS 64

/* How often to look whether programs have ended, in milliseconds. */
#define PROGRAM_TICK 10

void
metrics_init(void)
{
    curl_global_init(CURL_GLOBAL_DEFAULT);
    lb_raise_fd_limit();
}

void
metrics_exit(void)
{
    curl_global_cleanup();
}

int64_t
metrics_now(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * 1000LL + ts.tv_nsec / 1000000;
}

/* A fetch under way takes up to two descriptors. */
static size_t
find_max_running(void)
{
    struct rlimit limit;
    size_t max = MAX_RUNNING;

    if (!getrlimit(RLIMIT_NOFILE, &limit)
        && limit.rlim_cur < 2 * MAX_RUNNING + SPARE_FDS) {
        max = limit.rlim_cur > SPARE_FDS + 16
              ? (limit.rlim_cur - SPARE_FDS) / 2 : 8;
    }
    return max;
}

struct metrics_batch *
metrics_create(void)
{
    struct metrics_batch *batch = lb_xcalloc(1, sizeof *batch);

    batch->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    batch->curl_deadline = INT64_MAX;
    batch->max_running = find_max_running();
    return batch;
}

static void
fetch_destroy(struct fetch *fetch)
{
    if (fetch->is_started && !fetch->is_done) {
        fetch_finish(fetch, "given up");
    }
    for (size_t i = 0; fetch->args && fetch->args[i]; i++) {
        free(fetch->args[i]);
    }
    free(fetch->args);
    free(fetch->target);
    free(fetch->text);
    free(fetch->error);
    free(fetch);
}

void
metrics_destroy(struct metrics_batch *batch)
{
    if (!batch) {
        return;
    }
    for (size_t i = 0; i < batch->n_fetches; i++) {
        fetch_destroy(batch->fetches[i]);
    }
    batch_stop_curl(batch);
    for (size_t i = 0; batch->answers && i < batch->n; i++) {
        answer_uninit(&batch->answers[i]);
    }
    if (batch->epoll_fd >= 0) {
        close(batch->epoll_fd);
    }
    free(batch->answers);
    free(batch->fetches);
    free(batch->sources);
    free(batch->fetch_of);
    free(batch);
}

static char **
expand_args(const struct source *source, const struct server *server)
{
    char **args = lb_xcalloc(source->n_args + 1, sizeof *args);

    for (size_t i = 0; i < source->n_args; i++) {
        args[i] = source_expand(source, source->args[i], server);
    }
    return args;
}

static struct fetch *
fetch_create(struct metrics_batch *batch, const struct source *source,
            const struct server *server)
{
    struct fetch *fetch = lb_xcalloc(1, sizeof *fetch);

    fetch->batch = batch;
    fetch->source = source;
    fetch->fd = -1;
    if (source->kind == SOURCE_EXEC) {
        fetch->args = expand_args(source, server);
    } else {
        fetch->target = source_expand(source, source->target, server);
    }
    return fetch;
}

static bool
strings_equal(const char *a, const char *b)
{
    return a && b ? !strcmp(a, b) : a == b;
}

/* Whether both fetch the same. */
static bool
fetches_equal(const struct fetch *a, const struct fetch *b)
{
    size_t i = 0;

    if (a->source->kind != b->source->kind
        || !strings_equal(a->target, b->target)
        || !strings_equal(a->source->ca, b->source->ca)) {
        return false;
    }
    while (a->args && a->args[i] && strings_equal(a->args[i], b->args[i])) {
        i++;
    }
    return !a->args || (!a->args[i] && !b->args[i]);
}

/* The index of one that fetches the same as 'fetch', or SIZE_MAX. */
static size_t
find_equal(const struct metrics_batch *batch, const struct fetch *fetch)
{
    for (size_t i = 0; i < batch->n_fetches; i++) {
        if (fetches_equal(batch->fetches[i], fetch)) {
            return i;
        }
    }
    return SIZE_MAX;
}

size_t
metrics_add(struct metrics_batch *batch, const struct source *source,
            const struct server *server, double timeout)
{
    struct fetch *fetch = fetch_create(batch, source, server);
    size_t index = find_equal(batch, fetch);

    if (index != SIZE_MAX) {
        fetch_destroy(fetch);
    } else {
        index = batch->n_fetches;
        batch->fetches = lb_grow(batch->fetches, batch->n_fetches,
                               &batch->allocated_fetches,
                               sizeof *batch->fetches);
        batch->fetches[batch->n_fetches++] = fetch;
    }
    fetch = batch->fetches[index];
    fetch->timeout = fetch->timeout > timeout ? fetch->timeout : timeout;

    batch->sources = lb_grow(batch->sources, batch->n,
                             &batch->allocated_sources,
                             sizeof *batch->sources);
    batch->fetch_of = lb_grow(batch->fetch_of, batch->n,
                             &batch->allocated_fetch_of,
                             sizeof *batch->fetch_of);
    batch->sources[batch->n] = source;
    batch->fetch_of[batch->n] = index;
    return batch->n++;
}

bool
fetch_append(struct fetch *fetch, const char *data, size_t size)
{
    if (size > METRICS_MAX_ANSWER - fetch->size) {
        return false;
    }
    if (fetch->size + size > fetch->allocated) {
        fetch->allocated = 2 * (fetch->size + size);
        fetch->text = lb_xrealloc(fetch->text, fetch->allocated);
    }
    memcpy(fetch->text + fetch->size, data, size);
    fetch->size += size;
    return true;
}

void
fetch_finish(struct fetch *fetch, const char *error)
{
    if (error && !fetch->error) {
        fetch->error = lb_xstrdup(error);
    }
    fetch->is_done = true;
    fetch->batch->n_running--;
    if (fetch->easy) {
        fetch_stop_http(fetch);
    }
    if (fetch->pid) {
        fetch_stop_exec(fetch);
    }
    if (fetch->fd >= 0) {
        close(fetch->fd);
        fetch->fd = -1;
    }
}

static void
fetch_start(struct fetch *fetch)
{
    static void (*const starts[])(struct fetch *) = {
        [SOURCE_HTTP] = fetch_start_http,
        [SOURCE_AGENT] = fetch_start_agent,
        [SOURCE_FILE] = fetch_start_file,
        [SOURCE_EXEC] = fetch_start_exec,
    };

    fetch->is_started = true;
    fetch->batch->n_running++;
    starts[fetch->source->kind](fetch);
}

/* All have the time from the beginning of the first: that of the batch is
 * that of its most patient one. */
static void
set_deadlines(struct metrics_batch *batch)
{
    int64_t now = metrics_now();

    for (size_t i = 0; i < batch->n_fetches; i++) {
        struct fetch *fetch = batch->fetches[i];

        fetch->deadline = now + (int64_t) (fetch->timeout * 1000);
    }
}

static void
start_more(struct metrics_batch *batch)
{
    if (!batch->next) {
        set_deadlines(batch);
    }
    while (batch->next < batch->n_fetches
           && batch->n_running < batch->max_running) {
        fetch_start(batch->fetches[batch->next++]);
    }
}

/* Handles one event, if there is any. */
static bool
run_event(struct metrics_batch *batch)
{
    struct epoll_event event;
    struct fetch *fetch;
    int fd;

    if (epoll_wait(batch->epoll_fd, &event, 1, 0) < 1) {
        return false;
    }
    /* The number of a fetch and 1, or 0 for libcurl's, and the descriptor. */
    fd = event.data.u64 & 0xffffffff;
    if (!(event.data.u64 >> 32)) {
        batch_run_curl(batch, fd, event.events);
        return true;
    }
    fetch = batch->fetches[(event.data.u64 >> 32) - 1];
    if (!fetch->is_done && fetch->source->kind == SOURCE_AGENT) {
        fetch_run_agent(fetch);
    } else if (!fetch->is_done && fetch->source->kind == SOURCE_EXEC) {
        fetch_run_exec(fetch);
    }
    return true;
}

/* Ends what is too late, and looks after programs. */
static void
check_fetches(struct metrics_batch *batch)
{
    int64_t now = metrics_now();

    for (size_t i = 0; i < batch->next; i++) {
        struct fetch *fetch = batch->fetches[i];

        if (!fetch->is_done && fetch->pid) {
            fetch_check_exec(fetch);
        }
        if (!fetch->is_done && now >= fetch->deadline) {
            char *error = lb_xasprintf("no answer within %g s",
                                       fetch->timeout);

            fetch_finish(fetch, error);
            free(error);
        }
    }
}

/* Reads all answers. */
static void
parse_answers(struct metrics_batch *batch)
{
    batch->answers = lb_xcalloc(batch->n, sizeof *batch->answers);
    for (size_t i = 0; i < batch->n; i++) {
        const struct fetch *fetch = batch->fetches[batch->fetch_of[i]];
        struct answer *answer = &batch->answers[i];

        if (fetch->error) {
            answer_set_error(answer, "%s", fetch->error);
        } else {
            answer_parse(batch->sources[i], fetch->text ? fetch->text : "",
                         fetch->size, answer);
            answer->time = answer->time > 0 ? answer->time : fetch->mtime;
        }
    }
}

bool
metrics_run(struct metrics_batch *batch)
{
    if (batch->is_done) {
        return true;
    }
    do {
        start_more(batch);
        while (run_event(batch)) {
            continue;
        }
        if (metrics_now() >= batch->curl_deadline) {
            batch_run_curl(batch, -1, 0);
        }
        check_fetches(batch);
    } while (batch->next < batch->n_fetches
             && batch->n_running < batch->max_running);
    if (batch->n_running) {
        return false;
    }
    batch->is_done = true;
    parse_answers(batch);
    return true;
}

int
metrics_fd(const struct metrics_batch *batch)
{
    return batch->epoll_fd;
}

int
metrics_timeout(const struct metrics_batch *batch)
{
    int64_t now = metrics_now();
    int64_t next = batch->curl_deadline;

    if (batch->is_done || !batch->next) {
        return 0;
    }
    for (size_t i = 0; i < batch->next; i++) {
        const struct fetch *fetch = batch->fetches[i];

        if (!fetch->is_done && fetch->deadline < next) {
            next = fetch->deadline;
        }
    }
    if (batch->n_programs && now + PROGRAM_TICK < next) {
        next = now + PROGRAM_TICK;
    }
    return next <= now ? 0 : next - now > 60000 ? 60000 : (int) (next - now);
}

void
metrics_finish(struct metrics_batch *batch)
{
    while (!metrics_run(batch)) {
        struct pollfd pollfd = { .fd = batch->epoll_fd, .events = POLLIN };

        poll(&pollfd, 1, metrics_timeout(batch));
    }
}

const struct answer *
metrics_answer(const struct metrics_batch *batch, size_t number)
{
    return &batch->answers[number];
}
