/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "lib/session.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openflow/openflow-common.h>
#include <openvswitch/ofp-bundle.h>
#include <openvswitch/ofp-errors.h>
#include <openvswitch/ofp-msgs.h>
#include <openvswitch/ofp-protocol.h>
#include <openvswitch/ofp-util.h>
#include <openvswitch/poll-loop.h>
#include <openvswitch/vconn.h>

#include "lib/session-target.h"
#include "lib/util.h"

struct session {
    struct vconn *vconn;
    char *bridge;
    int timeout;                /* Seconds. */
    int lock;                   /* From lock_take(), or -1. */
    uint32_t next_xid;          /* Host byte order. */
    struct ovs_list inbox;      /* Messages that came while sending. */
};

const char *
session_bridge(const struct session *session)
{
    return session->bridge;
}

int
session_timeout(const struct session *session)
{
    return session->timeout;
}

bool
session_find_local(const struct session *session, char **directory,
                   char **bridge)
{
    return session_split_local(session->bridge, directory, bridge);
}

/* Waits until the vconn can do more, for 'wait', or the time-out has passed.
 * Returns 0 or ETIMEDOUT. */
static int
wait_for(struct session *s, enum vconn_wait_type wait, long long int deadline)
{
    long long int left = deadline - session_now();

    if (left <= 0) {
        return ETIMEDOUT;
    }
    vconn_run(s->vconn);
    vconn_run_wait(s->vconn);
    vconn_wait(s->vconn, wait);
    if (wait == WAIT_SEND) {
        vconn_wait(s->vconn, WAIT_RECV);
    }
    poll_timer_wait(left);
    poll_block();
    vconn_run(s->vconn);
    return 0;
}

static long long int
new_deadline(const struct session *s)
{
    return session_now() + s->timeout * 1000LL;
}

static int session_send(struct session *, struct ofpbuf *);

/* Receives one message from the vconn if there is one, and answers it if it is
 * an echo request.  Returns 0 and stores the message, or NULL if it was
 * answered; EAGAIN if there is none; or another error. */
static int
receive_now(struct session *s, struct ofpbuf **message)
{
    enum ofptype type;
    int error = vconn_recv(s->vconn, message);

    if (error) {
        return error;
    }
    if (!ofptype_decode(&type, (*message)->data)
        && type == OFPTYPE_ECHO_REQUEST) {
        error = session_send(s, ofputil_encode_echo_reply((*message)->data));
        ofpbuf_delete(*message);
        *message = NULL;
    }
    return error;
}

/* Sends 'message', which it takes over in any case.  Takes in what the switch
 * has to say meanwhile, so that the two never wait for each other. */
static int
session_send(struct session *s, struct ofpbuf *message)
{
    long long int deadline = new_deadline(s);
    int error;

    while ((error = vconn_send(s->vconn, message)) == EAGAIN) {
        struct ofpbuf *in;

        error = wait_for(s, WAIT_SEND, deadline);
        if (!error) {
            error = receive_now(s, &in);
            if (!error && in) {
                ovs_list_push_back(&s->inbox, &in->list_node);
            } else if (error == EAGAIN) {
                error = 0;
            }
        }
        if (error) {
            break;
        }
    }
    if (error) {
        ofpbuf_delete(message);
    }
    return error;
}

/* Waits for the next message. */
static int
session_receive(struct session *s, struct ofpbuf **message)
{
    long long int deadline = new_deadline(s);

    if (!ovs_list_is_empty(&s->inbox)) {
        *message = ofpbuf_from_list(ovs_list_pop_front(&s->inbox));
        return 0;
    }
    for (;;) {
        int error = receive_now(s, message);

        if (!error && *message) {
            return 0;
        } else if (error == EAGAIN) {
            error = wait_for(s, WAIT_RECV, deadline);
        }
        if (error) {
            return error;
        }
    }
}

/* Queues an error for a connection that failed with 'error' while "doing". */
static void
report_lost(const struct session *s, const char *doing, int error,
            struct diags *diags)
{
    if (error == ETIMEDOUT) {
        diag_error(diags, NULL, "bridge \"%s\" gave no answer for %d seconds "
                   "while %s; is ovs-vswitchd busy or stopped? (--timeout)",
                   s->bridge, s->timeout, doing);
    } else {
        diag_error(diags, NULL, "lost bridge \"%s\" while %s: %s",
                   s->bridge, doing,
                   (error == EOF ? "connection closed"
                    : error == EPROTO ? "what it said broke off or made no "
                    "sense" : strerror(error)));
    }
}

/* Locks the bridge if 'options' say so.  False if somebody else has it. */
static bool
lock_bridge(struct session *s, const struct session_options *options,
            struct diags *diags)
{
    enum lock_result result = LOCK_IMPOSSIBLE;

    s->lock = -1;
    if (options->lock) {
        char *vconn = session_vconn_name(options->bridge);

        result = lock_take(options->bridge, vconn, options->lock, &s->lock,
                           diags);
        free(vconn);
    }
    return result != LOCK_BUSY;
}

struct session *
session_open(const struct session_options *options, struct diags *diags)
{
    struct session *s = lb_xcalloc(1, sizeof *s);

    s->bridge = lb_xstrdup(options->bridge);
    s->timeout = options->timeout;
    s->next_xid = 1;
    ovs_list_init(&s->inbox);
    if (lock_bridge(s, options, diags)) {
        s->vconn = session_connect(options, diags);
    }
    if (!s->vconn) {
        session_close(s);
        return NULL;
    }
    return s;
}

void
session_unlock(struct session *s)
{
    if (s->lock >= 0) {
        close(s->lock);
        s->lock = -1;
    }
}

void
session_close(struct session *s)
{
    if (s) {
        ofpbuf_list_delete(&s->inbox);
        vconn_close(s->vconn);
        session_unlock(s);
        free(s->bridge);
        free(s);
    }
}

static void
set_xid(struct ofpbuf *message, uint32_t xid)
{
    struct ofp_header *oh = message->data;

    oh->xid = htonl(xid);
}

static uint32_t
get_xid(const struct ofpbuf *message)
{
    const struct ofp_header *oh = message->data;

    return ntohl(oh->xid);
}

/* The OFPERR_* code if 'message' is an error message, else 0. */
static enum ofperr
error_code(const struct ofpbuf *message)
{
    enum ofptype type;

    if (ofptype_decode(&type, message->data) || type != OFPTYPE_ERROR) {
        return 0;
    }
    return ofperr_decode_msg(message->data, NULL);
}

bool
session_multipart(struct session *s, struct ofpbuf *request,
                  bool (*cb)(struct ofpbuf *part, void *aux), void *aux,
                  struct diags *diags)
{
    static const char doing[] = "reading what is installed";
    uint32_t xid = s->next_xid++;
    bool more = true;
    int error;

    set_xid(request, xid);
    error = session_send(s, request);
    while (!error && more) {
        struct ofpbuf *part;

        error = session_receive(s, &part);
        if (error) {
            break;
        }
        if (get_xid(part) == xid) {
            enum ofperr refused = error_code(part);

            if (refused) {
                error = refused;
            } else {
                more = ofpmp_more(part->data);
                error = cb(part, aux) ? 0 : EPROTO;
            }
        }
        ofpbuf_delete(part);
    }

    if (ofperr_is_valid(error)) {
        diag_error(diags, NULL, "bridge \"%s\" refused to tell what is "
                   "installed: %s", s->bridge, ofperr_get_name(error));
    } else if (error) {
        report_lost(s, doing, error, diags);
    }
    return !error;
}

static int
send_bundle_control(struct session *s, uint16_t type, uint32_t xid)
{
    struct ofputil_bundle_ctrl_msg bc = {
        .bundle_id = 1,
        .type = type,
        .flags = OFPBF_ATOMIC | OFPBF_ORDERED,
    };
    struct ofpbuf *message
        = ofputil_encode_bundle_ctrl_request(OFP15_VERSION, &bc);

    ofpmsg_update_length(message);
    set_xid(message, xid);
    return session_send(s, message);
}

static int
send_bundle_add(struct session *s, struct ofpbuf *message, uint32_t xid)
{
    struct ofputil_bundle_add_msg bam = {
        .bundle_id = 1,
        .flags = OFPBF_ATOMIC | OFPBF_ORDERED,
    };
    struct ofpbuf *add;

    set_xid(message, xid);
    bam.msg = message->data;
    add = ofputil_encode_bundle_add(OFP15_VERSION, &bam);
    set_xid(add, xid);
    return session_send(s, add);
}

static int
send_barrier(struct session *s, uint32_t xid)
{
    struct ofpbuf *message = ofputil_encode_barrier_request(OFP15_VERSION);

    set_xid(message, xid);
    return session_send(s, message);
}

/* Progress of a bundle. */
struct bundle {
    uint32_t first_xid;         /* Of message 0; the others follow. */
    size_t n;
    enum ofperr refusal;        /* The first one, or 0. */
    size_t refused;             /* Index of the message, or SIZE_MAX. */
};

/* Takes in messages up to the answer to 'xid', and notes refusals on the way.
 * An error that names one of the bundle's messages says more than one that
 * only says that the bundle failed. */
static int
await(struct session *s, uint32_t xid, struct bundle *b)
{
    for (;;) {
        struct ofpbuf *message;
        enum ofperr refusal;
        uint32_t got;
        int error = session_receive(s, &message);

        if (error) {
            return error;
        }
        got = get_xid(message);
        refusal = error_code(message);
        ofpbuf_delete(message);
        if (refusal && got - b->first_xid < b->n && b->refused == SIZE_MAX) {
            b->refusal = refusal;
            b->refused = got - b->first_xid;
        } else if (refusal && !b->refusal) {
            b->refusal = refusal;
        }
        if (got == xid) {
            return 0;
        }
    }
}

/* Sends and has checked all but the commit. */
static int
fill_bundle(struct session *s, struct ofpbuf **messages, struct bundle *b)
{
    uint32_t xid = s->next_xid++;
    int error = send_bundle_control(s, OFPBCT_OPEN_REQUEST, xid);

    if (!error) {
        error = await(s, xid, b);
    }
    if (error || b->refusal) {
        return error;
    }
    for (size_t i = 0; i < b->n && !error; i++) {
        error = send_bundle_add(s, messages[i], b->first_xid + i);
    }
    if (!error) {
        xid = s->next_xid++;
        error = send_barrier(s, xid);
    }
    return error ? error : await(s, xid, b);
}

enum bundle_result
session_bundle(struct session *s, struct ofpbuf **messages, size_t n,
               size_t *refused, int *error, struct diags *diags)
{
    struct bundle b = {
        .first_xid = s->next_xid, .n = n, .refused = SIZE_MAX
    };
    int lost;

    s->next_xid += n;
    lost = fill_bundle(s, messages, &b);
    if (!lost) {
        uint32_t xid = s->next_xid++;

        lost = send_bundle_control(s, (b.refusal ? OFPBCT_DISCARD_REQUEST
                                       : OFPBCT_COMMIT_REQUEST), xid);
        if (!lost) {
            lost = await(s, xid, &b);
        }
    }
    if (b.refusal) {
        *refused = b.refused;
        *error = b.refusal;
        return BUNDLE_REFUSED;
    } else if (lost) {
        report_lost(s, "sending the changes, which it may or may not have "
                    "made, all of them or none", lost, diags);
        return BUNDLE_FAILED;
    }
    return BUNDLE_COMMITTED;
}

bool
session_send_messages(struct session *s, struct ofpbuf **messages, size_t n,
                      int *refusal, struct diags *diags)
{
    struct bundle b = {
        .first_xid = s->next_xid, .n = n, .refused = SIZE_MAX
    };
    int lost = 0;

    s->next_xid += n;
    for (size_t i = 0; i < n; i++) {
        if (lost) {
            ofpbuf_delete(messages[i]);
        } else {
            set_xid(messages[i], b.first_xid + i);
            lost = session_send(s, messages[i]);
        }
    }
    if (!lost) {
        uint32_t xid = s->next_xid++;

        lost = send_barrier(s, xid);
        if (!lost) {
            lost = await(s, xid, &b);
        }
    }
    *refusal = b.refusal;
    if (lost) {
        report_lost(s, "cutting connections", lost, diags);
    }
    return !lost;
}
