/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LB_ATTEMPT_H
#define LB_ATTEMPT_H 1

/* One attempt at a check
 * ======================
 *
 * Asks a server once, without ever blocking, and says in the end whether it
 * answered as the check wants.  Each type of check is a file
 * lib/attempt-TYPE.c with one struct attempt_class. */

#include "lib/check.h"
#include "lib/loop.h"

struct attempt;

/* What attempts share. */
struct attempts {
    struct loop *loop;          /* Borrowed. */
    struct http_client *http;   /* Made when it is first needed. */
    struct process *processes;  /* Of checks by programs. */

    /* For checks from the switch; borrowed, NULL if there is none. */
    struct prober *prober;
    void (*found)(void *aux);   /* A missing server answers. */
    void *aux;
};

/* How an attempt came out. */
enum attempt_result {
    ATTEMPT_OK,
    ATTEMPT_FAILED,
    ATTEMPT_UNABLE              /* This host could not ask, which says nothing
                                 * of the server. */
};

/* Called once, unless the attempt is cancelled; the attempt is gone by then.
 * 'error' is NULL with ATTEMPT_OK; 'took' is in milliseconds. */
typedef void attempt_done(void *aux, enum attempt_result, const char *error,
                          int64_t took);

/* Longest error, with its null byte. */
#define ATTEMPT_ERROR_SIZE 128

/* What to ask, all of it borrowed for as long as the attempt lasts. */
struct attempt_target {
    const struct check *check;
    struct ip ip;
    uint16_t port;
    const struct pool *pool;    /* One of those that it is about. */
    const struct server *server;

    /* For checks from the switch. */
    uint16_t source_port;
    uint16_t switch_port;       /* Of OpenFlow; PORT_NONE if not known. */
};

/* A type of check. */
struct attempt_class {
    size_t size;                /* Of a struct that begins with an attempt. */

    /* Begins.  May call attempt_end() at once. */
    void (*start)(struct attempt *);

    /* Its time is over.  Returns for how many milliseconds to wait all the
     * same, 0 for no longer.  May be NULL. */
    int64_t (*wait)(struct attempt *);

    /* Lets go of all that it has.  Also called at the end. */
    void (*stop)(struct attempt *);
};

struct attempt {
    const struct attempt_class *class;
    struct attempts *all;
    struct attempt_target target;
    int64_t began;
    int64_t lost;               /* loop_lost() at the time. */
    int64_t deadline;
    struct loop_timer timer;
    attempt_done *done;
    void *aux;
};

extern const struct attempt_class attempt_tcp;
extern const struct attempt_class attempt_http;
extern const struct attempt_class attempt_exec;
extern const struct attempt_class attempt_icmp;
extern const struct attempt_class attempt_arp;
extern const struct attempt_class attempt_nd;
extern const struct attempt_class attempt_switch;

void attempts_init(struct attempts *, struct loop *);
void attempts_uninit(struct attempts *);

/* Begins one.  'done' is never called before this has returned. */
struct attempt *attempt_start(struct attempts *,
                              const struct attempt_target *,
                              attempt_done *done, void *aux);
void attempt_cancel(struct attempt *);

/* For classes: the end, with success if 'format' is NULL.  The attempt's
 * owner hears of it when the loop goes round, so this may be called from
 * anywhere, also twice: the first time counts. */
void attempt_end(struct attempt *, const char *format, ...) LB_PRINTF(2, 3);

/* Likewise, because this host could not ask. */
void attempt_end_unable(struct attempt *, const char *format, ...)
    LB_PRINTF(2, 3);

/* Likewise, after a system call failed with 'error': the one or the other,
 * depending on attempt_is_shortage(). */
void attempt_end_errno(struct attempt *, int error);

/* Likewise, after socket() failed with 'error' for want of 'privilege' or for
 * another reason. */
void attempt_end_no_socket(struct attempt *, int error, const char *privilege);

/* Whether 'error', an errno value, says that this host is short of something:
 * descriptors, memory, watches of epoll, ports to connect from, processes. */
bool attempt_is_shortage(int error);

/* Likewise: closes a socket that the loop watches; one that is not open has
 * -1. */
void attempt_close(struct attempt *, struct loop_fd *);

/* A socket address for 'ip' and 'port'.  Returns its size. */
struct sockaddr_storage;
unsigned int attempt_address(const struct ip *ip, uint16_t port,
                             struct sockaddr_storage *);

/* In lib/attempt-http.c and lib/attempt-exec.c: let go of what they share. */
void http_client_destroy(struct http_client *);
void processes_end(struct attempts *);

#endif /* lib/attempt.h */
