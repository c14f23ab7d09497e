/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LB_SESSION_H
#define LB_SESSION_H 1

/* A connection to a bridge: all I/O with the switch is here
 * =========================================================
 *
 * Wraps one vconn that speaks OpenFlow 1.5 and nothing else: in older versions
 * a group loses its selection method without a word.
 *
 * Nothing here waits longer than the time-out for the switch to say or take
 * something, and echo requests of the switch are answered meanwhile.  Failures
 * queue one error that says what and what to do about it, and return false;
 * the session is then good for nothing but session_close(). */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <openvswitch/list.h>
#include <openvswitch/ofpbuf.h>

#include "lib/diag.h"
#include "lib/lock.h"

/* How to reach a bridge. */
struct session_options {
    const char *bridge;         /* Name, "unix:...", "tcp:..." or "ssl:...". */
    int timeout;                /* Seconds. */
    const char *private_key;    /* For "ssl:": PEM files, NULL if not given. */
    const char *certificate;
    const char *ca_cert;
    const struct lock_options *lock;    /* NULL: changes nothing. */
};

struct session;

/* Must be called once, before session_open().  libopenvswitch says nothing of
 * its own unless 'verbose' is above 0. */
void session_init(int verbose);

/* Connects, and locks the bridge first if the options say so, until the
 * session is closed (lib/lock.h).  Returns NULL after queueing an error. */
struct session *session_open(const struct session_options *, struct diags *);
void session_close(struct session *);

/* Lets others change the bridge from now on. */
void session_unlock(struct session *);

/* The bridge, as the user named it, and the time-out in seconds. */
const char *session_bridge(const struct session *);
int session_timeout(const struct session *);

/* If the switch runs on this host, stores the directory that it has its
 * sockets in and what it calls the bridge; the caller frees both.  Else
 * returns false. */
bool session_find_local(const struct session *, char **directory,
                        char **bridge);

/* Sends the multipart request 'request' (taken over) and calls 'cb' for every
 * part of the reply.  'cb' returns false if it cannot decode the part.  A
 * reply that breaks off is an error, never taken for the whole. */
bool session_multipart(struct session *, struct ofpbuf *request,
                       bool (*cb)(struct ofpbuf *part, void *aux), void *aux,
                       struct diags *);

/* What became of a bundle. */
enum bundle_result {
    BUNDLE_COMMITTED,
    BUNDLE_REFUSED,             /* By the switch, which is unchanged. */
    BUNDLE_FAILED               /* No answer or connection lost. */
};

/* Sends the 'n' messages as one atomic, ordered bundle and waits for the
 * switch to have committed it.  The messages stay the caller's; their
 * transaction ids are overwritten.
 *
 * BUNDLE_REFUSED stores in '*refused' the index of the message to blame, or
 * SIZE_MAX if it is none in particular, and in '*error' the OFPERR_* code, and
 * queues no error: the caller knows what the message was for.  BUNDLE_FAILED
 * queues an error. */
enum bundle_result session_bundle(struct session *, struct ofpbuf **messages,
                                  size_t n, size_t *refused, int *error,
                                  struct diags *);

/* Sends the 'n' messages (taken over) one after another, not as a bundle, and
 * waits for the switch to have done them.  Stores in '*refusal' the OFPERR_*
 * code of the first that it refused, or 0.  Returns false after queueing an
 * error. */
bool session_send_messages(struct session *, struct ofpbuf **messages,
                           size_t n, int *refusal, struct diags *);

#endif /* lib/session.h */
