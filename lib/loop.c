/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "lib/loop.h"

#include <assert.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include <openvswitch/poll-loop.h>
#include <openvswitch/util.h>

#include "lib/util.h"

/* How much lateness is nobody's business, in milliseconds. */
#define TOLERANCE 5

#define MAX_EVENTS 64

/* How often so many events are taken in before timers have their turn. */
#define MAX_ROUNDS 64

struct loop {
    int epoll;
    struct loop_timer **heap;   /* heap[1] is the next one. */
    size_t n_timers;
    size_t allocated;
    int64_t lost;

    /* Events that are being handed out. */
    struct epoll_event events[MAX_EVENTS];
    int n_events;
};

struct loop *
loop_create(void)
{
    struct loop *loop = lb_xcalloc(1, sizeof *loop);

    loop->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (loop->epoll < 0) {
        abort();
    }
    loop->allocated = 16;
    loop->heap = lb_xcalloc(loop->allocated, sizeof *loop->heap);
    return loop;
}

void
loop_destroy(struct loop *loop)
{
    if (loop) {
        close(loop->epoll);
        free(loop->heap);
        free(loop);
    }
}

int64_t
loop_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000) + now.tv_nsec / 1000000;
}

int64_t
loop_lost(const struct loop *loop)
{
    return loop->lost;
}

bool
loop_add(struct loop *loop, struct loop_fd *lfd, int fd, unsigned int events,
         void (*ready)(void *aux, unsigned int events), void *aux)
{
    struct epoll_event event = { .events = events, .data.ptr = lfd };

    *lfd = (struct loop_fd) { .fd = fd, .ready = ready, .aux = aux };
    if (epoll_ctl(loop->epoll, EPOLL_CTL_ADD, fd, &event)) {
        lfd->fd = -1;
        return false;
    }
    return true;
}

void
loop_modify(struct loop *loop, struct loop_fd *lfd, unsigned int events)
{
    struct epoll_event event = { .events = events, .data.ptr = lfd };

    epoll_ctl(loop->epoll, EPOLL_CTL_MOD, lfd->fd, &event);
}

void
loop_remove(struct loop *loop, struct loop_fd *lfd)
{
    if (lfd->fd >= 0) {
        epoll_ctl(loop->epoll, EPOLL_CTL_DEL, lfd->fd, NULL);
        lfd->fd = -1;
        for (int i = 0; i < loop->n_events; i++) {
            if (loop->events[i].data.ptr == lfd) {
                loop->events[i].data.ptr = NULL;
            }
        }
    }
}

/* Puts 'timer' where 'place' is. */
static void
put(struct loop *loop, size_t place, struct loop_timer *timer)
{
    loop->heap[place] = timer;
    timer->place = place;
}

/* Moves the timer at 'place' to where it belongs. */
static void
sift(struct loop *loop, size_t place)
{
    struct loop_timer *timer = loop->heap[place];

    while (place > 1 && loop->heap[place / 2]->when > timer->when) {
        put(loop, place, loop->heap[place / 2]);
        place /= 2;
    }
    for (;;) {
        size_t child = 2 * place;

        if (child < loop->n_timers
            && loop->heap[child + 1]->when < loop->heap[child]->when) {
            child++;
        }
        if (child > loop->n_timers
            || loop->heap[child]->when >= timer->when) {
            break;
        }
        put(loop, place, loop->heap[child]);
        place = child;
    }
    put(loop, place, timer);
}

void
loop_timer_set(struct loop *loop, struct loop_timer *timer, int64_t when,
               void (*expired)(void *aux), void *aux)
{
    timer->when = when;
    timer->expired = expired;
    timer->aux = aux;
    if (!timer->place) {
        loop->heap = lb_grow(loop->heap, loop->n_timers + 1,
                             &loop->allocated, sizeof *loop->heap);
        put(loop, ++loop->n_timers, timer);
    }
    sift(loop, timer->place);
}

void
loop_timer_cancel(struct loop *loop, struct loop_timer *timer)
{
    size_t place = timer->place;

    if (place) {
        struct loop_timer *last = loop->heap[loop->n_timers--];

        timer->place = 0;
        if (last != timer) {
            put(loop, place, last);
            sift(loop, place);
        }
    }
}

/* Hands out what has come in: all of it, unless it never ends. */
static void
run_events(struct loop *loop)
{
    int n = 0;

    do {
        loop->n_events = epoll_wait(loop->epoll, loop->events, MAX_EVENTS, 0);
        for (int i = 0; i < loop->n_events; i++) {
            struct loop_fd *lfd = loop->events[i].data.ptr;

            if (lfd) {
                lfd->ready(lfd->aux, loop->events[i].events);
            }
        }
    } while (loop->n_events == MAX_EVENTS && ++n < MAX_ROUNDS);
    loop->n_events = 0;
}

/* Lets timers expire that were due at 'now', and not those that are set
 * meanwhile. */
static void
run_timers(struct loop *loop, int64_t now)
{
    size_t budget = loop->n_timers;

    while (budget-- && loop->n_timers && loop->heap[1]->when <= now) {
        struct loop_timer *timer = loop->heap[1];

        loop_timer_cancel(loop, timer);
        timer->expired(timer->aux);
    }
}

static void
note_late(struct loop *loop, int64_t ms)
{
    if (ms > TOLERANCE) {
        loop->lost += ms;
    }
}

void
loop_run_once(struct loop *loop)
{
    int64_t due = loop->n_timers ? loop->heap[1]->when : INT64_MAX;
    int64_t began = loop_now();
    int64_t woke;

    poll_fd_wait(loop->epoll, POLLIN);
    if (due != INT64_MAX) {
        poll_timer_wait_until(due);
    }
    poll_block();
    woke = loop_now();
    if (due != INT64_MAX) {
        note_late(loop, woke - (due > began ? due : began));
    }
    run_events(loop);
    run_timers(loop, woke);
    note_late(loop, loop_now() - woke);
}
