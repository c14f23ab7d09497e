/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "lib/learned.h"

#include <arpa/inet.h>
#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include <net/ethernet.h>

#include <openvswitch/ofp-actions.h>
#include <openvswitch/ofp-flow.h>
#include <openvswitch/ofp-msgs.h>

#include "lib/layout.h"
#include "lib/turns.h"

/* The value that the flow 'fs' loads into 'reg', 0 if none. */
static uint32_t
loaded_value(const struct ofputil_flow_stats *fs, enum mf_field_id reg)
{
    const struct ofpact *act;

    OFPACT_FOR_EACH (act, fs->ofpacts, fs->ofpacts_len) {
        if (act->type == OFPACT_SET_FIELD) {
            const struct ofpact_set_field *set = ofpact_get_SET_FIELD(act);

            if (set->field->id == reg) {
                return ntohl(set->value->be32);
            }
        }
    }
    return 0;
}

static void
keep_turn(struct learned *learned, const struct ofputil_flow_stats *fs)
{
    learned->turns = lb_grow(learned->turns, learned->n_turns,
                             &learned->allocated_turns,
                             sizeof *learned->turns);
    learned->turns[learned->n_turns++] = (struct learned_turn) {
        .pool = cookie_pool(be64toh(fs->cookie)),
        .turn = loaded_value(fs, REG_TURN),
    };
}

static void
keep_client(struct learned *learned, const struct ofputil_flow_stats *fs)
{
    const struct flow *flow = &fs->match.flow;
    struct learned_client *client;

    learned->clients = lb_grow(learned->clients, learned->n_clients,
                               &learned->allocated_clients,
                               sizeof *learned->clients);
    client = &learned->clients[learned->n_clients++];
    *client = (struct learned_client) {
        .pool = cookie_pool(be64toh(fs->cookie)),
        .member = cookie_member(be64toh(fs->cookie)),
        .duration = fs->duration_sec,
        .idle_timeout = fs->idle_timeout,
        .idle_age = fs->idle_age,
    };
    if (flow->dl_type == htons(ETHERTYPE_IP)) {
        client->ip = ip_from_v4(ntohl(flow->nw_src));
    } else {
        client->ip.addr = flow->ipv6_src;
    }
}

/* What session_multipart() hands to keep_part(). */
struct learned_reader {
    struct learned *learned;
    struct ofpbuf acts;         /* Scratch. */
};

static bool
keep_part(struct ofpbuf *part, void *r_)
{
    struct learned_reader *r = r_;
    struct ofputil_flow_stats fs;
    int retval;

    while (!(retval = ofputil_decode_flow_stats_reply(&fs, part, true,
                                                      &r->acts))) {
        if (cookie_kind(be64toh(fs.cookie)) == COOKIE_TURN) {
            keep_turn(r->learned, &fs);
        } else {
            keep_client(r->learned, &fs);
        }
    }
    return retval == EOF;
}

/* Reads all flows of one kind. */
static bool
read_kind(struct session *session, enum cookie_kind kind,
          struct learned *learned, struct diags *diags)
{
    struct learned_reader r = { .learned = learned };
    struct ofputil_flow_stats_request request = {
        .cookie = htobe64(cookie_make(kind, 0, 0)),
        .cookie_mask = htobe64(UINT64_C(0xffffffff00000000)),
        .out_port = OFPP_ANY,
        .out_group = OFPG_ANY,
        .table_id = OFPTT_ALL,
    };
    bool ok;

    match_init_catchall(&request.match);
    ofpbuf_init(&r.acts, 256);
    ok = session_multipart(
        session, ofputil_encode_flow_stats_request(&request,
                                                   OFPUTIL_P_OF15_OXM),
        keep_part, &r, diags);
    ofpbuf_uninit(&r.acts);
    return ok;
}

bool
learned_read(struct session *session, const struct assignments *assignments,
             struct learned *learned, struct diags *diags)
{
    bool has_turns = false, has_clients = false;

    memset(learned, 0, sizeof *learned);
    for (size_t i = 0; i < assignments->n_pools; i++) {
        const struct pool *pool = assignments->pools[i].pool;

        has_turns |= pool_selection(pool) == POLICY_BY_TURN;
        has_clients |= pool->affinity.by != AFFINITY_NONE;
    }
    if ((has_turns && !read_kind(session, COOKIE_TURN, learned, diags))
        || (has_clients
            && !read_kind(session, COOKIE_AFFINITY, learned, diags))) {
        learned_uninit(learned);
        return false;
    }
    return true;
}

void
learned_uninit(struct learned *learned)
{
    free(learned->turns);
    free(learned->clients);
    memset(learned, 0, sizeof *learned);
}

/* The turn that is next if all are alive.  There must be one. */
static size_t
next_turn(const struct learned *learned, const struct assignment *a,
          const struct turns *turns)
{
    for (size_t i = 0; i < learned->n_turns; i++) {
        if (learned->turns[i].pool == a->id) {
            return turn_find(a, turns, learned->turns[i].turn);
        }
    }
    return 0;
}

size_t
learned_next(const struct learned *learned, const struct assignment *a,
             const struct reach *reach, size_t *meant)
{
    bool *dead = lb_xcalloc(a->pool->n_servers, sizeof *dead);
    size_t server = SIZE_MAX;
    struct turns turns;

    *meant = SIZE_MAX;
    turns_compute(a->pool, &turns);
    for (size_t i = 0; i < a->pool->n_servers; i++) {
        dead[i] = reach_is_down(reach, a, i);
    }
    if (turns.n) {
        size_t turn = next_turn(learned, a, &turns);

        *meant = turns.servers[turn];
        turn = turn_pass_over(&turns, turn, dead);
        server = turn == SIZE_MAX ? SIZE_MAX : turns.servers[turn];
    }
    turns_uninit(&turns);
    free(dead);
    return server;
}

const struct learned_client *
learned_find(const struct learned *learned, const struct assignment *a,
             const struct ip *ip)
{
    for (size_t i = 0; i < learned->n_clients; i++) {
        const struct learned_client *client = &learned->clients[i];

        if (client->pool == a->id && ip_equal(&client->ip, ip)) {
            return client;
        }
    }
    return NULL;
}

size_t
learned_n_clients(const struct learned *learned, const struct assignment *a,
                  size_t index)
{
    size_t n = 0;

    for (size_t i = 0; i < learned->n_clients; i++) {
        n += (learned->clients[i].pool == a->id
              && learned->clients[i].member == a->members[index]);
    }
    return n;
}
