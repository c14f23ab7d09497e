/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "lib/discover-probe.h"

#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <net/ethernet.h>
#include <net/if_arp.h>
#include <netinet/icmp6.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include <openvswitch/match.h>
#include <openvswitch/ofp-actions.h>
#include <openvswitch/ofp-errors.h>
#include <openvswitch/ofp-flow.h>

#include "lib/actions.h"
#include "lib/discover-frame.h"
#include "lib/layout.h"
#include "lib/packet-out.h"

/* Answers to a probe get out of any pipeline here. */
#define PROBE_TABLE 0
#define PROBE_PRIORITY UINT16_MAX

/* Answers that are noted for each question.  More than one is a mistake that
 * is reported; no host shall be able to fill the switch with flows. */
#define ANSWERS_PER_QUESTION 8

/* Messages that are sent at once.  All hosts hear all questions, and a host's
 * queue has an end: by default, Linux drops what is beyond 1000. */
#define BATCH 256

static uint64_t
probe_cookie(const struct probe *probe)
{
    return cookie_make(COOKIE_PROBE, probe->nonce >> 16, probe->nonce);
}

/* The message that asks 'question'. */
static struct ofpbuf *
question_message(const struct probe *probe, const struct question *question)
{
    uint8_t frame[DISCOVER_FRAME_SIZE];
    size_t size = discover_frame(frame, &probe->mac, &question->ip);

    return packet_out(frame, size, question->vlan ? question->vlan : VLAN_NONE,
                      question->port);
}

/* Match the answers of a family to 'probe'. */
static void
match_answers(const struct probe *probe, enum family family,
              struct match *match)
{
    struct eth_addr mac;

    memcpy(mac.ea, probe->mac.ea, sizeof mac.ea);
    match_init_catchall(match);
    if (family == FAMILY_V4) {
        match_set_dl_type(match, htons(ETHERTYPE_ARP));
        match_set_nw_proto(match, ARPOP_REPLY);
        match_set_arp_tha(match, mac);
    } else {
        match_set_dl_dst(match, mac);
        match_set_dl_type(match, htons(ETHERTYPE_IPV6));
        match_set_nw_proto(match, IPPROTO_ICMPV6);
        match_set_nw_ttl(match, 255);
        match_set_icmp_type(match, ND_NEIGHBOR_ADVERT);
        match_set_icmp_code(match, 0);
    }
}

/* The message that adds the flow for answers of a family, at most 'limit' of
 * them. */
static struct ofpbuf *
catch_message(const struct probe *probe, enum family family, uint32_t limit)
{
    struct ofputil_flow_mod fm = {
        .priority = PROBE_PRIORITY,
        .table_id = PROBE_TABLE,
        .command = OFPFC_ADD,
        .new_cookie = htobe64(probe_cookie(probe)),
        .hard_timeout = PROBE_LIFETIME,
        .buffer_id = UINT32_MAX,
        .out_port = OFPP_ANY,
        .out_group = OFPG_ANY,
    };
    struct ofpbuf *message;
    struct ofpbuf acts;
    struct match match;

    match_answers(probe, family, &match);
    ofpbuf_init(&acts, 256);
    act_learn_answer(&acts, probe->table, probe_cookie(probe), family,
                     PROBE_LIFETIME, limit);
    minimatch_init(&fm.match, &match);
    fm.ofpacts = acts.data;
    fm.ofpacts_len = acts.size;
    message = ofputil_encode_flow_mod(&fm, OFPUTIL_P_OF15_OXM);
    minimatch_destroy(&fm.match);
    ofpbuf_uninit(&acts);
    return message;
}

/* The message that deletes those flows and all answers: they share a
 * cookie. */
static struct ofpbuf *
delete_message(const struct probe *probe)
{
    struct ofputil_flow_mod fm = {
        .table_id = OFPTT_ALL,
        .command = OFPFC_DELETE,
        .cookie = htobe64(probe_cookie(probe)),
        .cookie_mask = OVS_BE64_MAX,
        .new_cookie = OVS_BE64_MAX,
        .buffer_id = UINT32_MAX,
        .out_port = OFPP_ANY,
        .out_group = OFPG_ANY,
    };
    struct ofpbuf *message;
    struct match match;

    match_init_catchall(&match);
    minimatch_init(&fm.match, &match);
    message = ofputil_encode_flow_mod(&fm, OFPUTIL_P_OF15_OXM);
    minimatch_destroy(&fm.match);
    return message;
}

/* Sends 'n' messages, which it takes over. */
static bool
send_messages(struct probe *probe, struct ofpbuf **messages, size_t n,
              struct diags *diags)
{
    size_t refused;
    int error;
    enum bundle_result result = session_bundle(probe->session, messages, n,
                                               &refused, &error, diags);

    if (result == BUNDLE_REFUSED) {
        diag_error(diags, NULL, "bridge \"%s\" refused to look for servers: "
                   "%s; give their mac and interface",
                   session_bridge(probe->session), ofperr_get_name(error));
    }
    for (size_t i = 0; i < n; i++) {
        ofpbuf_delete(messages[i]);
    }
    probe->broken = result != BUNDLE_COMMITTED;
    return !probe->broken;
}

/* Sends the 'n_first' messages 'first', which it takes over, and the questions
 * that are not answered. */
static bool
send_questions(struct probe *probe, struct ofpbuf **first, size_t n_first,
               const struct question *questions, size_t n,
               struct diags *diags)
{
    struct ofpbuf *messages[BATCH];
    size_t n_messages = 0;

    while (n_messages < n_first) {
        messages[n_messages] = first[n_messages];
        n_messages++;
    }
    for (size_t i = 0; i < n; i++) {
        if (!questions[i].answered) {
            messages[n_messages++] = question_message(probe, &questions[i]);
        }
        if (n_messages == BATCH) {
            if (!send_messages(probe, messages, n_messages, diags)) {
                return false;
            }
            n_messages = 0;
        }
    }
    return !n_messages || send_messages(probe, messages, n_messages, diags);
}

bool
probe_start(struct probe *probe, struct session *session, uint8_t table_base,
            const struct question *questions, size_t n, struct diags *diags)
{
    struct ofpbuf *catch[N_FAMILIES];
    size_t counts[N_FAMILIES] = { 0 };
    size_t n_catch = 0;
    uint32_t nonce;

    memset(probe, 0, sizeof *probe);
    probe->session = session;
    probe->table = table_base + TABLE_ANSWERS;
    if (getrandom(&nonce, sizeof nonce, 0) != sizeof nonce) {
        diag_error(diags, NULL, "cannot get a random number: %s",
                   strerror(errno));
        probe->broken = true;
        return false;
    }
    probe->nonce = nonce;

    /* Locally administered (IEEE 802), and no MAC of a VIP. */
    probe->mac = (struct mac) {
        .ea = { 0x06, 0x6c, nonce >> 24, nonce >> 16 & 0xff, nonce >> 8 & 0xff,
                nonce & 0xff },
    };
    for (size_t i = 0; i < n; i++) {
        counts[ip_family(&questions[i].ip)]++;
    }
    for (int family = 0; family < N_FAMILIES; family++) {
        if (counts[family]) {
            catch[n_catch++] = catch_message(
                probe, family, counts[family] * ANSWERS_PER_QUESTION);
        }
    }
    return send_questions(probe, catch, n_catch, questions, n, diags);
}

bool
probe_repeat(struct probe *probe, const struct question *questions, size_t n,
             struct diags *diags)
{
    return send_questions(probe, NULL, 0, questions, n, diags);
}

/* Whose answer 'flow' has noted, and what MAC it has; see
 * act_learn_answer(). */
static void
read_answer(const struct flow *flow, struct answer *answer)
{
    if (flow->dl_type == htons(ETHERTYPE_ARP)) {
        answer->ip = ip_from_v4(ntohl(flow->nw_src));
        memcpy(answer->mac.ea, flow->arp_sha.ea, sizeof answer->mac.ea);
    } else {
        answer->ip.addr = flow->nd_target;
        memcpy(answer->mac.ea, flow->arp_tha.ea, sizeof answer->mac.ea);
    }
    answer->vlan = ntohs(flow->vlans[0].tci) & 0xfff;
    answer->port = (OVS_FORCE uint16_t) flow->in_port.ofp_port;
}

/* Keeps what the switch has learned, unless it makes no sense. */
static void
keep_answer(struct probe *probe, const struct flow *flow)
{
    static const struct mac zero;
    struct answer *answer;

    probe->answers = lb_grow(probe->answers, probe->n_answers,
                             &probe->allocated, sizeof *probe->answers);
    answer = &probe->answers[probe->n_answers];
    read_answer(flow, answer);
    if (!(answer->mac.ea[0] & 1) && !mac_equal(&answer->mac, &zero)) {
        probe->n_answers++;
    }
}

static bool
read_part(struct ofpbuf *part, void *probe_)
{
    struct probe *probe = probe_;
    struct ofputil_flow_stats fs;
    struct ofpbuf acts;
    int retval;

    ofpbuf_init(&acts, 64);
    while (!(retval = ofputil_decode_flow_stats_reply(&fs, part, true,
                                                      &acts))) {
        keep_answer(probe, &fs.match.flow);
    }
    ofpbuf_uninit(&acts);
    return retval == EOF;
}

int
probe_compare(const struct ip *a, uint16_t a_vlan,
              const struct ip *b, uint16_t b_vlan)
{
    int cmp = memcmp(a, b, sizeof *a);

    return cmp ? cmp : a_vlan < b_vlan ? -1 : a_vlan > b_vlan;
}

static int
compare_answers(const void *a_, const void *b_)
{
    const struct answer *a = a_;
    const struct answer *b = b_;
    int cmp = probe_compare(&a->ip, a->vlan, &b->ip, b->vlan);

    if (!cmp) {
        cmp = memcmp(&a->mac, &b->mac, sizeof a->mac);
    }
    return cmp ? cmp : a->port < b->port ? -1 : a->port > b->port;
}

bool
probe_read(struct probe *probe, struct diags *diags)
{
    struct ofputil_flow_stats_request request = {
        .cookie = htobe64(probe_cookie(probe)),
        .cookie_mask = OVS_BE64_MAX,
        .out_port = OFPP_ANY,
        .out_group = OFPG_ANY,
        .table_id = probe->table,
    };

    match_init_catchall(&request.match);
    probe->n_answers = 0;
    if (!session_multipart(
            probe->session,
            ofputil_encode_flow_stats_request(&request, OFPUTIL_P_OF15_OXM),
            read_part, probe, diags)) {
        probe->broken = true;
        return false;
    }
    if (probe->n_answers) {
        qsort(probe->answers, probe->n_answers, sizeof *probe->answers,
              compare_answers);
    }
    return true;
}

bool
probe_stop(struct probe *probe, struct diags *diags)
{
    struct ofpbuf *message;

    free(probe->answers);
    probe->answers = NULL;
    if (probe->broken) {
        return false;
    }
    message = delete_message(probe);
    return send_messages(probe, &message, 1, diags);
}
