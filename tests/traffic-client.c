/* SPDX-License-Identifier: Apache-2.0 */

/* The asking half of traffic. */

#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "tests/traffic.h"

enum conn_state {
    CONN_NEW,
    CONN_CONNECTING,
    CONN_WAITING,               /* For an answer. */
    CONN_IDLE,                  /* Open, nothing asked. */
    CONN_DEAD
};

/* One connection, and what became of it. */
struct conn {
    enum conn_state state;
    int fd;
    union endpoint source;
    int64_t deadline;           /* While connecting or waiting. */
    unsigned int round;         /* Number of the question. */
    char line[2 * MAX_LINE];    /* Part of an answer. */
    size_t length;
    char result[64];
};

/* All connections to one server or VIP. */
struct client {
    int type;
    union endpoint target;
    int timeout;                /* Milliseconds. */
    int concurrency;
    bool hold;
    const char *peer;           /* What servers may see instead, or NULL. */

    int epoll_fd;
    struct conn *conns;
    size_t n_conns;
    size_t n_started;
    size_t n_busy;              /* Connecting or waiting. */
    int64_t next_check;         /* Of deadlines. */
};

static bool
conn_is_busy(const struct conn *conn)
{
    return conn->state == CONN_CONNECTING || conn->state == CONN_WAITING;
}

static void
conn_set_state(struct client *client, struct conn *conn, enum conn_state state)
{
    client->n_busy -= conn_is_busy(conn);
    conn->state = state;
    client->n_busy += conn_is_busy(conn);
}

static void
conn_end(struct client *client, struct conn *conn, const char *result)
{
    snprintf(conn->result, sizeof conn->result, "%s", result);
    if (conn->fd >= 0) {
        close(conn->fd);
        conn->fd = -1;
    }
    conn_set_state(client, conn, CONN_DEAD);
}

static void
conn_fail(struct client *client, struct conn *conn, int error)
{
    const char *reason;
    char other[32];

    switch (error) {
    case ECONNREFUSED:
        reason = "!refused";
        break;
    case ECONNRESET:
    case EPIPE:
        reason = "!reset";
        break;
    case ETIMEDOUT:
        reason = "!timeout";
        break;
    case EHOSTUNREACH:
        reason = "!unreachable";
        break;
    default:
        snprintf(other, sizeof other, "!errno-%d", error);
        reason = other;
        break;
    }
    conn_end(client, conn, reason);
}

/* Which question this is.  Tells a late answer from the right one. */
static int
make_question(const struct client *client, const struct conn *conn,
              char question[MAX_LINE])
{
    return snprintf(question, MAX_LINE, "%zu.%u\n",
                    (size_t) (conn - client->conns), conn->round);
}

static void
conn_ask(struct client *client, struct conn *conn)
{
    char question[MAX_LINE];
    int length;

    conn->round++;
    conn->length = 0;
    length = make_question(client, conn, question);
    conn->deadline = now_ms() + client->timeout;
    conn_set_state(client, conn, CONN_WAITING);
    if (send(conn->fd, question, (size_t) length, MSG_NOSIGNAL) != length) {
        conn_fail(client, conn, errno);
    }
}

static void
conn_start(struct client *client, struct conn *conn)
{
    int on = 1;

    conn->fd = socket(client->target.sa.sa_family,
                      client->type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (conn->fd < 0) {
        fail("socket");
    }
    if (client->type == SOCK_STREAM) {
        setsockopt(conn->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
        setsockopt(conn->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    }
    if (bind(conn->fd, &conn->source.sa, endpoint_size(&conn->source)) < 0) {
        conn_fail(client, conn, errno);
        return;
    }
    conn->deadline = now_ms() + client->timeout;
    if (!connect(conn->fd, &client->target.sa,
                 endpoint_size(&client->target))) {
        watch(client->epoll_fd, conn->fd, EPOLLIN, conn);
        conn_ask(client, conn);
    } else if (errno == EINPROGRESS) {
        watch(client->epoll_fd, conn->fd, EPOLLIN | EPOLLOUT, conn);
        conn_set_state(client, conn, CONN_CONNECTING);
    } else {
        conn_fail(client, conn, errno);
    }
}

static void
conn_connected(struct client *client, struct conn *conn)
{
    struct epoll_event event = { .events = EPOLLIN, .data.ptr = conn };
    socklen_t size = sizeof(int);
    int error = 0;

    getsockopt(conn->fd, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error) {
        conn_fail(client, conn, error);
        return;
    }
    epoll_ctl(client->epoll_fd, EPOLL_CTL_MOD, conn->fd, &event);
    conn_ask(client, conn);
}

/* Judges the whole answer in 'conn->line'. */
static void
conn_judge(struct client *client, struct conn *conn)
{
    char name[64], peer[INET6_ADDRSTRLEN], rest[MAX_LINE];
    char question[MAX_LINE], source[INET6_ADDRSTRLEN];

    make_question(client, conn, question);
    endpoint_format(&conn->source, source);
    if (sscanf(conn->line, "%63s %45s %255[^\n]", name, peer, rest) != 3
        || strncmp(rest, question, strcspn(question, "\n"))
        || strlen(rest) + 1 != strlen(question)) {
        conn_end(client, conn, "!wrong-answer");
    } else if (strcmp(peer, source)
               && (!client->peer || strcmp(peer, client->peer))) {
        conn_end(client, conn, "!wrong-peer");
    } else if (client->hold) {
        snprintf(conn->result, sizeof conn->result, "%s", name);
        conn_set_state(client, conn, CONN_IDLE);
    } else {
        conn_end(client, conn, name);
    }
}

static void
conn_receive(struct client *client, struct conn *conn)
{
    ssize_t n = recv(conn->fd, conn->line + conn->length,
                     sizeof conn->line - 1 - conn->length, 0);

    if (n < 0) {
        if (errno != EAGAIN) {
            conn_fail(client, conn, errno);
        }
    } else if (!n) {
        conn_end(client, conn, "!closed");
    } else if (conn->state != CONN_WAITING) {
        conn_end(client, conn, "!wrong-answer");
    } else {
        conn->length += (size_t) n;
        conn->line[conn->length] = '\0';
        if (strchr(conn->line, '\n')) {
            conn_judge(client, conn);
        }
    }
}

static void
client_check_deadlines(struct client *client)
{
    int64_t now = now_ms();

    if (now < client->next_check) {
        return;
    }
    client->next_check = now + 20;
    for (size_t i = 0; i < client->n_started; i++) {
        struct conn *conn = &client->conns[i];

        if (conn_is_busy(conn) && conn->deadline <= now) {
            conn_end(client, conn, conn->state == CONN_CONNECTING
                                   ? "!no-connection" : "!no-answer");
        }
    }
}

/* Runs until nothing is left to start or to wait for. */
static void
client_run(struct client *client)
{
    for (;;) {
        struct epoll_event events[MAX_EVENTS];
        int n;

        while (client->n_started < client->n_conns
               && client->n_busy < (size_t) client->concurrency) {
            conn_start(client, &client->conns[client->n_started++]);
        }
        if (!client->n_busy) {
            return;
        }
        n = epoll_wait(client->epoll_fd, events, MAX_EVENTS, 20);
        for (int i = 0; i < n; i++) {
            struct conn *conn = events[i].data.ptr;

            if (conn->state == CONN_CONNECTING) {
                conn_connected(client, conn);
            } else if (conn->state != CONN_DEAD) {
                conn_receive(client, conn);
            }
        }
        client_check_deadlines(client);
    }
}

static void
client_report(const struct client *client)
{
    for (size_t i = 0; i < client->n_conns; i++) {
        const struct conn *conn = &client->conns[i];
        char source[INET6_ADDRSTRLEN];

        printf("%s %d %s\n", endpoint_format(&conn->source, source),
               endpoint_port(&conn->source), conn->result);
    }
    puts("end");
    fflush(stdout);
}

/* Asks on all open connections at once. */
static void
client_ping(struct client *client)
{
    for (size_t i = 0; i < client->n_conns; i++) {
        struct conn *conn = &client->conns[i];

        if (conn->state == CONN_IDLE) {
            conn_receive(client, conn);     /* Has it ended meanwhile? */
        }
        if (conn->state == CONN_IDLE) {
            conn_ask(client, conn);
        }
    }
    client_run(client);
}

/* Reads addresses up to an empty line and deals them out with ports. */
static void
client_read_sources(struct client *client, int first_port)
{
    union endpoint *sources = NULL;
    char line[MAX_LINE];
    size_t n = 0;

    while (fgets(line, sizeof line, stdin) && line[0] != '\n') {
        line[strcspn(line, "\n")] = '\0';
        sources = check_allocated(realloc(sources, (n + 1) * sizeof *sources));
        sources[n++] = parse_endpoint(line, 0);
    }
    if (!n) {
        fail("no source address");
    }
    for (size_t i = 0; i < client->n_conns; i++) {
        struct conn *conn = &client->conns[i];
        size_t port = (size_t) first_port + i / n;

        if (port > 65535) {
            fail("out of source ports");
        }
        conn->source = sources[i % n];
        if (conn->source.sa.sa_family == AF_INET) {
            conn->source.in.sin_port = htons((uint16_t) port);
        } else {
            conn->source.in6.sin6_port = htons((uint16_t) port);
        }
        conn->fd = -1;
    }
    free(sources);
}

int
traffic_connect(char *argv[], bool hold)
{
    struct client client = {
        .type = parse_protocol(argv[0]),
        .target = parse_endpoint(argv[1], parse_number(argv[2], 1, 65535)),
        .n_conns = (size_t) parse_number(argv[3], 1, 1000000),
        .concurrency = parse_number(argv[4], 1, 60000),
        .timeout = parse_number(argv[5], 1, 600000),
        .epoll_fd = epoll_create1(EPOLL_CLOEXEC),
        .hold = hold,
        .peer = argv[7],
    };
    char line[MAX_LINE];

    client.conns = check_allocated(calloc(client.n_conns,
                                          sizeof *client.conns));
    client_read_sources(&client, parse_number(argv[6], 1, 65535));
    client_run(&client);
    client_report(&client);
    while (hold && fgets(line, sizeof line, stdin)) {
        client_ping(&client);
        client_report(&client);
    }
    free(client.conns);
    return 0;
}
