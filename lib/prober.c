/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "lib/prober.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

#include <openvswitch/ofpbuf.h>

#include "lib/packet-out.h"
#include "policies/hash.h"

/* How often a SYN is sent anew because the server still had half a connection
 * of an earlier one. */
#define SYN_MAX 3

void
prober_init(struct prober *prober)
{
    hmap_init(&prober->asked);
}

void
prober_uninit(struct prober *prober)
{
    hmap_destroy(&prober->asked);
}

static uint32_t
hash_address(const struct ip *ip)
{
    uint64_t h = 0;

    for (size_t i = 0; i < sizeof ip->addr.s6_addr; i += sizeof(uint32_t)) {
        uint32_t word;

        memcpy(&word, ip->addr.s6_addr + i, sizeof word);
        h = hash_mix(h, word);
    }
    return h;
}

/* Sends a frame the way that 'inquiry' goes. */
static bool
send_frame(struct prober *prober, const struct inquiry *inquiry,
           const uint8_t *frame, size_t size)
{
    return prober->send(prober->aux, packet_out(frame, size, inquiry->vlan,
                                                inquiry->port));
}

static bool
send_question(struct prober *prober, struct inquiry *inquiry)
{
    uint8_t frame[PROBE_FRAME_SIZE];

    inquiry->n_sent++;
    return send_frame(prober, inquiry, frame,
                      probe_frame(frame, &inquiry->ends, inquiry->nonce));
}

bool
prober_ask(struct prober *prober, struct inquiry *inquiry)
{
    uint32_t nonce = 0;

    /* Only to tell answers apart. */
    if (getrandom(&nonce, sizeof nonce, GRND_NONBLOCK) != sizeof nonce) {
        nonce = (uintptr_t) inquiry;
    }
    inquiry->nonce = nonce;
    inquiry->n_sent = 0;
    hmap_insert(&prober->asked, &inquiry->node,
                hash_address(&inquiry->ends.dst));
    return send_question(prober, inquiry);
}

void
prober_forget(struct prober *prober, struct inquiry *inquiry)
{
    hmap_remove(&prober->asked, &inquiry->node);
}

/* Whether 'answer' comes from whom 'inquiry' asks, by the same means. */
static bool
is_about(const struct inquiry *inquiry, const struct probe_answer *answer)
{
    const struct probe_ends *a = &inquiry->ends, *b = &answer->ends;

    return (a->kind == b->kind && ip_equal(&a->dst, &b->dst)
            && (inquiry->vlan == VLAN_ANY || inquiry->vlan == answer->vlan)
            && (a->kind == PROBE_NEIGHBOR
                ? mac_equal(&a->src_mac, &b->src_mac)
                : ip_equal(&a->src, &b->src))
            && (a->kind != PROBE_TCP || (a->src_port == b->src_port
                                         && a->dst_port == b->dst_port)));
}

/* Ends what a server takes for a connection. */
static void
reset(struct prober *prober, const struct inquiry *inquiry,
      const struct probe_answer *answer)
{
    uint8_t frame[PROBE_FRAME_SIZE];

    send_frame(prober, inquiry, frame,
               probe_frame_reset(frame, &inquiry->ends, answer->nonce + 1));
}

/* A segment that answers 'inquiry'. */
static void
take_segment(struct prober *prober, struct inquiry *inquiry,
             const struct probe_answer *answer)
{
    if (answer->reset) {
        inquiry->answered(inquiry->aux, INQUIRY_REFUSED);
    } else if (answer->syn) {
        reset(prober, inquiry, answer);
        inquiry->answered(inquiry->aux, INQUIRY_ANSWERED);
    }
}

/* A segment of a connection that an earlier question has begun and whose end
 * was lost.  Until that is over, the server does not answer a new one. */
static void
take_stale(struct prober *prober, struct inquiry *inquiry,
           const struct probe_answer *answer)
{
    if (!answer->reset) {
        reset(prober, inquiry, answer);
        if (inquiry->n_sent < SYN_MAX) {
            send_question(prober, inquiry);
        }
    }
}

/* The question that 'answer' is to, by its number; else, with 'stale', one to
 * the same host.  NULL if there is none. */
static struct inquiry *
find_inquiry(const struct prober *prober, const struct probe_answer *answer,
             bool stale)
{
    struct inquiry *inquiry;

    HMAP_FOR_EACH_WITH_HASH (inquiry, node, hash_address(&answer->ends.dst),
                             &prober->asked) {
        if (is_about(inquiry, answer)
            && (stale ? mac_equal(&inquiry->ends.dst_mac,
                                  &answer->ends.dst_mac)
                : answer->ends.kind == PROBE_NEIGHBOR
                || answer->nonce == inquiry->nonce)) {
            return inquiry;
        }
    }
    return NULL;
}

void
prober_take(struct prober *prober, const void *frame, size_t size)
{
    struct probe_answer answer;
    struct inquiry *inquiry;

    if (!probe_frame_read(frame, size, &answer)) {
        return;
    }
    inquiry = find_inquiry(prober, &answer, false);
    if (answer.ends.kind != PROBE_TCP) {
        if (inquiry) {
            inquiry->answered(inquiry->aux, INQUIRY_ANSWERED);
        }
    } else if (inquiry) {
        take_segment(prober, inquiry, &answer);
    } else {
        inquiry = find_inquiry(prober, &answer, true);
        if (inquiry) {
            take_stale(prober, inquiry, &answer);
        }
    }
}
