/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LB_WATCH_H
#define LB_WATCH_H 1

/* Watching a bridge: is it there, and does somebody change it?
 * ============================================================
 *
 * Keeps a connection to the bridge of its own, on which nothing is changed,
 * and has the switch tell of changes of flows in lbgen's tables and of groups,
 * be they lbgen's own or not, and of ports that come and go.  What the switch
 * itself learns is not told.
 *
 * Checks from the switch go out by the same connection, and their answers come
 * back by it: see lib/prober.h.
 *
 * Never blocks.  When the connection is lost it tries again, so often that a
 * switch that is back is noticed within WATCH_RETRY milliseconds. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/model.h"
#include "lib/session.h"

#define WATCH_RETRY 100

/* How long the switch may be silent when asked for a sign of life, in
 * milliseconds. */
#define WATCH_PATIENCE 5000

enum watch_event {
    WATCH_UP,                   /* Connected, perhaps anew. */
    WATCH_DOWN,                 /* No longer. */
    WATCH_CHANGED               /* Something may not be as it was. */
};

struct ofpbuf;
struct watch;

/* Begins.  'options' are borrowed.  'answer' is given what comes back of what
 * watch_send() sends: the first 'size' bytes of a frame. */
struct watch *watch_create(const struct session_options *options,
                           void (*event)(void *aux, enum watch_event),
                           void (*answer)(void *aux, const void *frame,
                                          size_t size),
                           void *aux);
void watch_destroy(struct watch *);

/* Says where lbgen's flows are. */
void watch_set_tables(struct watch *, const struct settings *);

/* Sends 'message', which it takes over, when the switch takes it.  False if
 * there is no connection, or too much that the switch has not taken. */
bool watch_send(struct watch *, struct ofpbuf *message);

/* Asks the switch for a sign of life, and whether it has given that one.  A
 * connection that is lost has. */
uint64_t watch_ping(struct watch *);
bool watch_has_answered(const struct watch *, uint64_t ping);

/* Whether there is a connection. */
bool watch_is_up(const struct watch *);

/* While there is none: why not. */
const char *watch_error(const struct watch *);

/* Does what there is to do; calls back. */
void watch_run(struct watch *);

/* Registers with libopenvswitch's poll loop for what is waited for. */
void watch_wait(struct watch *);

#endif /* lib/watch.h */
