/* SPDX-License-Identifier: Apache-2.0 */

/* Checks of type nd from this host: the server answers neighbour
 * solicitations, as RFC 4861 has it.
 *
 * The question goes out of the interface by which this host would reach the
 * server, to the multicast address of all hosts whose addresses end alike.
 * The raw socket that it takes, and that CAP_NET_RAW, only hears
 * advertisements. */

#include <config.h>

#include "lib/attempt-route.h"

#include <errno.h>
#include <netinet/icmp6.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

struct nd_attempt {
    struct attempt up;
    struct loop_fd socket;
};

/* A solicitation with the option that says who asks. */
struct question {
    struct nd_neighbor_solicit ns;
    struct nd_opt_hdr option;
    uint8_t mac[6];
};

/* Routers count hop limits down: only a neighbour's packet has this. */
#define HOP_LIMIT 255

static void
nd_stop(struct attempt *attempt)
{
    attempt_close(attempt, &((struct nd_attempt *) attempt)->socket);
}

static void
nd_ready(void *nd_, unsigned int events LB_UNUSED)
{
    struct nd_attempt *nd = nd_;
    struct nd_neighbor_advert na;
    ssize_t n;

    while ((n = recv(nd->socket.fd, &na, sizeof na, 0)) >= 0) {
        if (n == sizeof na && na.nd_na_type == ND_NEIGHBOR_ADVERT
            && !memcmp(&na.nd_na_target, &nd->up.target.ip,
                       sizeof na.nd_na_target)) {
            attempt_end(&nd->up, NULL);
            return;
        }
    }
    if (errno != EAGAIN) {
        attempt_end(&nd->up, "%s", strerror(errno));
    }
}

/* Makes the socket hear nothing but advertisements, and send as neighbours
 * do. */
static bool
set_up(int fd, const struct attempt_route *route)
{
    struct sockaddr_storage source;
    socklen_t size = attempt_address(&route->source, 0, &source);
    int hops = HOP_LIMIT;
    struct icmp6_filter filter;

    ICMP6_FILTER_SETBLOCKALL(&filter);
    ICMP6_FILTER_SETPASS(ND_NEIGHBOR_ADVERT, &filter);
    return (!setsockopt(fd, IPPROTO_ICMPV6, ICMP6_FILTER, &filter,
                        sizeof filter)
            && !setsockopt(fd, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, &hops,
                           sizeof hops)
            && !bind(fd, (struct sockaddr *) &source, size));
}

/* Sends the question, to the solicited-node address (RFC 4291, 2.7.1). */
static bool
ask(int fd, const struct ip *ip, const struct attempt_route *route)
{
    const uint8_t *a = ip->addr.s6_addr;
    struct sockaddr_in6 to = {
        .sin6_family = AF_INET6,
        .sin6_scope_id = route->link.sll_ifindex,
        .sin6_addr.s6_addr = { 0xff, 0x02, [11] = 1, [12] = 0xff,
                               [13] = a[13], [14] = a[14], [15] = a[15] },
    };
    struct question question = {
        .ns.nd_ns_hdr.icmp6_type = ND_NEIGHBOR_SOLICIT,
        .ns.nd_ns_target = ip->addr,
        .option = { ND_OPT_SOURCE_LINKADDR, 1 },
    };

    memcpy(question.mac, route->link.sll_addr, sizeof question.mac);
    return sendto(fd, &question, sizeof question, 0, (struct sockaddr *) &to,
                  sizeof to) == sizeof question;
}

static void
nd_start(struct attempt *attempt)
{
    struct nd_attempt *nd = (struct nd_attempt *) attempt;
    struct attempt_route route;
    int error = attempt_find_route(&attempt->target.ip, &route);
    int fd;

    nd->socket.fd = -1;
    if (error == ENODEV) {
        attempt_end(attempt, "this host has no interface with neighbour "
                    "discovery to it");
        return;
    } else if (error) {
        attempt_end_errno(attempt, error);
        return;
    }
    fd = socket(AF_INET6, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC,
                IPPROTO_ICMPV6);
    if (fd < 0) {
        attempt_end_no_socket(attempt, errno, "CAP_NET_RAW");
    } else if (!set_up(fd, &route)
               || !loop_add(attempt->all->loop, &nd->socket, fd, EPOLLIN,
                            nd_ready, nd)) {
        attempt_end_errno(attempt, errno);
        close(fd);
    } else if (!ask(fd, &attempt->target.ip, &route)) {
        attempt_end_errno(attempt, errno);
    }
}

const struct attempt_class attempt_nd = {
    .size = sizeof(struct nd_attempt),
    .start = nd_start,
    .stop = nd_stop,
};
