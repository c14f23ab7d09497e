/* SPDX-License-Identifier: Apache-2.0 */

/* Checks of type arp from this host: the server answers ARP.
 *
 * The question goes out of the interface by which this host would reach the
 * server, by a packet socket, which takes CAP_NET_RAW. */

#include <config.h>

#include "lib/attempt-route.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if_arp.h>
#include <netinet/if_ether.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

struct arp_attempt {
    struct attempt up;
    struct loop_fd socket;
};

static void
arp_stop(struct attempt *attempt)
{
    attempt_close(attempt, &((struct arp_attempt *) attempt)->socket);
}

static void
arp_ready(void *arp_, unsigned int events LB_UNUSED)
{
    struct arp_attempt *arp = arp_;
    uint32_t ip = htonl(ip_v4(&arp->up.target.ip));
    struct ether_arp answer;
    ssize_t n;

    while ((n = recv(arp->socket.fd, &answer, sizeof answer, 0)) >= 0) {
        if (n == sizeof answer && answer.arp_op == htons(ARPOP_REPLY)
            && !memcmp(answer.arp_spa, &ip, sizeof ip)) {
            attempt_end(&arp->up, NULL);
            return;
        }
    }
    if (errno != EAGAIN) {
        attempt_end(&arp->up, "%s", strerror(errno));
    }
}

/* Sends the question. */
static bool
ask(int fd, const struct ip *ip, const struct attempt_route *route)
{
    uint32_t target = htonl(ip_v4(ip));
    uint32_t source = htonl(ip_v4(&route->source));
    struct ether_arp question = {
        .arp_hrd = htons(ARPHRD_ETHER),
        .arp_pro = htons(ETH_P_IP),
        .arp_hln = ETH_ALEN,
        .arp_pln = sizeof target,
        .arp_op = htons(ARPOP_REQUEST),
    };
    struct sockaddr_ll to = route->link;

    memcpy(question.arp_sha, route->link.sll_addr, ETH_ALEN);
    memcpy(question.arp_spa, &source, sizeof source);
    memcpy(question.arp_tpa, &target, sizeof target);
    to.sll_protocol = htons(ETH_P_ARP);
    to.sll_halen = ETH_ALEN;
    memset(to.sll_addr, 0xff, ETH_ALEN);
    return sendto(fd, &question, sizeof question, 0, (struct sockaddr *) &to,
                  sizeof to) == sizeof question;
}

static void
arp_start(struct attempt *attempt)
{
    struct arp_attempt *arp = (struct arp_attempt *) attempt;
    struct attempt_route route;
    int error = attempt_find_route(&attempt->target.ip, &route);
    int fd;

    arp->socket.fd = -1;
    if (error == ENODEV) {
        attempt_end(attempt, "this host has no interface with ARP to it");
        return;
    } else if (error) {
        attempt_end_errno(attempt, error);
        return;
    }
    fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        attempt_end_no_socket(attempt, errno, "CAP_NET_RAW");
        return;
    }
    route.link.sll_protocol = htons(ETH_P_ARP);
    if (bind(fd, (struct sockaddr *) &route.link, sizeof route.link)
        || !loop_add(attempt->all->loop, &arp->socket, fd, EPOLLIN, arp_ready,
                     arp)) {
        attempt_end_errno(attempt, errno);
        close(fd);
    } else if (!ask(fd, &attempt->target.ip, &route)) {
        attempt_end_errno(attempt, errno);
    }
}

const struct attempt_class attempt_arp = {
    .size = sizeof(struct arp_attempt),
    .start = arp_start,
    .stop = arp_stop,
};
