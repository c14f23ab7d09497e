/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "lbgen/job.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lbgen/notify.h"
#include "lib/util.h"

/* What children must not have, or -1. */
static int private_fd = -1;

void
job_keep_from_children(int fd)
{
    private_fd = fd;
}

/* In the child. */
static void
run_child(int fd, int (*work)(void *aux, FILE *out), void *aux)
{
    FILE *out = fdopen(fd, "w");
    sigset_t none;
    int status;

    /* Who ends the parent does not mean us; the kernel may. */
    signal(SIGTERM, SIG_IGN);
    signal(SIGINT, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (private_fd >= 0) {
        close(private_fd);
    }
    status = out ? work(aux, out) : EXIT_FAILURE;
    if (out && fclose(out)) {
        status = EXIT_FAILURE;
    }
    _exit(status);
}

static void
finish(struct job *job)
{
    int fd = job->output.fd;
    int status = EXIT_FAILURE << 8;

    loop_remove(job->loop, &job->output);
    loop_timer_cancel(job->loop, &job->limit);
    close(fd);
    /* It has closed its end, so it is about to be gone. */
    while (job->pid > 0 && waitpid(job->pid, &status, 0) < 0
           && errno == EINTR) {
        continue;
    }
    job->running = false;
    free(job->text);
    job->text = NULL;
    job->class->done(job->aux, WIFEXITED(status) && !WEXITSTATUS(status),
                     loop_now() - job->began);
}

/* Hands on the lines that are whole by now. */
static void
take_lines(struct job *job)
{
    size_t begin = 0;
    char *end;

    while ((end = (begin < job->size
                   ? memchr(job->text + begin, '\n', job->size - begin)
                   : NULL))) {
        char *line = job->text + begin;

        *end = '\0';
        begin = end + 1 - job->text;
        job->class->line(job->aux, line);
    }
    if (begin) {
        job->size -= begin;
        memmove(job->text, job->text + begin, job->size);
    }
}

static void
output_ready(void *job_, unsigned int events LB_UNUSED)
{
    struct job *job = job_;
    char buf[65536];
    bool over;
    ssize_t n;

    while ((n = read(job->output.fd, buf, sizeof buf)) > 0) {
        if (job->size + n > job->allocated) {
            job->allocated = 2 * (job->size + n);
            job->text = lb_xrealloc(job->text, job->allocated);
        }
        memcpy(job->text + job->size, buf, n);
        job->size += n;
    }
    over = !n || errno != EAGAIN;
    take_lines(job);
    if (over) {
        finish(job);
    }
}

/* There is no child. */
static void
fail(void *job_)
{
    struct job *job = job_;

    job->running = false;
    job->class->done(job->aux, false, loop_now() - job->began);
}

static void
limit_reached(void *job_)
{
    struct job *job = job_;

    log_line(LOG_LEVEL_ERROR, "work on the bridge hangs, giving it up");
    if (job->pid > 0) {
        kill(job->pid, SIGKILL);
    }
}

void
job_start(struct job *job, struct loop *loop, const struct job_class *class,
          void *aux)
{
    int fds[2];

    *job = (struct job) {
        .loop = loop, .class = class, .aux = aux, .began = loop_now(),
    };
    job->output.fd = -1;
    job->running = true;
    if (pipe2(fds, O_CLOEXEC)) {
        log_line(LOG_LEVEL_ERROR, "cannot begin work on the bridge: %s",
                 strerror(errno));
        loop_timer_set(loop, &job->limit, job->began, fail, job);
        return;
    }
    fflush(NULL);
    job->pid = fork();
    if (job->pid < 0) {
        /* As a child that failed at once. */
        log_line(LOG_LEVEL_ERROR, "cannot fork: %s", strerror(errno));
    } else if (!job->pid) {
        close(fds[0]);
        run_child(fds[1], class->work, aux);
    }
    close(fds[1]);
    fcntl(fds[0], F_SETFL, O_NONBLOCK);
    loop_add(loop, &job->output, fds[0], EPOLLIN, output_ready, job);
    loop_timer_set(loop, &job->limit, job->began + class->limit,
                   limit_reached, job);
}

void
job_abandon(struct job *job)
{
    if (job->running) {
        int fd = job->output.fd;

        loop_remove(job->loop, &job->output);
        loop_timer_cancel(job->loop, &job->limit);
        if (fd >= 0) {
            close(fd);
        }
        free(job->text);
        job->text = NULL;
        job->running = false;
    }
}
