/* SPDX-License-Identifier: Apache-2.0 */

/* Checks of type tcp: something accepts a connection. */

#include <config.h>

#include "lib/attempt.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

struct tcp {
    struct attempt up;
    struct loop_fd socket;
};

static void
tcp_stop(struct attempt *attempt)
{
    attempt_close(attempt, &((struct tcp *) attempt)->socket);
}

static void
tcp_ready(void *tcp_, unsigned int events LB_UNUSED)
{
    struct tcp *tcp = tcp_;
    socklen_t size = sizeof(int);
    int error = 0;

    getsockopt(tcp->socket.fd, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error) {
        attempt_end(&tcp->up, "%s", strerror(error));
    } else {
        attempt_end(&tcp->up, NULL);
    }
}

static void
tcp_start(struct attempt *attempt)
{
    /* Closed by a reset: who checks often must not leave a port behind in
     * TIME_WAIT each time. */
    struct linger linger = { .l_onoff = 1 };
    struct tcp *tcp = (struct tcp *) attempt;
    struct sockaddr_storage ss;
    socklen_t size = attempt_address(&attempt->target.ip,
                                     attempt->target.port, &ss);
    int fd = socket(ss.ss_family,
                    SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    tcp->socket.fd = -1;
    if (fd >= 0) {
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
        if ((connect(fd, (struct sockaddr *) &ss, size)
             && errno != EINPROGRESS)
            || !loop_add(attempt->all->loop, &tcp->socket, fd, EPOLLOUT,
                         tcp_ready, tcp)) {
            int error = errno;

            close(fd);
            errno = error;
            fd = -1;
        }
    }
    if (fd < 0) {
        attempt_end_errno(attempt, errno);
    }
}

const struct attempt_class attempt_tcp = {
    .size = sizeof(struct tcp),
    .start = tcp_start,
    .stop = tcp_stop,
};
