/* SPDX-License-Identifier: Apache-2.0 */

/* Checks of type exec: a program says so by its exit status.
 *
 * It runs in a process group of its own, which is killed when its time is
 * over, and also at its end: whatever it started goes with it. */

#include <config.h>

#include "lib/attempt.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

/* A process that is ours until it is waited for, which may be after the end
 * of the attempt: a process that is killed still takes a moment. */
struct process {
    struct process *next;       /* In 'all->processes'. */
    struct attempts *all;
    struct loop *loop;
    struct attempt *attempt;    /* NULL if that has ended. */
    pid_t pid;
    struct loop_fd pidfd;
    struct loop_fd output;
    char line[80];              /* The first one that it printed. */
    size_t length;
    bool whole;                 /* Of 'line' nothing more is to come. */
};

struct exec {
    struct attempt up;
    struct process *process;
};

static void
close_fd(struct loop *loop, struct loop_fd *lfd)
{
    int fd = lfd->fd;

    if (fd >= 0) {
        loop_remove(loop, lfd);
        close(fd);
    }
}

/* Kills it and waits for it.  Returns what waitpid() says of it. */
static int
end_process(struct process *p)
{
    struct process **pp = &p->all->processes;
    int status = 0;

    while (*pp != p) {
        pp = &(*pp)->next;
    }
    *pp = p->next;
    /* Before its number is free for others. */
    kill(-p->pid, SIGKILL);
    waitpid(p->pid, &status, 0);
    close_fd(p->loop, &p->pidfd);
    close_fd(p->loop, &p->output);
    return status;
}

void
processes_end(struct attempts *all)
{
    while (all->processes) {
        struct process *p = all->processes;

        end_process(p);
        free(p);
    }
}

/* Takes in what it prints, not all at once: it may print without end. */
static void
read_output(struct process *p)
{
    char buf[4096];
    ssize_t n;

    n = read(p->output.fd, buf, sizeof buf);
    if (n > 0) {
        for (ssize_t i = 0; i < n && !p->whole; i++) {
            if (buf[i] == '\n' || p->length == sizeof p->line - 1) {
                p->whole = true;
            } else {
                p->line[p->length++] = buf[i];
            }
        }
    }
    if (!n || (n < 0 && errno != EAGAIN)) {
        close_fd(p->loop, &p->output);
    }
}

static void
output_ready(void *process, unsigned int events LB_UNUSED)
{
    read_output(process);
}

/* Says what 'status', as of waitpid(), means. */
static void
report(struct process *p, int status)
{
    struct attempt *attempt = p->attempt;
    const char *colon = p->length ? ": " : "";

    if (WIFEXITED(status) && !WEXITSTATUS(status)) {
        attempt_end(attempt, NULL);
    } else if (WIFEXITED(status)) {
        attempt_end(attempt, "exit status %d%s%s", WEXITSTATUS(status), colon,
                    p->line);
    } else {
        attempt_end(attempt, "signal %d%s%s", WTERMSIG(status), colon,
                    p->line);
    }
}

static void
process_over(void *process_, unsigned int events LB_UNUSED)
{
    struct process *p = process_;
    int status;

    if (p->output.fd >= 0) {
        read_output(p);
    }
    status = end_process(p);
    if (p->attempt) {
        ((struct exec *) p->attempt)->process = NULL;
        report(p, status);
    }
    free(p);
}

static void
exec_stop(struct attempt *attempt)
{
    struct process *p = ((struct exec *) attempt)->process;

    if (p) {
        p->attempt = NULL;
        kill(-p->pid, SIGKILL);
    }
}

/* The environment of the program, to be freed by free_environment(). */
#define N_OWN 4
static char **
make_environment(const struct attempt_target *target)
{
    char ip[IP_STRLEN];
    size_t n = 0;
    char **env;

    while (environ[n]) {
        n++;
    }
    env = lb_xcalloc(n + N_OWN + 1, sizeof *env);
    env[0] = lb_xasprintf("LBGEN_POOL=%s", target->pool->name);
    env[1] = lb_xasprintf("LBGEN_SERVER=%s", target->server->name);
    env[2] = lb_xasprintf("LBGEN_ADDRESS=%s", ip_format(&target->ip, ip));
    env[3] = lb_xasprintf("LBGEN_PORT=%"PRIu16, target->port);
    memcpy(env + N_OWN, environ, n * sizeof *env);
    return env;
}

static void
free_environment(char **env)
{
    for (size_t i = 0; i < N_OWN; i++) {
        free(env[i]);
    }
    free(env);
}

/* Starts the program with its output going to 'fd'.  Returns 0 and stores its
 * pid, or an errno value. */
static int
spawn(const struct attempt_target *target, int fd, pid_t *pid)
{
    char **argv = lb_xcalloc(target->check->n_command + 1, sizeof *argv);
    char **env = make_environment(target);
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attr;
    sigset_t signals;
    int error;

    memcpy(argv, target->check->command,
           target->check->n_command * sizeof *argv);
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null",
                                     O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&files, fd, STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&files, fd, STDERR_FILENO);
    posix_spawnattr_init(&attr);
    posix_spawnattr_setflags(&attr, (POSIX_SPAWN_SETPGROUP
                                     | POSIX_SPAWN_SETSIGDEF
                                     | POSIX_SPAWN_SETSIGMASK));
    sigemptyset(&signals);
    posix_spawnattr_setsigmask(&attr, &signals);
    sigfillset(&signals);
    posix_spawnattr_setsigdefault(&attr, &signals);
    error = posix_spawn(pid, argv[0], &files, &attr, argv, env);
    posix_spawnattr_destroy(&attr);
    posix_spawn_file_actions_destroy(&files);
    free_environment(env);
    free(argv);
    return error;
}

/* A program that is not there, or is none, is told of as a failure: somebody
 * has to look. */
static void
could_not_start(struct attempt *attempt, int error)
{
    if (attempt_is_shortage(error)) {
        attempt_end_errno(attempt, error);
    } else {
        attempt_end(attempt, "%s: %s", attempt->target.check->command[0],
                    strerror(error));
    }
}

static void
exec_start(struct attempt *attempt)
{
    struct process *p = lb_xcalloc(1, sizeof *p);
    int fds[2];
    int error, pidfd;

    p->all = attempt->all;
    p->loop = attempt->all->loop;
    p->attempt = attempt;
    p->pidfd.fd = p->output.fd = -1;
    if (pipe2(fds, O_CLOEXEC)) {
        attempt_end_errno(attempt, errno);
        free(p);
        return;
    }
    fcntl(fds[0], F_SETFL, O_NONBLOCK);
    error = spawn(&attempt->target, fds[1], &p->pid);
    close(fds[1]);
    if (error) {
        close(fds[0]);
        free(p);
        could_not_start(attempt, error);
        return;
    }
    ((struct exec *) attempt)->process = p;
    p->next = p->all->processes;
    p->all->processes = p;
    loop_add(p->loop, &p->output, fds[0], EPOLLIN, output_ready, p);
    pidfd = pidfd_open(p->pid, 0);
    if (pidfd < 0 || !loop_add(p->loop, &p->pidfd, pidfd, EPOLLIN,
                               process_over, p)) {
        /* Nobody would tell of its end. */
        error = errno;
        end_process(p);
        free(p);
        ((struct exec *) attempt)->process = NULL;
        attempt_end_unable(attempt, "cannot watch a program: %s",
                           strerror(error));
    }
}

const struct attempt_class attempt_exec = {
    .size = sizeof(struct exec),
    .start = exec_start,
    .stop = exec_stop,
};
