/* SPDX-License-Identifier: Apache-2.0 */

/* Checks of type arp from this host: the server answers ARP.
 *
 * The question goes out of the interface by which this host would reach the
 * server, by a packet socket, which takes CAP_NET_RAW. */

#include <config.h>

#include "lib/attempt.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/if_ether.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

struct arp_attempt {
    struct attempt up;
    struct loop_fd socket;
};

/* The way to a server. */
struct route {
    struct in_addr source;
    struct sockaddr_ll link;    /* Of the interface, with its address. */
};

static void
arp_stop(struct attempt *attempt)
{
    struct arp_attempt *arp = (struct arp_attempt *) attempt;
    int fd = arp->socket.fd;

    if (fd >= 0) {
        loop_remove(attempt->all->loop, &arp->socket);
        close(fd);
    }
}

/* The address that this host would use towards 'ip'. */
static bool
find_source(const struct ip *ip, struct in_addr *source)
{
    struct sockaddr_storage ss;
    socklen_t size = attempt_address(ip, 9, &ss);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool ok = (fd >= 0 && !connect(fd, (struct sockaddr *) &ss, size)
               && !getsockname(fd, (struct sockaddr *) &ss, &size));

    if (fd >= 0) {
        close(fd);
    }
    *source = ((struct sockaddr_in *) &ss)->sin_addr;
    return ok;
}

/* The name of the interface that has 'source', or NULL. */
static const char *
find_interface(const struct ifaddrs *all, const struct in_addr *source)
{
    for (const struct ifaddrs *i = all; i; i = i->ifa_next) {
        if (i->ifa_addr && i->ifa_addr->sa_family == AF_INET
            && ((struct sockaddr_in *) i->ifa_addr)->sin_addr.s_addr
            == source->s_addr) {
            return i->ifa_name;
        }
    }
    return NULL;
}

/* False if there is none, or none with Ethernet. */
static bool
find_route(const struct ip *ip, struct route *route)
{
    struct ifaddrs *all = NULL;
    const char *name;
    bool found = false;

    if (!find_source(ip, &route->source) || getifaddrs(&all)) {
        return false;
    }
    name = find_interface(all, &route->source);
    for (struct ifaddrs *i = all; name && i; i = i->ifa_next) {
        if (i->ifa_addr && i->ifa_addr->sa_family == AF_PACKET
            && !strcmp(i->ifa_name, name)) {
            memcpy(&route->link, i->ifa_addr, sizeof route->link);
            found = route->link.sll_hatype == ARPHRD_ETHER;
        }
    }
    freeifaddrs(all);
    return found;
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
ask(int fd, const struct ip *ip, const struct route *route)
{
    uint32_t target = htonl(ip_v4(ip));
    struct ether_arp question = {
        .arp_hrd = htons(ARPHRD_ETHER),
        .arp_pro = htons(ETH_P_IP),
        .arp_hln = ETH_ALEN,
        .arp_pln = sizeof target,
        .arp_op = htons(ARPOP_REQUEST),
    };
    struct sockaddr_ll to = route->link;

    memcpy(question.arp_sha, route->link.sll_addr, ETH_ALEN);
    memcpy(question.arp_spa, &route->source, sizeof route->source);
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
    struct route route;
    int fd;

    arp->socket.fd = -1;
    if (!ip_is_v4(&attempt->target.ip)) {
        attempt_end(attempt, "ARP is for IPv4");
        return;
    } else if (!find_route(&attempt->target.ip, &route)) {
        attempt_end(attempt, "this host has no interface with ARP to it");
        return;
    }
    fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        attempt_end(attempt, "cannot ask: %s (CAP_NET_RAW)", strerror(errno));
        return;
    }
    route.link.sll_protocol = htons(ETH_P_ARP);
    if (bind(fd, (struct sockaddr *) &route.link, sizeof route.link)
        || !loop_add(attempt->all->loop, &arp->socket, fd, EPOLLIN, arp_ready,
                     arp)) {
        attempt_end(attempt, "%s", strerror(errno));
        close(fd);
    } else if (!ask(fd, &attempt->target.ip, &route)) {
        attempt_end(attempt, "%s", strerror(errno));
    }
}

const struct attempt_class attempt_arp = {
    .size = sizeof(struct arp_attempt),
    .start = arp_start,
    .stop = arp_stop,
};
