/* SPDX-License-Identifier: Apache-2.0 */

/* HAProxy's agent-check: connect, and read a line. */

#include <config.h>

#include "lib/metrics-internal.h"

#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

/* Looks up "HOST:PORT" or "[HOST]:PORT".  Only numbers: names would have to be
 * waited for. */
static struct addrinfo *
resolve(const char *target)
{
    const struct addrinfo hints = {
        .ai_socktype = SOCK_STREAM,
        .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV,
    };
    struct addrinfo *result = NULL;
    const char *port = strrchr(target, ':');
    char *host = lb_xmemdup0(target, port ? port - target : 0);
    size_t n = strlen(host);
    bool brackets = n > 2 && host[0] == '[' && host[n - 1] == ']';

    if (brackets) {
        host[n - 1] = '\0';
    }
    if (!port
        || getaddrinfo(host + brackets, port + 1, &hints, &result)) {
        result = NULL;
    }
    free(host);
    return result;
}

/* Has the batch wait for 'fetch->fd'. */
static void
watch(struct fetch *fetch, uint32_t events, int op)
{
    struct metrics_batch *batch = fetch->batch;
    struct epoll_event event = { .events = events };
    size_t index = 0;

    while (batch->fetches[index] != fetch) {
        index++;
    }
    event.data.u64 = (uint64_t) (index + 1) << 32;
    epoll_ctl(batch->epoll_fd, op, fetch->fd, &event);
}

void
fetch_start_agent(struct fetch *fetch)
{
    struct addrinfo *address = resolve(fetch->target);
    int error = 0;

    if (!address) {
        fetch_finish(fetch, "that is no address and port");
        return;
    }
    fetch->fd = socket(address->ai_family,
                      SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fetch->fd < 0
        || connect(fetch->fd, address->ai_addr, address->ai_addrlen)) {
        error = errno;
    }
    freeaddrinfo(address);
    if (error && error != EINPROGRESS) {
        fetch_finish(fetch, strerror(error));
    } else {
        watch(fetch, EPOLLOUT, EPOLL_CTL_ADD);
    }
}

/* Checks that the connection is there.  False if it is not to be. */
static bool
finish_connect(struct fetch *fetch)
{
    socklen_t size = sizeof(int);
    int error = 0;

    if (getsockopt(fetch->fd, SOL_SOCKET, SO_ERROR, &error, &size)) {
        error = errno;
    }
    if (error) {
        fetch_finish(fetch, strerror(error));
        return false;
    }
    fetch->is_connected = true;
    watch(fetch, EPOLLIN, EPOLL_CTL_MOD);
    return true;
}

void
fetch_run_agent(struct fetch *fetch)
{
    char buf[4096];
    ssize_t n;

    if (!fetch->is_connected && !finish_connect(fetch)) {
        return;
    }
    n = recv(fetch->fd, buf, sizeof buf, 0);
    if (n < 0) {
        if (errno != EAGAIN && errno != EINTR) {
            fetch_finish(fetch, strerror(errno));
        }
    } else if (!n) {
        fetch_finish(fetch, NULL);
    } else if (!fetch_append(fetch, buf, n)) {
        fetch_finish(fetch, "the answer is longer than 1 MiB");
    } else if (memchr(buf, '\n', n)) {
        fetch_finish(fetch, NULL);
    }
}
