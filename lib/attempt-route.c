/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "lib/attempt-route.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* The address in 'sa', if that has one. */
static bool
read_address(const struct sockaddr *sa, struct ip *ip)
{
    if (sa && sa->sa_family == AF_INET) {
        const struct sockaddr_in *sin = (const struct sockaddr_in *) sa;

        *ip = ip_from_v4(ntohl(sin->sin_addr.s_addr));
        return true;
    } else if (sa && sa->sa_family == AF_INET6) {
        ip->addr = ((const struct sockaddr_in6 *) sa)->sin6_addr;
        return true;
    }
    return false;
}

/* The address that this host would use towards 'ip'.  The port means nothing:
 * nothing is sent.  Returns as attempt_find_route(). */
static int
find_source(const struct ip *ip, struct ip *source)
{
    struct sockaddr_storage ss;
    socklen_t size = attempt_address(ip, 9, &ss);
    int fd = socket(ss.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool found;

    if (fd < 0) {
        return errno;
    }
    found = (!connect(fd, (struct sockaddr *) &ss, size)
             && !getsockname(fd, (struct sockaddr *) &ss, &size)
             && read_address((struct sockaddr *) &ss, source));
    close(fd);
    return found ? 0 : ENODEV;
}

/* The name of the interface that has 'source', or NULL. */
static const char *
find_interface(const struct ifaddrs *all, const struct ip *source)
{
    struct ip ip;

    for (const struct ifaddrs *i = all; i; i = i->ifa_next) {
        if (read_address(i->ifa_addr, &ip) && ip_equal(&ip, source)) {
            return i->ifa_name;
        }
    }
    return NULL;
}

int
attempt_find_route(const struct ip *ip, struct attempt_route *route)
{
    struct ifaddrs *all = NULL;
    const char *name;
    bool found = false;
    int error = find_source(ip, &route->source);

    if (error) {
        return error;
    } else if (getifaddrs(&all)) {
        return errno;
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
    return found ? 0 : ENODEV;
}
