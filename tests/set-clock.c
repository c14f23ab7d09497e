/* SPDX-License-Identifier: Apache-2.0 */

/* A clock on the wall that tests can set: a library for LD_PRELOAD.  The file
 * that CLOCK_OFFSET names has the seconds by which it is off.  The clock that
 * only goes forward is left alone, as by date(1). */

#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static time_t
read_offset(void)
{
    const char *name = getenv("CLOCK_OFFSET");
    int fd = name ? open(name, O_RDONLY | O_CLOEXEC) : -1;
    char buf[32] = "";

    if (fd >= 0) {
        if (read(fd, buf, sizeof buf - 1) < 0) {
            buf[0] = '\0';
        }
        close(fd);
    }
    return strtol(buf, NULL, 10);
}

int
clock_gettime(clockid_t clock, struct timespec *ts)
{
    int error = syscall(SYS_clock_gettime, clock, ts);

    if (!error && (clock == CLOCK_REALTIME
                   || clock == CLOCK_REALTIME_COARSE)) {
        ts->tv_sec += read_offset();
    }
    return error;
}

int
gettimeofday(struct timeval *restrict tv, void *restrict zone)
{
    struct timespec ts;

    (void) zone;
    clock_gettime(CLOCK_REALTIME, &ts);
    tv->tv_sec = ts.tv_sec;
    tv->tv_usec = ts.tv_nsec / 1000;
    return 0;
}

time_t
time(time_t *now)
{
    struct timespec ts;

    clock_gettime(CLOCK_REALTIME, &ts);
    if (now) {
        *now = ts.tv_sec;
    }
    return ts.tv_sec;
}
