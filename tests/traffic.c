/* SPDX-License-Identifier: Apache-2.0 */

/* Servers and clients for the tests
 * =================================
 *
 * One protocol for TCP and UDP: the client sends a line, the server answers
 * with its own name, the client's address as the server sees it, and the line.
 * So each answer says who served it, and the client can tell whether it is the
 * answer to its own question.
 *
 *     traffic serve NAME tcp|udp ADDRESS PORT LOG
 *
 * Prints "ready" when it listens and serves until killed.  Writes to the file
 * LOG a line for each connection (or datagram), "ADDRESS PORT" of the client,
 * always before the answer leaves.
 *
 *     traffic connect tcp|udp ADDRESS PORT COUNT CONCURRENCY TIMEOUT FROM
 *
 * Makes COUNT connections, at most CONCURRENCY at a time.  Each asks one
 * question, waits TIMEOUT milliseconds for the handshake and as long for the
 * answer, and closes.  Reads its own addresses from standard input, one per
 * line, up to an empty line.  They take turns; in the first turn all use the
 * source port FROM, in each turn after that the next one.  Nothing is left to
 * chance, so a switch that picks servers by a hash does the same in each run.
 *
 * Prints "SOURCE PORT RESULT" per connection, where RESULT is the server's
 * name or "!" and a reason.  After the last one comes "end".
 *
 *     traffic hold ...
 *
 * The same arguments, but the connections stay open.  Each further line of
 * standard input has all of them ask again and prints the same again. */

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MAX_LINE 256
#define MAX_EVENTS 256

static void fail(const char *format, ...)
    __attribute__((__format__(printf, 1, 2), __noreturn__));

static void
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

static void *
check_allocated(void *p)
{
    if (!p) {
        fail("out of memory");
    }
    return p;
}

/* Milliseconds on a clock that only goes forward. */
static int64_t
now_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t) ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static int
parse_number(const char *s, int min, int max)
{
    char *end;
    long value = strtol(s, &end, 10);

    if (end == s || *end || value < min || value > max) {
        fail("%s: number from %d to %d expected", s, min, max);
    }
    return (int) value;
}

static int
parse_protocol(const char *s)
{
    if (strcmp(s, "tcp") && strcmp(s, "udp")) {
        fail("%s: tcp or udp expected", s);
    }
    return strcmp(s, "tcp") ? SOCK_DGRAM : SOCK_STREAM;
}

/* An address and port, IPv4 or IPv6. */
union endpoint {
    struct sockaddr sa;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
};

static union endpoint
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

static socklen_t
endpoint_size(const union endpoint *e)
{
    return e->sa.sa_family == AF_INET ? sizeof e->in : sizeof e->in6;
}

static int
endpoint_port(const union endpoint *e)
{
    return ntohs(e->sa.sa_family == AF_INET ? e->in.sin_port
                                            : e->in6.sin6_port);
}

static const char *
endpoint_format(const union endpoint *e, char buf[INET6_ADDRSTRLEN])
{
    const void *addr = e->sa.sa_family == AF_INET
                       ? (const void *) &e->in.sin_addr
                       : (const void *) &e->in6.sin6_addr;

    return inet_ntop(e->sa.sa_family, addr, buf, INET6_ADDRSTRLEN);
}

static void
watch(int epoll_fd, int fd, uint32_t events, void *data)
{
    struct epoll_event event = { .events = events, .data.ptr = data };

    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0) {
        fail("epoll_ctl");
    }
}

/* Servers
 * ------- */

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

static int
cmd_serve(char *argv[])
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

/* Clients
 * ------- */

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
    } else if (strcmp(peer, source)) {
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

static int
cmd_connect(char *argv[], bool hold)
{
    struct client client = {
        .type = parse_protocol(argv[0]),
        .target = parse_endpoint(argv[1], parse_number(argv[2], 1, 65535)),
        .n_conns = (size_t) parse_number(argv[3], 1, 1000000),
        .concurrency = parse_number(argv[4], 1, 60000),
        .timeout = parse_number(argv[5], 1, 600000),
        .epoll_fd = epoll_create1(EPOLL_CLOEXEC),
        .hold = hold,
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
        return cmd_serve(argv + 2);
    } else if (argc == 9 && !strcmp(argv[1], "connect")) {
        return cmd_connect(argv + 2, false);
    } else if (argc == 9 && !strcmp(argv[1], "hold")) {
        return cmd_connect(argv + 2, true);
    }
    fail("usage: traffic serve|connect|hold ARG...");
}
