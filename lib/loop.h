/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LB_LOOP_H
#define LB_LOOP_H 1

/* An event loop: descriptors and timers of one thread
 * ===================================================
 *
 * Time is in milliseconds of a clock that only goes forward.
 *
 * What has come in is looked at before timers are, so that an answer which was
 * there in time is never taken for late because this process was.  How long
 * the process was late itself adds up in loop_lost(): who waits for others
 * does not count that against them.
 *
 * Sleeps in libopenvswitch's poll_block(), so that connections to a switch are
 * waited for as well.  Callbacks may add and remove whatever they like. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct loop;

/* A descriptor that is waited for.  The caller owns it, and the memory. */
struct loop_fd {
    int fd;                     /* -1 if it is not in a loop. */
    void (*ready)(void *aux, unsigned int events);  /* EPOLLIN and so on. */
    void *aux;
};

/* A timer.  The caller owns the memory, zeros to begin with. */
struct loop_timer {
    void (*expired)(void *aux);
    void *aux;
    int64_t when;
    size_t place;               /* In the heap, from 1 on; 0 if not set. */
};

struct loop *loop_create(void);
void loop_destroy(struct loop *);

/* What time it is. */
int64_t loop_now(void);

/* How many milliseconds this process was late in all since the loop began. */
int64_t loop_lost(const struct loop *);

/* Waits for 'events' of 'fd'.  False if the kernel does not take it, with
 * 'errno' set. */
bool loop_add(struct loop *, struct loop_fd *, int fd, unsigned int events,
              void (*ready)(void *aux, unsigned int events), void *aux);
void loop_modify(struct loop *, struct loop_fd *, unsigned int events);
void loop_remove(struct loop *, struct loop_fd *);

/* Sets a timer, anew if it was set, or forgets it. */
void loop_timer_set(struct loop *, struct loop_timer *, int64_t when,
                    void (*expired)(void *aux), void *aux);
void loop_timer_cancel(struct loop *, struct loop_timer *);

/* Sleeps until something happens, and calls back for it.  What else is to be
 * waited for has been registered with libopenvswitch's poll loop. */
void loop_run_once(struct loop *);

#endif /* lib/loop.h */
