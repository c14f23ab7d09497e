/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "lib/ofstate.h"

#include <assert.h>
#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include <openvswitch/dynamic-string.h>
#include <openvswitch/ofp-msgs.h>

#include "lib/layout.h"
#include "lib/util.h"

void
ofstate_init(struct ofstate *state)
{
    hmap_init(&state->flows);
    state->first_flow = state->last_flow = NULL;
    hmap_init(&state->groups);
}

static void
flow_destroy(struct of_flow *flow)
{
    minimatch_destroy(&flow->match);
    free(flow);
}

void
ofstate_uninit(struct ofstate *state)
{
    struct of_flow *flow, *next;
    struct of_group *group;

    for (flow = state->first_flow; flow; flow = next) {
        next = flow->next;
        flow_destroy(flow);
    }
    hmap_destroy(&state->flows);
    HMAP_FOR_EACH_SAFE (group, node, &state->groups) {
        hmap_remove(&state->groups, &group->node);
        ofpbuf_delete(group->message);
        free(group);
    }
    hmap_destroy(&state->groups);
}

static uint32_t
flow_hash(uint8_t table, uint16_t priority, const struct minimatch *match)
{
    return minimatch_hash(match, (uint32_t) table << 16 | priority);
}

static struct of_flow *
find_flow(const struct ofstate *state, uint8_t table, uint16_t priority,
          const struct minimatch *match, uint32_t hash)
{
    struct of_flow *flow;

    HMAP_FOR_EACH_WITH_HASH (flow, node, hash, &state->flows) {
        if (flow->table == table && flow->priority == priority
            && minimatch_equal(&flow->match, match)) {
            return flow;
        }
    }
    return NULL;
}

struct of_flow *
ofstate_find_flow(const struct ofstate *state, const struct of_flow *like)
{
    return find_flow(state, like->table, like->priority, &like->match,
                     like->node.hash);
}

bool
ofstate_has_flow(const struct ofstate *state, uint8_t table,
                 uint16_t priority, const struct minimatch *match)
{
    return find_flow(state, table, priority, match,
                     flow_hash(table, priority, match)) != NULL;
}

/* Whether some packet matches both: no bit that both look at differs. */
static bool
matches_overlap(const struct minimatch *a_, const struct minimatch *b_)
{
    struct match a, b;
    const uint8_t *a_bits = (const uint8_t *) &a.flow;
    const uint8_t *b_bits = (const uint8_t *) &b.flow;
    const uint8_t *a_mask = (const uint8_t *) &a.wc.masks;
    const uint8_t *b_mask = (const uint8_t *) &b.wc.masks;

    minimatch_expand(a_, &a);
    minimatch_expand(b_, &b);
    for (size_t i = 0; i < sizeof a.flow; i++) {
        if ((a_bits[i] ^ b_bits[i]) & a_mask[i] & b_mask[i]) {
            return false;
        }
    }
    return true;
}

struct of_flow *
ofstate_find_overlap(const struct ofstate *state, const struct of_flow *like)
{
    struct of_flow *found = NULL;
    struct of_flow *flow;

    OFSTATE_FOR_EACH_FLOW (flow, state) {
        if (flow->table == like->table && flow->priority == like->priority
            && matches_overlap(&flow->match, &like->match)
            && (!found || of_flow_compare(flow, found) < 0)) {
            found = flow;
        }
    }
    return found;
}

struct of_group *
ofstate_find_group(const struct ofstate *state, uint32_t id)
{
    struct of_group *group;

    HMAP_FOR_EACH_WITH_HASH (group, node, id, &state->groups) {
        if (group->id == id) {
            return group;
        }
    }
    return NULL;
}

/* Sets the transaction id to 0, so that equal messages have equal bytes. */
static struct ofpbuf *
without_xid(struct ofpbuf *message)
{
    struct ofp_header *oh = message->data;

    oh->xid = 0;
    ofpbuf_trim(message);
    return message;
}

/* Creates a flow with copies of 'message' and 'match', and zeros else. */
static struct of_flow *
create_flow(const struct ofpbuf *message, const struct minimatch *match)
{
    struct of_flow *flow = lb_xmalloc(sizeof *flow + message->size);

    memset(flow, 0, sizeof *flow);
    memcpy(flow->bytes, message->data, message->size);
    ofpbuf_use_const(&flow->buf, flow->bytes, message->size);
    flow->message = &flow->buf;
    minimatch_clone(&flow->match, match);
    return flow;
}

/* The message that adds the flow, with transaction id 0, so that equal ones
 * have equal bytes.  The caller frees it. */
static struct ofpbuf *
encode_flow(const struct ofputil_flow_mod *fm)
{
    struct ofpbuf *message = ofputil_encode_flow_mod(fm, OFPUTIL_P_OF15_OXM);

    ((struct ofp_header *) message->data)->xid = 0;
    return message;
}

static void
insert_flow(struct ofstate *state, struct of_flow *flow, uint32_t hash)
{
    hmap_insert(&state->flows, &flow->node, hash);
    if (state->last_flow) {
        state->last_flow->next = flow;
    } else {
        state->first_flow = flow;
    }
    state->last_flow = flow;
}

struct of_flow *
ofstate_add_flow(struct ofstate *state, const struct ofputil_flow_mod *fm)
{
    uint32_t hash = flow_hash(fm->table_id, fm->priority, &fm->match);
    struct of_flow *flow;
    struct ofpbuf *message;

    if (find_flow(state, fm->table_id, fm->priority, &fm->match, hash)) {
        return NULL;
    }
    message = encode_flow(fm);
    flow = create_flow(message, &fm->match);
    ofpbuf_delete(message);
    flow->table = fm->table_id;
    flow->priority = fm->priority;
    flow->cookie = be64toh(fm->new_cookie);
    insert_flow(state, flow, hash);
    return flow;
}

void
ofstate_copy_flow(struct ofstate *state, const struct of_flow *flow)
{
    struct of_flow *copy;

    if (!ofstate_find_flow(state, flow)) {
        copy = create_flow(flow->message, &flow->match);
        copy->table = flow->table;
        copy->priority = flow->priority;
        copy->cookie = flow->cookie;
        copy->loc = flow->loc;
        insert_flow(state, copy, flow->node.hash);
    }
}

static struct of_group *
insert_group(struct ofstate *state, uint32_t id, struct ofpbuf *message)
{
    struct of_group *group = lb_xcalloc(1, sizeof *group);

    group->id = id;
    group->message = message;
    hmap_insert(&state->groups, &group->node, id);
    return group;
}

/* The message that adds the group, with transaction id 0.  The caller frees
 * it. */
static struct ofpbuf *
encode_group(struct ofputil_group_mod *gm)
{
    gm->command = OFPGC11_ADD_OR_MOD;
    gm->command_bucket_id = OFPG15_BUCKET_ALL;
    return without_xid(ofputil_encode_group_mod(OFP15_VERSION, gm, NULL, -1));
}

struct of_group *
ofstate_add_group(struct ofstate *state, struct ofputil_group_mod *gm)
{
    if (ofstate_find_group(state, gm->group_id)) {
        return NULL;
    }
    return insert_group(state, gm->group_id, encode_group(gm));
}

struct of_group *
ofstate_add_group_message(struct ofstate *state, uint32_t id,
                          struct ofpbuf *message)
{
    if (ofstate_find_group(state, id)) {
        ofpbuf_delete(message);
        return NULL;
    }
    return insert_group(state, id, message);
}

static bool
message_equal(const struct ofpbuf *a, const struct ofpbuf *b)
{
    return a->size == b->size && !memcmp(a->data, b->data, a->size);
}

bool
ofstate_has_same_flow(const struct ofstate *state,
                      const struct ofputil_flow_mod *fm)
{
    uint32_t hash = flow_hash(fm->table_id, fm->priority, &fm->match);
    const struct of_flow *flow = find_flow(state, fm->table_id, fm->priority,
                                           &fm->match, hash);
    bool same = false;

    if (flow) {
        struct ofpbuf *message = encode_flow(fm);

        same = message_equal(flow->message, message);
        ofpbuf_delete(message);
    }
    return same;
}

bool
ofstate_has_same_group(const struct ofstate *state,
                       struct ofputil_group_mod *gm)
{
    const struct of_group *group = ofstate_find_group(state, gm->group_id);
    struct ofpbuf *message;
    bool same;

    if (!group) {
        return false;
    }
    message = encode_group(gm);
    same = message_equal(group->message, message);
    ofpbuf_delete(message);
    return same;
}

bool
of_flow_equal(const struct of_flow *a, const struct of_flow *b)
{
    return message_equal(a->message, b->message);
}

/* Returns the message as libopenvswitch would encode it.  The caller frees
 * it. */
static struct ofpbuf *
encode_again(const struct of_group *group)
{
    struct ofputil_group_mod gm;
    struct ofpbuf *message;

    if (ofputil_decode_group_mod(group->message->data, &gm)) {
        return ofpbuf_clone(group->message);
    }
    message = without_xid(ofputil_encode_group_mod(OFP15_VERSION, &gm, NULL,
                                                   -1));
    ofputil_uninit_group_mod(&gm);
    return message;
}

bool
of_group_equal(const struct of_group *a, const struct of_group *b)
{
    bool equal = message_equal(a->message, b->message);

    if (!equal) {
        struct ofpbuf *a_message = encode_again(a);
        struct ofpbuf *b_message = encode_again(b);

        equal = message_equal(a_message, b_message);
        ofpbuf_delete(a_message);
        ofpbuf_delete(b_message);
    }
    return equal;
}

void
group_mark(struct ofputil_group_mod *gm)
{
    uint32_t id = GROUP_BUCKET_MAGIC;
    struct ofputil_bucket *bucket;

    assert(gm->type != OFPGT11_SELECT && !ovs_list_is_empty(&gm->buckets));
    LIST_FOR_EACH (bucket, list_node, &gm->buckets) {
        bucket->bucket_id = id++;
    }
}

/* Whether the group has buckets, and their ids count up from 'first'. */
static bool
buckets_count_from(const struct ofputil_group_desc *gd, uint32_t first)
{
    const struct ofputil_bucket *bucket;

    LIST_FOR_EACH (bucket, list_node, &gd->buckets) {
        if (bucket->bucket_id != first++) {
            return false;
        }
    }
    return !ovs_list_is_empty(&gd->buckets);
}

bool
group_is_ours(const struct ofputil_group_desc *gd)
{
    return (gd->type == OFPGT11_SELECT
            ? (gd->props.selection_method[0]
               && (uint32_t) gd->props.selection_method_param == GROUP_MAGIC)
            : buckets_count_from(gd, GROUP_BUCKET_MAGIC));
}

bool
group_has_lost_mark(const struct ofputil_group_desc *gd)
{
    return (group_id_is_ours(gd->group_id)
            && (gd->type == OFPGT11_SELECT
                ? !gd->props.selection_method[0]
                : buckets_count_from(gd, 0)));
}

/* Flows that table, priority and cookie do not tell apart go by their bytes,
 * in which matches come first and addresses and ports count like numbers. */
int
of_flow_compare(const struct of_flow *a, const struct of_flow *b)
{
    const struct ofpbuf *am = a->message;
    const struct ofpbuf *bm = b->message;
    int order;

    if (a->table != b->table) {
        return a->table < b->table ? -1 : 1;
    } else if (a->priority != b->priority) {
        return a->priority > b->priority ? -1 : 1;
    } else if (a->cookie != b->cookie) {
        return a->cookie < b->cookie ? -1 : 1;
    }
    order = memcmp(am->data, bm->data, am->size < bm->size ? am->size
                                                           : bm->size);
    return order ? order : am->size < bm->size ? -1 : am->size > bm->size;
}

static int
compare_flows(const void *a, const void *b)
{
    return of_flow_compare(*(const struct of_flow *const *) a,
                           *(const struct of_flow *const *) b);
}

struct of_flow **
ofstate_sorted_flows(const struct ofstate *state)
{
    size_t n = hmap_count(&state->flows);
    struct of_flow **flows = lb_xcalloc(n + 1, sizeof *flows);
    struct of_flow *flow;
    size_t i = 0;

    OFSTATE_FOR_EACH_FLOW (flow, state) {
        flows[i++] = flow;
    }
    qsort(flows, n, sizeof *flows, compare_flows);
    return flows;
}

int
of_group_compare(const struct of_group *a, const struct of_group *b)
{
    return a->id < b->id ? -1 : a->id > b->id;
}

static int
compare_groups(const void *a, const void *b)
{
    return of_group_compare(*(const struct of_group *const *) a,
                            *(const struct of_group *const *) b);
}

struct of_group **
ofstate_sorted_groups(const struct ofstate *state)
{
    size_t n = hmap_count(&state->groups);
    struct of_group **groups = lb_xcalloc(n + 1, sizeof *groups);
    struct of_group *group;
    size_t i = 0;

    HMAP_FOR_EACH (group, node, &state->groups) {
        groups[i++] = group;
    }
    qsort(groups, n, sizeof *groups, compare_groups);
    return groups;
}
