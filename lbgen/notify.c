/* SPDX-License-Identifier: Apache-2.0 */

#include "lbgen/notify.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

void
notify(const char *format, ...)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un sun = { .sun_family = AF_UNIX };
    size_t length = path ? strlen(path) : 0;
    va_list args;
    char *text;
    int fd, n;

    if (!length || length >= sizeof sun.sun_path) {
        return;
    }
    memcpy(sun.sun_path, path, length);
    if (*path == '@') {
        sun.sun_path[0] = '\0';
    }
    va_start(args, format);
    n = vasprintf(&text, format, args);
    va_end(args);
    fd = n < 0 ? -1 : socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd >= 0) {
        /* Nobody there is no reason to stop. */
        (void) !sendto(fd, text, n, MSG_NOSIGNAL | MSG_DONTWAIT,
                       (struct sockaddr *) &sun,
                       offsetof(struct sockaddr_un, sun_path) + length);
        close(fd);
    }
    if (n >= 0) {
        free(text);
    }
}

int64_t
notify_watchdog_interval(void)
{
    const char *usec = getenv("WATCHDOG_USEC");
    const char *pid = getenv("WATCHDOG_PID");

    if (!usec || (pid && strtol(pid, NULL, 10) != getpid())) {
        return 0;
    }
    return strtoll(usec, NULL, 10) / 1000;
}

/* Whether standard error is the journal, see systemd.exec(5). */
static bool
is_journal(void)
{
    static int answer = -1;
    const char *stream = getenv("JOURNAL_STREAM");
    uintmax_t dev, ino;
    struct stat st;

    if (answer < 0) {
        answer = (stream
                  && sscanf(stream, "%"SCNuMAX":%"SCNuMAX, &dev, &ino) == 2
                  && !fstat(STDERR_FILENO, &st)
                  && st.st_dev == dev && st.st_ino == ino);
    }
    return answer;
}

void
log_line(enum log_level level, const char *format, ...)
{
    va_list args;
    char *text;
    int n;

    va_start(args, format);
    n = vasprintf(&text, format, args);
    va_end(args);
    if (n < 0) {
        return;
    }
    if (is_journal()) {
        fprintf(stderr, "<%d>%s\n", (int) level, text);
    } else {
        fprintf(stderr, "lbgen: %s\n", text);
    }
    free(text);
}
