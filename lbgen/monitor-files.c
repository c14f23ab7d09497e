/* SPDX-License-Identifier: Apache-2.0 */

/* Noticing that the file of the monitor has changed.
 *
 * Its directory is watched, because editors put a new file in the place of the
 * old one.  They do so in several steps, hence the pause.  A file behind a
 * link may change elsewhere, so it is looked at now and then as well.
 *
 * Whoever writes slowly into a file must not have a part of it read. */

#include <config.h>

#include "lbgen/monitor.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lbgen/notify.h"
#include "lib/util.h"

/* Milliseconds after the last change until the file is read. */
#define PAUSE 100

struct monitor_files {
    struct monitor *monitor;
    struct loop_fd inotify;
    struct loop_timer timer;
    char *directory;
    char *base;                 /* The name of the file in its directory. */
    struct stat seen;           /* The file, at the last look. */
};

void
monitor_files_look(struct monitor_files *files)
{
    struct stat now;

    if (stat(files->monitor->file_name, &now)) {
        return;
    }
    if (now.st_dev == files->seen.st_dev && now.st_ino == files->seen.st_ino
        && now.st_size == files->seen.st_size
        && now.st_mtim.tv_sec == files->seen.st_mtim.tv_sec
        && now.st_mtim.tv_nsec == files->seen.st_mtim.tv_nsec) {
        monitor_reload(files->monitor, false);
    }
    files->seen = now;
}

static void
pause_over(void *files_)
{
    struct monitor_files *files = files_;

    monitor_reload(files->monitor, false);
}

/* Whether what 'event' tells of is there as a whole.  A link is when it is
 * made, a file when it has been closed, which is another event. */
static bool
is_whole(const struct monitor_files *files, const struct inotify_event *event)
{
    bool whole = true;

    if (event->mask & IN_CREATE) {
        char *name = lb_xasprintf("%s/%s", files->directory, event->name);
        struct stat st;

        whole = !lstat(name, &st) && S_ISLNK(st.st_mode);
        free(name);
    }
    return whole;
}

static void
inotify_ready(void *files_, unsigned int events LB_UNUSED)
{
    struct monitor_files *files = files_;
    char buf[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
    bool ours = false;
    ssize_t n;

    while ((n = read(files->inotify.fd, buf, sizeof buf)) > 0) {
        for (ssize_t i = 0; i < n; ) {
            const struct inotify_event *event = (void *) &buf[i];

            /* A link that leads to it may have changed as well, as with
             * Kubernetes' volumes: what is read then tells. */
            ours = (ours || !event->len
                    || ((!strcmp(event->name, files->base)
                         || event->name[0] == '.')
                        && is_whole(files, event)));
            i += sizeof *event + event->len;
        }
    }
    if (ours) {
        loop_timer_set(files->monitor->loop, &files->timer,
                       loop_now() + PAUSE, pause_over, files);
    }
}

struct monitor_files *
monitor_files_create(struct monitor *m)
{
    struct monitor_files *files = lb_xcalloc(1, sizeof *files);
    const char *slash = strrchr(m->file_name, '/');
    int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);

    files->monitor = m;
    files->directory = (slash ? lb_xmemdup0(m->file_name,
                                            slash - m->file_name + 1)
                        : lb_xstrdup("."));
    files->base = lb_xstrdup(slash ? slash + 1 : m->file_name);
    files->inotify.fd = -1;
    if (fd < 0 || inotify_add_watch(fd, files->directory,
                                    (IN_CLOSE_WRITE | IN_MOVED_TO
                                     | IN_CREATE)) < 0) {
        log_line(LOG_LEVEL_WARNING, "changes of %s are noticed late, or with "
                 "SIGHUP: %s", m->file_name, strerror(errno));
        if (fd >= 0) {
            close(fd);
        }
    } else {
        loop_add(m->loop, &files->inotify, fd, EPOLLIN, inotify_ready, files);
    }
    return files;
}

void
monitor_files_destroy(struct monitor_files *files)
{
    int fd = files->inotify.fd;

    if (fd >= 0) {
        loop_remove(files->monitor->loop, &files->inotify);
        close(fd);
    }
    loop_timer_cancel(files->monitor->loop, &files->timer);
    free(files->directory);
    free(files->base);
    free(files);
}
