/* SPDX-License-Identifier: Apache-2.0 */

/* Checks of type icmp: the server answers a ping.
 *
 * Linux has sockets for just that, for groups in net.ipv4.ping_group_range;
 * elsewhere it takes a raw socket and CAP_NET_RAW.  The socket is connected,
 * so answers of others do not come in. */

#include <config.h>

#include "lib/attempt.h"

#include <errno.h>
#include <linux/icmp.h>
#include <netinet/icmp6.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/frame.h"

struct icmp_attempt {
    struct attempt up;
    struct loop_fd socket;
    bool raw;                   /* Packets come with their IPv4 header. */
    uint16_t id;                /* Network byte order, of a raw socket. */
};

static void
icmp_stop(struct attempt *attempt)
{
    attempt_close(attempt, &((struct icmp_attempt *) attempt)->socket);
}

/* Whether the 'n' bytes in 'buf' are the answer. */
static bool
is_answer(const struct icmp_attempt *icmp, const char *buf, size_t n)
{
    bool v4 = ip_is_v4(&icmp->up.target.ip);
    struct frame_echo echo;
    size_t skip = icmp->raw && v4 && n ? (buf[0] & 15) * 4 : 0;

    if (n < skip + 8) {
        return false;
    }
    memcpy(&echo, buf + skip, 8);
    return (echo.type == (v4 ? ICMP_ECHOREPLY : ICMP6_ECHO_REPLY)
            && (!icmp->raw || echo.id == icmp->id));
}

static void
icmp_ready(void *icmp_, unsigned int events LB_UNUSED)
{
    struct icmp_attempt *icmp = icmp_;
    char buf[256];
    ssize_t n = recv(icmp->socket.fd, buf, sizeof buf, 0);

    if (n >= 0) {
        if (is_answer(icmp, buf, n)) {
            attempt_end(&icmp->up, NULL);
        }
    } else if (errno != EAGAIN) {
        attempt_end(&icmp->up, "%s", strerror(errno));
    }
}

static int
open_socket(struct icmp_attempt *icmp, bool v4)
{
    int domain = v4 ? AF_INET : AF_INET6;
    int protocol = v4 ? IPPROTO_ICMP : IPPROTO_ICMPV6;
    int flags = SOCK_NONBLOCK | SOCK_CLOEXEC;
    int fd = socket(domain, SOCK_DGRAM | flags, protocol);

    if (fd < 0) {
        fd = socket(domain, SOCK_RAW | flags, protocol);
        icmp->raw = true;
    }
    return fd;
}

static void
icmp_start(struct attempt *attempt)
{
    struct icmp_attempt *icmp = (struct icmp_attempt *) attempt;
    bool v4 = ip_is_v4(&attempt->target.ip);
    struct frame_echo echo = {
        .type = v4 ? ICMP_ECHO : ICMP6_ECHO_REQUEST,
        .data = "lbgen",
    };
    struct sockaddr_storage ss;
    socklen_t size = attempt_address(&attempt->target.ip, 0, &ss);
    int fd = open_socket(icmp, v4);

    icmp->socket.fd = -1;
    if (fd < 0) {
        attempt_end_no_socket(attempt, errno, "CAP_NET_RAW or "
                              "net.ipv4.ping_group_range");
        return;
    }
    icmp->id = echo.id = (uintptr_t) attempt >> 4;
    if (v4) {
        echo.checksum = htons(frame_checksum(
                                  frame_add_words(&echo, sizeof echo, 0)));
    }
    if (!loop_add(attempt->all->loop, &icmp->socket, fd, EPOLLIN, icmp_ready,
                  icmp)) {
        attempt_end_errno(attempt, errno);
        close(fd);
    } else if (connect(fd, (struct sockaddr *) &ss, size)
               || send(fd, &echo, sizeof echo, 0) < 0) {
        attempt_end_errno(attempt, errno);
    }
}

const struct attempt_class attempt_icmp = {
    .size = sizeof(struct icmp_attempt),
    .start = icmp_start,
    .stop = icmp_stop,
};
