/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "lib/watch.h"

#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <openvswitch/ofp-connection.h>
#include <openvswitch/ofp-monitor.h>
#include <openvswitch/ofp-msgs.h>
#include <openvswitch/ofp-packet.h>
#include <openvswitch/ofp-port.h>
#include <openvswitch/ofp-switch.h>
#include <openvswitch/ofp-util.h>
#include <openvswitch/poll-loop.h>
#include <openvswitch/util.h>
#include <openvswitch/vconn.h>

#include "lib/layout.h"
#include "lib/session-target.h"
#include "lib/util.h"

/* Tables in which nothing is learned, so that what happens there is somebody's
 * doing. */
static const uint8_t quiet_tables[] = {
    TABLE_FORWARD, TABLE_REVERSE, TABLE_SERVER, TABLE_RECORD, TABLE_RETURN,
    TABLE_LOOK,
};

/* Messages that may wait for the switch to take them. */
#define QUEUE_MAX 8192

/* All kinds of messages that a switch sends unasked. */
#define ASYNC_ALL ((1u << OAM_PACKET_IN) | (1u << OAM_PORT_STATUS) \
                   | (1u << OAM_FLOW_REMOVED) | (1u << OAM_ROLE_STATUS) \
                   | (1u << OAM_TABLE_STATUS) | (1u << OAM_REQUESTFORWARD))

struct watch {
    const struct session_options *options;  /* Borrowed. */
    char *name;                 /* Of the vconn. */
    void (*event)(void *aux, enum watch_event);
    void (*answer)(void *aux, const void *frame, size_t size);
    void *aux;

    struct vconn *vconn;        /* NULL while there is none. */
    bool connected;
    long long int retry;        /* When to connect, if there is none. */
    long long int deadline;     /* Of what is waited for. */
    bool asked;                 /* For a sign of life, and nothing came. */
    uint64_t n_pings, n_pongs;
    long long int pinged;       /* When, the last time. */
    int error;                  /* Why there is no connection, or 0. */
    struct ovs_list queue;      /* Of struct ofpbuf, still to be sent. */
    size_t n_queue;

    bool has_tables;
    struct settings settings;
    bool subscribed;
};

struct watch *
watch_create(const struct session_options *options,
             void (*event)(void *aux, enum watch_event),
             void (*answer)(void *aux, const void *frame, size_t size),
             void *aux)
{
    struct watch *w = lb_xcalloc(1, sizeof *w);

    w->options = options;
    w->name = session_vconn_name(options->bridge);
    w->event = event;
    w->answer = answer;
    w->aux = aux;
    ovs_list_init(&w->queue);
    return w;
}

void
watch_destroy(struct watch *w)
{
    if (w) {
        vconn_close(w->vconn);
        ofpbuf_list_delete(&w->queue);
        free(w->name);
        free(w);
    }
}

void
watch_set_tables(struct watch *w, const struct settings *settings)
{
    if (!w->has_tables || w->settings.entry_table != settings->entry_table
        || w->settings.table_base != settings->table_base) {
        w->settings = *settings;
        w->has_tables = true;
        w->subscribed = false;
    }
}

const char *
watch_error(const struct watch *w)
{
    return (w->error == EAGAIN ? "no answer"
            : w->error > 0 ? strerror(w->error) : "connection closed");
}

static void
enqueue(struct watch *w, struct ofpbuf *message)
{
    ovs_list_push_back(&w->queue, &message->list_node);
    w->n_queue++;
}

uint64_t
watch_ping(struct watch *w)
{
    if (w->connected
        && (w->n_pings == w->n_pongs || w->pinged != session_now())) {
        w->n_pings++;
        w->pinged = session_now();
        enqueue(w, ofputil_encode_echo_request(OFP15_VERSION));
    }
    return w->n_pings;
}

bool
watch_has_answered(const struct watch *w, uint64_t ping)
{
    return w->n_pongs >= ping;
}

bool
watch_is_up(const struct watch *w)
{
    return w->connected;
}

static void
lose(struct watch *w)
{
    bool was = w->connected;

    vconn_close(w->vconn);
    w->vconn = NULL;
    ofpbuf_list_delete(&w->queue);
    ovs_list_init(&w->queue);
    w->n_queue = 0;
    w->connected = w->subscribed = w->asked = false;
    w->n_pongs = w->n_pings;
    w->retry = session_now() + WATCH_RETRY;
    if (was) {
        w->event(w->aux, WATCH_DOWN);
    }
}

/* Sends as much of the queue as the switch takes now.  False if the connection
 * is lost. */
static bool
send_queue(struct watch *w)
{
    while (!ovs_list_is_empty(&w->queue)) {
        struct ofpbuf *message = ofpbuf_from_list(
            ovs_list_pop_front(&w->queue));
        int error = vconn_send(w->vconn, message);

        if (!error) {
            w->n_queue--;
        } else if (error == EAGAIN) {
            ovs_list_push_front(&w->queue, &message->list_node);
            return true;
        } else {
            ofpbuf_delete(message);
            lose(w);
            return false;
        }
    }
    return true;
}

/* Sends 'message', which it takes over.  False if the connection is lost. */
static bool
send_message(struct watch *w, struct ofpbuf *message)
{
    enqueue(w, message);
    return w->n_queue > 1 || send_queue(w);
}

bool
watch_send(struct watch *w, struct ofpbuf *message)
{
    if (!w->connected || w->n_queue >= QUEUE_MAX) {
        ofpbuf_delete(message);
        return false;
    }
    enqueue(w, message);
    return true;
}

/* Has the switch tell of ports, and give us what is for CONTROLLER_ID.  By
 * itself it tells a connection of this kind nothing; what changes that also
 * says how the bridge treats fragments, so one has to ask how first. */
static void
ask_for_config(struct watch *w)
{
    struct ofputil_async_cfg async = OFPUTIL_ASYNC_CFG_INIT;
    struct nx_controller_id *id;
    struct ofpbuf *message;

    async.primary[OAM_PACKET_IN] = 1u << OFPR_ACTION;
    async.primary[OAM_PORT_STATUS] = 1u << OFPPR_ADD | 1u << OFPPR_DELETE;
    message = ofpraw_alloc(OFPRAW_NXT_SET_CONTROLLER_ID, OFP15_VERSION, 0);
    id = ofpbuf_put_zeros(message, sizeof *id);
    id->controller_id = htons(CONTROLLER_ID);
    if (send_message(w, ofputil_encode_set_async_config(
                            &async, ASYNC_ALL, OFP15_VERSION))
        && send_message(w, message)) {
        send_message(w, ofpraw_alloc(OFPRAW_OFPT_GET_CONFIG_REQUEST,
                                     OFP15_VERSION, 0));
    }
}

static void
take_config(struct watch *w, const struct ofp_header *reply)
{
    struct ofputil_switch_config config;

    ofputil_decode_get_config_reply(reply, &config);
    config.miss_send_len = UINT16_MAX;
    config.invalid_ttl_to_controller = -1;
    send_message(w, ofputil_encode_set_config(&config, OFP15_VERSION));
}

/* Gives away a packet that is an answer. */
static void
take_packet(struct watch *w, const struct ofp_header *message)
{
    struct ofputil_packet_in pin;

    if (!ofputil_decode_packet_in(message, false, NULL, NULL, &pin, NULL, NULL,
                                  NULL)
        && be64toh((OVS_FORCE uint64_t) pin.cookie)
        == cookie_make(COOKIE_CHECK, 0, 0)) {
        w->answer(w->aux, pin.packet, pin.packet_len);
    }
}

static bool
monitor_table(struct watch *w, uint32_t id, uint8_t table)
{
    struct ofputil_flow_monitor_request request = {
        .id = id,
        .command = OFPFMC_ADD,
        .flags = OFPFMF_ADD | OFPFMF_REMOVED | OFPFMF_MODIFY,
        .out_port = OFPP_ANY,
        .out_group = OFPG_ANY,
        .table_id = table,
    };
    struct ofpbuf *message = ofpbuf_new(0);

    match_init_catchall(&request.match);
    ofputil_append_flow_monitor_request(&request, message,
                                        OFPUTIL_P_OF15_OXM);
    ofpmsg_update_length(message);
    return send_message(w, message);
}

/* Has the switch tell of changes. */
static void
subscribe(struct watch *w)
{
    struct ofputil_async_cfg async = OFPUTIL_ASYNC_CFG_INIT;
    uint32_t id = 1;

    w->subscribed = true;
    async.primary[OAM_REQUESTFORWARD] = 1u << OFPRFR_GROUP_MOD;
    async.secondary[OAM_REQUESTFORWARD] = 1u << OFPRFR_GROUP_MOD;
    if (!send_message(w, ofputil_encode_set_async_config(
                             &async, 1u << OAM_REQUESTFORWARD,
                             OFP15_VERSION))
        || !monitor_table(w, id++, w->settings.entry_table)) {
        return;
    }
    for (size_t i = 0; i < LB_ARRAY_SIZE(quiet_tables); i++) {
        if (!monitor_table(w, id++,
                           w->settings.table_base + quiet_tables[i])) {
            return;
        }
    }
}

/* Whether one of the updates in 'message' is of a flow of lbgen's, and not one
 * that comes and goes by itself. */
static bool
tells_of_ours(struct ofpbuf *message)
{
    struct ofputil_flow_update update;
    struct ofpbuf acts;
    bool ours = false;

    ofpbuf_init(&acts, 64);
    while (!ofputil_decode_flow_update(&update, message, &acts)) {
        uint64_t cookie = be64toh((OVS_FORCE uint64_t) update.cookie);
        enum cookie_kind kind = cookie_kind(cookie);

        ours = ours || (update.event != OFPFME_ABBREV
                        && (cookie & COOKIE_MASK) == COOKIE_MAGIC
                        && kind != COOKIE_PROBE && !cookie_is_learned(kind));
    }
    ofpbuf_uninit(&acts);
    return ours;
}

static void
take_message(struct watch *w, struct ofpbuf *message)
{
    enum ofptype type;

    w->asked = false;
    w->deadline = session_now() + WATCH_PATIENCE;
    if (ofptype_decode(&type, message->data)) {
        return;
    }
    switch ((int) type) {
    case OFPTYPE_ECHO_REQUEST:
        send_message(w, ofputil_encode_echo_reply(message->data));
        break;
    case OFPTYPE_ECHO_REPLY:
        w->n_pongs++;
        break;
    case OFPTYPE_FLOW_MONITOR_STATS_REPLY:
        if (tells_of_ours(message)) {
            w->event(w->aux, WATCH_CHANGED);
        }
        break;
    case OFPTYPE_GET_CONFIG_REPLY:
        take_config(w, message->data);
        break;
    case OFPTYPE_PACKET_IN:
        take_packet(w, message->data);
        break;
    case OFPTYPE_PORT_STATUS:
    case OFPTYPE_REQUESTFORWARD:
    case OFPTYPE_FLOW_MONITOR_PAUSED:
    case OFPTYPE_FLOW_MONITOR_RESUMED:
        w->event(w->aux, WATCH_CHANGED);
        break;
    default:
        break;
    }
}

/* Goes on with connecting. */
static void
connect_run(struct watch *w)
{
    long long int now = session_now();

    if (!w->vconn) {
        if (now < w->retry) {
            return;
        }
        w->error = vconn_open(w->name, 1u << OFP15_VERSION, 0, &w->vconn);
        if (w->error) {
            w->vconn = NULL;
            w->retry = now + WATCH_RETRY;
            return;
        }
        w->deadline = now + WATCH_PATIENCE;
    }
    vconn_run(w->vconn);
    w->error = vconn_connect(w->vconn);
    switch (w->error) {
    case 0:
        w->connected = true;
        w->deadline = now + WATCH_PATIENCE;
        ask_for_config(w);
        if (w->connected) {
            w->event(w->aux, WATCH_UP);
        }
        break;
    case EAGAIN:
        if (now >= w->deadline) {
            lose(w);
        }
        break;
    default:
        lose(w);
        break;
    }
}

/* Asks for a sign of life, and gives up a switch that gives none. */
static void
keep_alive(struct watch *w)
{
    if (session_now() < w->deadline) {
        return;
    }
    if (w->asked) {
        lose(w);
    } else {
        w->asked = true;
        w->deadline = session_now() + WATCH_PATIENCE;
        watch_ping(w);
    }
}

void
watch_run(struct watch *w)
{
    struct ofpbuf *message;
    int error = 0;

    if (!w->connected) {
        connect_run(w);
    }
    if (w->connected) {
        vconn_run(w->vconn);
        send_queue(w);
        while (w->connected && !(error = vconn_recv(w->vconn, &message))) {
            take_message(w, message);
            ofpbuf_delete(message);
        }
        if (w->connected && error != EAGAIN) {
            lose(w);
        }
    }
    if (w->connected && w->has_tables && !w->subscribed) {
        subscribe(w);
    }
    if (w->connected) {
        keep_alive(w);
    }
    if (w->connected) {
        send_queue(w);          /* What all that gave rise to. */
    }
}

void
watch_wait(struct watch *w)
{
    if (!w->vconn) {
        poll_timer_wait_until(w->retry);
        return;
    }
    vconn_run_wait(w->vconn);
    if (w->connected) {
        vconn_recv_wait(w->vconn);
        if (w->n_queue) {
            vconn_send_wait(w->vconn);
        }
    } else {
        vconn_connect_wait(w->vconn);
    }
    poll_timer_wait_until(w->deadline);
}
