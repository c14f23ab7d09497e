/* SPDX-License-Identifier: Apache-2.0 */

/* The serving half of traffic. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "tests/traffic.h"

/* A server and what it has open. */
struct server {
    const char *name;
    int fd;
    int epoll_fd;
    FILE *log;
};

/* One accepted TCP connection. */
struct guest {
    int fd;
    char address[INET6_ADDRSTRLEN];
    char line[MAX_LINE];
    size_t length;
};

static void
server_log(struct server *server, const union endpoint *peer,
           char address[INET6_ADDRSTRLEN])
{
    endpoint_format(peer, address);
    fprintf(server->log, "%s %d\n", address, endpoint_port(peer));
    fflush(server->log);
}

/* Writes the answer to 'question', of 'length' bytes with its newline, into
 * 'answer' and returns its length. */
static size_t
make_answer(const struct server *server, const char *address,
            const char *question, size_t length, char answer[2 * MAX_LINE])
{
    return (size_t) snprintf(answer, 2 * MAX_LINE, "%s %s %.*s", server->name,
                             address, (int) length, question);
}

static void
server_accept(struct server *server)
{
    for (;;) {
        union endpoint peer;
        socklen_t size = sizeof peer;
        int fd = accept4(server->fd, &peer.sa, &size,
                         SOCK_NONBLOCK | SOCK_CLOEXEC);
        struct guest *guest;

        if (fd < 0) {
            if (errno == ECONNABORTED) {
                continue;
            } else if (errno != EAGAIN) {
                fail("accept");
            }
            return;
        }
        guest = check_allocated(calloc(1, sizeof *guest));
        guest->fd = fd;
        server_log(server, &peer, guest->address);
        watch(server->epoll_fd, fd, EPOLLIN, guest);
    }
}

/* Answers all whole lines.  False if the connection is of no more use. */
static bool
guest_answer(struct guest *guest, const struct server *server)
{
    char *newline;

    while ((newline = memchr(guest->line, '\n', guest->length))) {
        size_t length = (size_t) (newline + 1 - guest->line);
        char answer[2 * MAX_LINE];
        size_t size = make_answer(server, guest->address, guest->line, length,
                                  answer);

        if (send(guest->fd, answer, size, MSG_NOSIGNAL) != (ssize_t) size) {
            return false;
        }
        guest->length -= length;
        memmove(guest->line, newline + 1, guest->length);
    }
    return guest->length < sizeof guest->line;
}

static void
guest_run(struct guest *guest, const struct server *server)
{
    ssize_t n = recv(guest->fd, guest->line + guest->length,
                     sizeof guest->line - guest->length, 0);

    if (n > 0) {
        guest->length += (size_t) n;
        if (guest_answer(guest, server)) {
            return;
        }
    } else if (n < 0 && errno == EAGAIN) {
        return;
    }
    close(guest->fd);
    free(guest);
}

static void
server_receive(struct server *server)
{
    for (;;) {
        char question[MAX_LINE], answer[2 * MAX_LINE];
        char address[INET6_ADDRSTRLEN];
        union endpoint peer;
        socklen_t size = sizeof peer;
        ssize_t n = recvfrom(server->fd, question, sizeof question, 0,
                             &peer.sa, &size);
        size_t length;

        if (n < 0) {
            if (errno != EAGAIN && errno != ECONNREFUSED) {
                fail("recvfrom");
            }
            return;
        }
        server_log(server, &peer, address);
        length = make_answer(server, address, question, (size_t) n, answer);
        sendto(server->fd, answer, length, 0, &peer.sa, size);
    }
}

static int
open_server_socket(int type, const union endpoint *e)
{
    int fd = socket(e->sa.sa_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int on = 1;
    int size = 1 << 20;

    if (fd < 0) {
        fail("socket");
    }
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    if (bind(fd, &e->sa, endpoint_size(e)) < 0) {
        fail("bind");
    }
    if (type == SOCK_STREAM && listen(fd, 4096) < 0) {
        fail("listen");
    }
    return fd;
}

int
traffic_serve(char *argv[])
{
    int type = parse_protocol(argv[1]);
    int port = parse_number(argv[3], 1, 65535);
    union endpoint e = parse_endpoint(argv[2], port);
    struct server server = {
        .name = argv[0],
        .fd = open_server_socket(type, &e),
        .epoll_fd = epoll_create1(EPOLL_CLOEXEC),
        .log = fopen(argv[4], "w"),
    };

    if (!server.log || server.epoll_fd < 0) {
        fail("%s", argv[4]);
    }
    watch(server.epoll_fd, server.fd, EPOLLIN, NULL);
    puts("ready");
    fflush(stdout);
    for (;;) {
        struct epoll_event events[MAX_EVENTS];
        int n = epoll_wait(server.epoll_fd, events, MAX_EVENTS, -1);

        for (int i = 0; i < n; i++) {
            if (events[i].data.ptr) {
                guest_run(events[i].data.ptr, &server);
            } else if (type == SOCK_STREAM) {
                server_accept(&server);
            } else {
                server_receive(&server);
            }
        }
    }
}
