/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TRAFFIC_H
#define TRAFFIC_H 1

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
 *             [PEER]
 *
 * Makes COUNT connections, at most CONCURRENCY at a time.  Each asks one
 * question, waits TIMEOUT milliseconds for the handshake and as long for the
 * answer, and closes.  Reads its own addresses from standard input, one per
 * line, up to an empty line.  They take turns; in the first turn all use the
 * source port FROM, in each turn after that the next one.  Nothing is left to
 * chance, so a switch that picks servers by a hash does the same in each run.
 * The server must have seen the client's own address, or the address PEER.
 *
 * Prints "SOURCE PORT RESULT" per connection, where RESULT is the server's
 * name or "!" and a reason.  After the last one comes "end".
 *
 *     traffic hold ...
 *
 * The same arguments, but the connections stay open.  Each further line of
 * standard input has all of them ask again and prints the same again. */

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#define MAX_LINE 256            /* Bytes in a question. */
#define MAX_EVENTS 256          /* From one epoll_wait(). */

/* An address and port, IPv4 or IPv6. */
union endpoint {
    struct sockaddr sa;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
};

/* The subcommands.  'argv' starts after their names. */
int traffic_serve(char *argv[]);
int traffic_connect(char *argv[], bool hold);

/* Prints a message, with the meaning of errno, and exits. */
void fail(const char *format, ...)
    __attribute__((__format__(printf, 1, 2), __noreturn__));

/* Returns 'p', which must not be NULL. */
void *check_allocated(void *p);

/* Milliseconds on a clock that only goes forward. */
int64_t now_ms(void);

/* Arguments.  These exit if 's' is not what it should be. */
int parse_number(const char *s, int min, int max);
int parse_protocol(const char *s);  /* Returns SOCK_STREAM or SOCK_DGRAM. */
union endpoint parse_endpoint(const char *address, int port);

socklen_t endpoint_size(const union endpoint *);
int endpoint_port(const union endpoint *);
const char *endpoint_format(const union endpoint *,
                            char buf[INET6_ADDRSTRLEN]);

/* Adds 'fd' to 'epoll_fd', for 'events', which come with 'data'. */
void watch(int epoll_fd, int fd, uint32_t events, void *data);

#endif /* tests/traffic.h */
