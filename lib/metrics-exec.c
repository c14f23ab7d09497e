/* SPDX-License-Identifier: Apache-2.0 */

/* Files, and programs
 * ===================
 *
 * A program runs without a shell, in a process group of its own, with nothing
 * of ours open.  When it has ended, or its time is over, whatever is left in
 * the group is killed. */

#include <config.h>

#include "lib/metrics-internal.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void
read_file(struct fetch *fetch, int fd)
{
    char buf[16384];
    ssize_t n;

    while ((n = read(fd, buf, sizeof buf)) > 0) {
        if (!fetch_append(fetch, buf, n)) {
            fetch_finish(fetch, "the file is longer than 1 MiB");
            return;
        }
    }
    fetch_finish(fetch, n < 0 ? strerror(errno) : NULL);
}

void
fetch_start_file(struct fetch *fetch)
{
    /* Opening a pipe must not wait for somebody who writes to it. */
    int fd = open(fetch->target, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    struct stat s;

    if (fd < 0) {
        fetch_finish(fetch, strerror(errno));
        return;
    }
    if (fstat(fd, &s) || !S_ISREG(s.st_mode)) {
        fetch_finish(fetch, "that is not a file");
    } else {
        fetch->mtime = s.st_mtime;
        read_file(fetch, fd);
    }
    close(fd);
}

/* Closes everything but the standard streams. */
static void
close_all(void)
{
#ifdef SYS_close_range
    if (!syscall(SYS_close_range, STDERR_FILENO + 1, ~0U, 0)) {
        return;
    }
#endif
    for (int fd = STDERR_FILENO + 1; fd < 65536; fd++) {
        close(fd);
    }
}

/* In the child.  Only what may be called between fork() and execve() of a
 * process that may have threads. */
static void
run_program(char **args, int output)
{
    sigset_t none;
    int null;

    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    /* What we ignore, or whoever started us, is none of its business.  Some
     * cannot be set. */
    for (int i = 1; i < NSIG; i++) {
        signal(i, SIG_DFL);
    }
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    null = open("/dev/null", O_RDWR);
    if (null < 0 || dup2(null, STDIN_FILENO) < 0
        || dup2(output, STDOUT_FILENO) < 0 || dup2(null, STDERR_FILENO) < 0) {
        _exit(127);
    }
    close_all();
    execv(args[0], args);
    _exit(127);
}

void
fetch_start_exec(struct fetch *fetch)
{
    struct metrics_batch *batch = fetch->batch;
    struct epoll_event event = { .events = EPOLLIN };
    size_t index = 0;
    int fds[2];

    if (access(fetch->args[0], X_OK) || pipe2(fds, O_CLOEXEC)) {
        fetch_finish(fetch, strerror(errno));
        return;
    }
    fetch->pid = fork();
    if (!fetch->pid) {
        run_program(fetch->args, fds[1]);
    }
    close(fds[1]);
    fetch->fd = fds[0];
    if (fetch->pid < 0) {
        fetch->pid = 0;
        fetch_finish(fetch, strerror(errno));
        return;
    }
    /* Here as well: whoever is first, it is so before anybody kills it. */
    setpgid(fetch->pid, fetch->pid);
    batch->n_programs++;
    fcntl(fetch->fd, F_SETFL, O_NONBLOCK);
    while (batch->fetches[index] != fetch) {
        index++;
    }
    event.data.u64 = (uint64_t) (index + 1) << 32;
    epoll_ctl(batch->epoll_fd, EPOLL_CTL_ADD, fetch->fd, &event);
}

void
fetch_stop_exec(struct fetch *fetch)
{
    kill(-fetch->pid, SIGKILL);
    while (waitpid(fetch->pid, NULL, 0) < 0 && errno == EINTR) {
        continue;
    }
    fetch->pid = 0;
    fetch->batch->n_programs--;
}

/* Reads what is there.  False if the fetch is done because of that. */
static bool
read_output(struct fetch *fetch)
{
    char buf[16384];
    ssize_t n;

    while (fetch->fd >= 0 && (n = read(fetch->fd, buf, sizeof buf)) >= 0) {
        if (!n) {
            close(fetch->fd);
            fetch->fd = -1;
        } else if (!fetch_append(fetch, buf, n)) {
            fetch_finish(fetch, "it prints more than 1 MiB");
            return false;
        }
    }
    return true;
}

void
fetch_run_exec(struct fetch *fetch)
{
    if (read_output(fetch)) {
        fetch_check_exec(fetch);
    }
}

void
fetch_check_exec(struct fetch *fetch)
{
    siginfo_t info = { .si_pid = 0 };
    char *error = NULL;

    /* It stays a zombie until its group is killed: until then nobody else can
     * have that number. */
    if (waitid(P_PID, fetch->pid, &info, WEXITED | WNOHANG | WNOWAIT)
        || !info.si_pid || !read_output(fetch)) {
        return;
    }
    if (info.si_code != CLD_EXITED) {
        error = lb_xasprintf("it was killed by signal %d", info.si_status);
    } else if (info.si_status) {
        error = lb_xasprintf("it exited with status %d", info.si_status);
    }
    fetch_finish(fetch, error);
    free(error);
}
