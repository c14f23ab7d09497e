/* SPDX-License-Identifier: Apache-2.0 */

#ifdef HAVE_CONFIG_H
#include <config.h>
#endif

#include "lib/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "lib/util.h"

/* Where locks of bridges of other hosts are. */
#define REMOTE_DIR "/run/lock"

/* Milliseconds between two looks at a lock that is taken. */
#define POLL_INTERVAL 20
#define QUIET_TIME 1000

/* The file to lock, and who may. */
struct lock_file {
    char *name;
    mode_t mode;
    uid_t uid;
    gid_t gid;
};

/* The beginning of the file's name. */
static const char *
lock_prefix(const struct lock_options *options)
{
    return options->rounds ? "lbgen-refresh" : "lbgen";
}

/* For a socket: next to it, under its real name, for those who may use it. */
static bool
locate_local(const char *socket, const struct lock_options *options,
             struct lock_file *file)
{
    char *path = realpath(socket, NULL);
    struct stat st;
    size_t length;
    char *slash;

    if (!path || stat(path, &st)) {
        free(path);
        return false;
    }
    length = strlen(path);
    if (length > 5 && !strcmp(&path[length - 5], ".mgmt")) {
        path[length - 5] = '\0';
    }
    slash = strrchr(path, '/');
    file->name = lb_xasprintf("%.*s/%s.%s.lock", (int) (slash - path), path,
                              lock_prefix(options), slash + 1);
    file->mode = (st.st_mode & 0222) | (st.st_mode & 0222) << 1;
    file->uid = st.st_uid;
    file->gid = st.st_gid;
    free(path);
    return true;
}

/* For a bridge of another host: for this user only, because nothing says who
 * else may. */
static void
locate_remote(const char *vconn, const struct lock_options *options,
              struct lock_file *file)
{
    file->uid = geteuid();
    file->gid = getegid();
    file->mode = 0600;
    file->name = lb_xasprintf(REMOTE_DIR "/%s.%ju.%s.lock",
                              lock_prefix(options), (uintmax_t) file->uid,
                              vconn);
    for (char *p = file->name + strlen(REMOTE_DIR) + 1; *p; p++) {
        if (*p == '/') {
            *p = '_';
        }
    }
}

/* Gives a new file to who owns the socket, or, by who is not root, only to its
 * group, which a directory may have done already.  Where that fails, fewer
 * users can lock, and the others are warned. */
static void
share_file(const struct lock_file *file, int fd)
{
    struct stat st;

    if (fchown(fd, file->uid, file->gid) && fchown(fd, -1, file->gid)
        && (fstat(fd, &st) || st.st_gid != file->gid)) {
        return;
    }
    fchmod(fd, file->mode);
}

/* Opens the file, which it creates if need be.  Returns a descriptor, or -1
 * with 'errno' set.  A link or a fifo in its place does no harm. */
static int
open_file(const struct lock_file *file)
{
    int flags = O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
    int fd = open(file->name, flags);

    if (fd < 0 && errno == ENOENT) {
        fd = open(file->name, flags | O_CREAT | O_EXCL, 0600);
        if (fd >= 0) {
            share_file(file, fd);
        } else if (errno == EEXIST) {
            fd = open(file->name, flags);
        }
    }
    return fd;
}

/* True if 'fd' is still what the name stands for: others would lock something
 * else if the file was removed meanwhile. */
static bool
is_current(int fd, const char *name)
{
    struct stat a, b;

    return (!fstat(fd, &a) && !lstat(name, &b)
            && a.st_dev == b.st_dev && a.st_ino == b.st_ino);
}

/* Tries once.  Returns 0 or an errno value: EAGAIN if somebody else has it,
 * and then stores that process, or 0 if it is not known. */
static int
try_lock(const struct lock_file *file, int *fd, pid_t *holder)
{
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    int error;

    *fd = open_file(file);
    if (*fd < 0) {
        return errno;
    }
    if (!fcntl(*fd, F_SETLK, &lock)) {
        if (is_current(*fd, file->name)) {
            return 0;
        }
        error = EAGAIN;
        *holder = 0;
    } else {
        error = errno == EACCES ? EAGAIN : errno;
        *holder = (!fcntl(*fd, F_GETLK, &lock) && lock.l_type != F_UNLCK
                   ? lock.l_pid : 0);
    }
    close(*fd);
    *fd = -1;
    return error;
}

/* What to call the process 'pid'.  The caller frees it. */
static char *
describe_holder(pid_t pid)
{
    char buf[256];
    char *name = lb_xasprintf("/proc/%ld/cmdline", (long) pid);
    FILE *stream = pid > 0 ? fopen(name, "re") : NULL;
    size_t n = stream ? fread(buf, 1, sizeof buf - 1, stream) : 0;
    char *end;

    if (stream) {
        fclose(stream);
    }
    free(name);
    if (pid <= 0) {
        return lb_xstrdup("another process");
    }
    while (n && !buf[n - 1]) {
        n--;
    }
    for (size_t i = 0; i < n; i++) {
        buf[i] = !buf[i] ? ' ' : buf[i] < ' ' || buf[i] > '~' ? '?' : buf[i];
    }
    buf[n] = '\0';
    /* Of the program only the name is of interest, not its directory. */
    end = strchrnul(buf, ' ');
    while (end > buf && end[-1] != '/') {
        end--;
    }
    return (n ? lb_xasprintf("pid %ld (%s)", (long) pid, end)
            : lb_xasprintf("pid %ld", (long) pid));
}

static long long int
now_msec(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

/* Tries until it works, fails, or has taken too long.  Returns as try_lock()
 * does. */
static int
wait_for_lock(const struct lock_file *file, const struct lock_options *options,
              int *fd, pid_t *holder)
{
    struct timespec interval = { .tv_nsec = POLL_INTERVAL * 1000000L };
    long long int begin = now_msec();
    bool told = !options->waiting;

    for (;;) {
        int error = try_lock(file, fd, holder);
        long long int waited = now_msec() - begin;

        if (error != EAGAIN || options->no_wait
            || waited > LOCK_MAX_WAIT * 1000LL) {
            return error;
        }
        if (!told && waited >= QUIET_TIME) {
            char *who = describe_holder(*holder);

            options->waiting(who, options->aux);
            free(who);
            told = true;
        }
        nanosleep(&interval, NULL);
    }
}

static void
report_busy(const char *bridge, pid_t holder,
            const struct lock_options *options, struct diags *diags)
{
    char *who = describe_holder(holder);

    if (options->rounds) {
        diag_error(diags, NULL, "bridge \"%s\" is being refreshed by %s",
                   bridge, who);
    } else if (options->no_wait) {
        diag_error(diags, NULL, "bridge \"%s\" is being changed by %s",
                   bridge, who);
    } else {
        diag_error(diags, NULL, "bridge \"%s\" has been locked for %d seconds "
                   "by %s; if that one hangs, end it", bridge, LOCK_MAX_WAIT,
                   who);
    }
    free(who);
}

enum lock_result
lock_take(const char *bridge, const char *vconn,
          const struct lock_options *options, int *fd, struct diags *diags)
{
    struct lock_file file = { .name = NULL };
    enum lock_result result = LOCK_TAKEN;
    pid_t holder = 0;
    int error;

    *fd = -1;
    if (strncmp(vconn, "unix:", 5)) {
        locate_remote(vconn, options, &file);
    } else if (!locate_local(vconn + 5, options, &file)) {
        /* There is no such bridge; to say so is up to who connects. */
        return LOCK_IMPOSSIBLE;
    }
    error = wait_for_lock(&file, options, fd, &holder);
    if (error == EAGAIN) {
        report_busy(bridge, holder, options, diags);
        result = LOCK_BUSY;
    } else if (error) {
        result = LOCK_IMPOSSIBLE;
    }
    if (result == LOCK_IMPOSSIBLE && !options->rounds) {
        diag_warning(diags, NULL, "cannot lock bridge \"%s\" (%s: %s); other "
                     "lbgens that change it at the same time are noticed, but "
                     "do not wait", bridge, file.name, strerror(error));
    }
    free(file.name);
    return result;
}
