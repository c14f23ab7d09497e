/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LB_CHECK_H
#define LB_CHECK_H 1

/* Checks: how to find out whether a server works
 * ==============================================
 *
 * What the file says under "check:", for a pool and perhaps otherwise for one
 * of its servers.  lib/attempt.h carries checks out, lib/health-track.h makes
 * a state of what they say.
 *
 * Pure. */

#include <stdio.h>

#include "lib/model.h"

struct reader;

enum check_type {
    CHECK_NONE,                 /* A server that is not checked. */
    CHECK_TCP,                  /* Something accepts connections. */
    CHECK_HTTP,                 /* Answers as expected. */
    CHECK_HTTPS,
    CHECK_EXEC,                 /* A program says so by its exit status. */
    CHECK_ICMP,                 /* Answers pings. */
    CHECK_ARP,                  /* Answers ARP. */
    CHECK_ND                    /* Answers neighbour solicitations. */
};

/* Who asks. */
enum check_from {
    CHECK_FROM_HOST,            /* This host, by its own network stack. */
    CHECK_FROM_SWITCH           /* The switch, behind the server's port. */
};

/* Numbers a file may have. */
#define CHECK_MIN_INTERVAL 20       /* Milliseconds. */
#define CHECK_MAX_INTERVAL 3600000
#define CHECK_MIN_TIMEOUT 5
#define CHECK_MAX_TIMEOUT 60000
#define CHECK_MAX_RUN 1000          /* Of "rise" and "fall". */
#define CHECK_MAX_ARGUMENTS 32      /* Of "command". */

struct check {
    struct source_loc loc;
    enum check_type type;
    enum check_from from;
    uint32_t interval;          /* Milliseconds from start to start. */
    uint32_t fast_interval;     /* Likewise, while results speak against the
                                 * state; 0 for 'interval'. */
    uint32_t timeout;           /* Milliseconds. */
    bool has_timeout;           /* Else it follows from 'interval'. */
    uint16_t rise;              /* Successes in a row that bring it up. */
    uint16_t fall;              /* Failures in a row that take it down. */
    uint16_t port;              /* 0: that of the server. */
    bool has_address;           /* Else that of the server. */
    struct ip address;
    bool has_source;            /* For CHECK_FROM_SWITCH.  Else the VIP. */
    struct ip source;           /* An address of lbgen's own. */

    /* For CHECK_HTTP and CHECK_HTTPS.  Text may be NULL: the default. */
    char *method;
    char *path;
    char *host;                 /* Also the name that its certificate has. */
    char *body;                 /* Text that must be in the answer. */
    uint16_t status_min;
    uint16_t status_max;
    bool verify;                /* The certificate, for CHECK_HTTPS. */
    char *ca;                   /* Name of a PEM file. */

    char **command;             /* For CHECK_EXEC: program and arguments. */
    size_t n_command;
};

/* Reads the value of "check:", on top of 'base' (NULL for none), which the
 * pool has.  Returns a new check, also after errors. */
struct check *check_read(const struct reader *parent, const struct node *,
                         const struct check *base);
void check_destroy(struct check *);

/* Whether both are carried out in the same way: everything but what follows
 * from the results. */
bool check_equal(const struct check *, const struct check *);

/* Writes it as JSON, as check_read() reads it. */
void check_write(const struct check *, FILE *);

/* The one that counts for 'server' of 'pool', NULL if it is not checked. */
const struct check *server_check(const struct pool *pool,
                                 const struct server *server);

/* Where that one goes to: the server's first address, or that of the family
 * that the type is for.  The switch asks servers of a direct pool for the
 * VIP. */
const struct ip *check_address(const struct check *, const struct pool *,
                               const struct server *);
uint16_t check_port(const struct check *, const struct server *);

/* Whose address a check from the switch comes from: of the family of where it
 * goes to, or NULL if there is none. */
const struct ip *check_source(const struct check *, const struct pool *,
                              const struct server *);

/* The MAC that a check from the switch comes from. */
struct mac check_source_mac(const struct check *, const struct pool *);

/* Whether answers to a check have ports or the like, and come to an address:
 * those to ARP and neighbour discovery do not. */
bool check_has_source(const struct check *);

/* Checks what has to fit with the rest of 'pool', which 'node' says. */
void checks_check(const struct reader *, const struct node *node,
                  const struct pool *pool);

const char *check_type_name(enum check_type);

/* For people: "http every 2s". */
#define CHECK_STRLEN 64
const char *check_format(const struct check *, char buf[CHECK_STRLEN]);

#endif /* lib/check.h */
