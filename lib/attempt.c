/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "lib/attempt.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* The end of an attempt that its owner has not heard of. */
struct ending {
    struct attempt *attempt;
    enum attempt_result result;
    char error[ATTEMPT_ERROR_SIZE];
    int64_t took;
};

void
attempts_init(struct attempts *all, struct loop *loop)
{
    memset(all, 0, sizeof *all);
    all->loop = loop;
}

void
attempts_uninit(struct attempts *all)
{
    http_client_destroy(all->http);
    all->http = NULL;
    processes_end(all);
}

static const struct attempt_class *
find_class(const struct check *check)
{
    if (check->from == CHECK_FROM_SWITCH) {
        return &attempt_switch;
    }
    switch (check->type) {
    case CHECK_TCP:
        return &attempt_tcp;
    case CHECK_HTTP:
    case CHECK_HTTPS:
        return &attempt_http;
    case CHECK_EXEC:
        return &attempt_exec;
    case CHECK_ICMP:
        return &attempt_icmp;
    case CHECK_ARP:
        return &attempt_arp;
    case CHECK_ND:
        return &attempt_nd;
    case CHECK_NONE:
    default:
        abort();
    }
}

/* Gives back what the time that this process itself was late took away from
 * the other side, and says whether it was any.  Twice the time is enough, even
 * for a process that is always late. */
static bool
extend(struct attempt *attempt)
{
    int64_t lost = loop_lost(attempt->all->loop);
    int64_t last = attempt->began + 2 * attempt->target.check->timeout;

    attempt->deadline += lost - attempt->lost;
    if (attempt->deadline > last) {
        attempt->deadline = last;
    }
    attempt->lost = lost;
    return attempt->deadline > loop_now();
}

static void
expire(void *attempt_)
{
    struct attempt *attempt = attempt_;
    uint32_t timeout = attempt->target.check->timeout;
    int64_t pause = 0;

    if (extend(attempt)) {
        pause = attempt->deadline - loop_now();
    } else if (attempt->class->wait) {
        pause = attempt->class->wait(attempt);
    }
    if (pause > 0) {
        loop_timer_set(attempt->all->loop, &attempt->timer,
                       loop_now() + pause, expire, attempt);
    } else if (timeout % 1000) {
        attempt_end(attempt, "no answer in %"PRIu32" ms", timeout);
    } else {
        attempt_end(attempt, "no answer in %"PRIu32" s", timeout / 1000);
    }
}

struct attempt *
attempt_start(struct attempts *all, const struct attempt_target *target,
              attempt_done *done, void *aux)
{
    const struct attempt_class *class = find_class(target->check);
    struct attempt *attempt = lb_xcalloc(1, class->size);

    attempt->class = class;
    attempt->all = all;
    attempt->target = *target;
    attempt->began = loop_now();
    attempt->lost = loop_lost(all->loop);
    attempt->deadline = attempt->began + target->check->timeout;
    attempt->done = done;
    attempt->aux = aux;
    loop_timer_set(all->loop, &attempt->timer, attempt->deadline, expire,
                   attempt);
    class->start(attempt);
    return attempt;
}

void
attempt_cancel(struct attempt *attempt)
{
    if (attempt) {
        if (attempt->class) {
            attempt->class->stop(attempt);
        } else {
            free(attempt->timer.aux);
        }
        loop_timer_cancel(attempt->all->loop, &attempt->timer);
        free(attempt);
    }
}

static void
tell(void *ending_)
{
    struct ending *ending = ending_;
    struct attempt *attempt = ending->attempt;
    attempt_done *done = attempt->done;
    void *aux = attempt->aux;

    free(attempt);
    done(aux, ending->result, ending->result ? ending->error : NULL,
         ending->took);
    free(ending);
}

static void LB_PRINTF(3, 0)
end(struct attempt *attempt, enum attempt_result result, const char *format,
    va_list args)
{
    struct ending *ending;

    if (!attempt->class) {
        return;
    }
    ending = lb_xcalloc(1, sizeof *ending);
    ending->attempt = attempt;
    ending->result = result;
    ending->took = loop_now() - attempt->began;
    if (format) {
        vsnprintf(ending->error, sizeof ending->error, format, args);
    }
    attempt->class->stop(attempt);
    attempt->class = NULL;
    loop_timer_set(attempt->all->loop, &attempt->timer, 0, tell, ending);
}

void
attempt_end(struct attempt *attempt, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    end(attempt, format ? ATTEMPT_FAILED : ATTEMPT_OK, format, args);
    va_end(args);
}

void
attempt_end_unable(struct attempt *attempt, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    end(attempt, ATTEMPT_UNABLE, format, args);
    va_end(args);
}

bool
attempt_is_shortage(int error)
{
    return (error == EMFILE || error == ENFILE || error == ENOMEM
            || error == ENOBUFS || error == ENOSPC || error == EADDRNOTAVAIL
            || error == EAGAIN);
}

void
attempt_end_errno(struct attempt *attempt, int error)
{
    if (attempt_is_shortage(error)) {
        attempt_end_unable(attempt, "%s", strerror(error));
    } else {
        attempt_end(attempt, "%s", strerror(error));
    }
}

void
attempt_end_no_socket(struct attempt *attempt, int error,
                      const char *privilege)
{
    if (error == EPERM || error == EACCES) {
        attempt_end_unable(attempt, "cannot ask: %s (%s)", strerror(error),
                           privilege);
    } else {
        attempt_end_errno(attempt, error);
    }
}

void
attempt_close(struct attempt *attempt, struct loop_fd *socket)
{
    int fd = socket->fd;

    if (fd >= 0) {
        loop_remove(attempt->all->loop, socket);
        close(fd);
    }
}

unsigned int
attempt_address(const struct ip *ip, uint16_t port,
                struct sockaddr_storage *ss)
{
    memset(ss, 0, sizeof *ss);
    if (ip_is_v4(ip)) {
        struct sockaddr_in *sin = (struct sockaddr_in *) ss;

        sin->sin_family = AF_INET;
        sin->sin_port = htons(port);
        sin->sin_addr.s_addr = htonl(ip_v4(ip));
        return sizeof *sin;
    } else {
        struct sockaddr_in6 *sin6 = (struct sockaddr_in6 *) ss;

        sin6->sin6_family = AF_INET6;
        sin6->sin6_port = htons(port);
        sin6->sin6_addr = ip->addr;
        return sizeof *sin6;
    }
}
