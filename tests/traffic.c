/* SPDX-License-Identifier: Apache-2.0 */

/* Arguments, addresses and errors of traffic. */

#include "tests/traffic.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>

void
fail(const char *format, ...)
{
    va_list args;

    fputs("traffic: ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fprintf(stderr, " (%s)\n", strerror(errno));
    exit(EXIT_FAILURE);
}

void *
check_allocated(void *p)
{
    if (!p) {
        fail("out of memory");
    }
    return p;
}

int64_t
now_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t) ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

int
parse_number(const char *s, int min, int max)
{
    char *end;
    long value = strtol(s, &end, 10);

    if (end == s || *end || value < min || value > max) {
        fail("%s: number from %d to %d expected", s, min, max);
    }
    return (int) value;
}

int
parse_protocol(const char *s)
{
    if (strcmp(s, "tcp") && strcmp(s, "udp")) {
        fail("%s: tcp or udp expected", s);
    }
    return strcmp(s, "tcp") ? SOCK_DGRAM : SOCK_STREAM;
}

union endpoint
parse_endpoint(const char *address, int port)
{
    union endpoint e;

    memset(&e, 0, sizeof e);
    if (inet_pton(AF_INET, address, &e.in.sin_addr) == 1) {
        e.in.sin_family = AF_INET;
        e.in.sin_port = htons((uint16_t) port);
    } else if (inet_pton(AF_INET6, address, &e.in6.sin6_addr) == 1) {
        e.in6.sin6_family = AF_INET6;
        e.in6.sin6_port = htons((uint16_t) port);
    } else {
        fail("%s: IP address expected", address);
    }
    return e;
}

socklen_t
endpoint_size(const union endpoint *e)
{
    return e->sa.sa_family == AF_INET ? sizeof e->in : sizeof e->in6;
}

int
endpoint_port(const union endpoint *e)
{
    return ntohs(e->sa.sa_family == AF_INET ? e->in.sin_port
                                            : e->in6.sin6_port);
}

const char *
endpoint_format(const union endpoint *e, char buf[INET6_ADDRSTRLEN])
{
    if (e->sa.sa_family == AF_INET) {
        return inet_ntop(AF_INET, &e->in.sin_addr, buf, INET6_ADDRSTRLEN);
    } else if (IN6_IS_ADDR_V4MAPPED(&e->in6.sin6_addr)) {
        return inet_ntop(AF_INET, &e->in6.sin6_addr.s6_addr[12], buf,
                         INET6_ADDRSTRLEN);
    }
    return inet_ntop(AF_INET6, &e->in6.sin6_addr, buf, INET6_ADDRSTRLEN);
}

void
watch(int epoll_fd, int fd, uint32_t events, void *data)
{
    struct epoll_event event = { .events = events, .data.ptr = data };

    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0) {
        fail("epoll_ctl");
    }
}

int
main(int argc, char *argv[])
{
    struct rlimit limit;

    /* A thousand connections need more descriptors than shells give. */
    if (!getrlimit(RLIMIT_NOFILE, &limit)) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    if (argc == 7 && !strcmp(argv[1], "serve")) {
        return traffic_serve(argv + 2);
    } else if ((argc == 9 || argc == 10) && !strcmp(argv[1], "connect")) {
        return traffic_connect(argv + 2, false);
    } else if ((argc == 9 || argc == 10) && !strcmp(argv[1], "hold")) {
        return traffic_connect(argv + 2, true);
    }
    fail("usage: traffic serve|connect|hold ARG...");
}
