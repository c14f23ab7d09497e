/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "lib/part.h"

#include <string.h>

#include "lib/bridge-read.h"
#include "lib/compile.h"
#include "lib/layout.h"

/* Up to so many flows that are shared are asked for one by one. */
#define MAX_ASKED 64

/* Bits of a cookie that say whose it is: the pool; or whatever but that. */
#define MASK_POOL (COOKIE_MASK | (uint64_t) UINT16_MAX << 16)
#define MASK_KIND_AND_MEMBER (UINT64_MAX - ((uint64_t) UINT16_MAX << 16))

static bool
is_shared(const struct of_flow *flow)
{
    return !cookie_pool(flow->cookie);
}

static bool
ask_flows(struct reader *r, uint8_t table, uint64_t cookie, uint64_t mask)
{
    return reader_flows(r, &(struct reader_request) {
                            .table = table, .cookie = cookie, .mask = mask });
}

static bool
ask_flow(struct reader *r, const struct of_flow *flow)
{
    return reader_flows(r, &(struct reader_request) {
                            .table = flow->table, .cookie = flow->cookie,
                            .mask = UINT64_MAX, .match = &flow->match });
}

/* Takes the flows of 'desired' that are shared for being there. */
static void
suppose_shared(struct bridge *bridge, const struct ofstate *desired)
{
    const struct of_flow *flow;

    OFSTATE_FOR_EACH_FLOW (flow, desired) {
        if (is_shared(flow)) {
            ofstate_copy_flow(&bridge->installed, flow);
        }
    }
}

/* Reads the flows of 'desired' that are shared. */
static bool
read_shared(struct reader *r, const struct ofstate *desired)
{
    const struct of_flow *flow;
    size_t n = 0;
    bool ok = true;

    OFSTATE_FOR_EACH_FLOW (flow, desired) {
        n += is_shared(flow);
    }
    r->wanted = desired;
    if (n > MAX_ASKED) {
        ok = ask_flows(r, OFPTT_ALL, COOKIE_MAGIC, MASK_POOL);
    } else {
        OFSTATE_FOR_EACH_FLOW (flow, desired) {
            ok = ok && (!is_shared(flow) || ask_flow(r, flow));
        }
    }
    r->wanted = NULL;
    return ok;
}

static bool
read_groups(struct reader *r, const struct ofstate *like)
{
    const struct of_group *group;
    bool ok = true;

    HMAP_FOR_EACH (group, node, &like->groups) {
        ok = ok && reader_groups(r, group->id);
    }
    return ok;
}

/* Reads the settings and what has the id that a pool called 'name' should
 * have.  False after queueing an error. */
static bool
read_own(struct reader *r, const char *name)
{
    uint64_t settings = cookie_make(COOKIE_SETTINGS, 0, 0);
    uint64_t own = cookie_make(0, assignment_first_id(name), 0);

    return (ask_flows(r, OFPTT_ALL, settings, UINT64_MAX)
            && ask_flows(r, OFPTT_ALL, own, MASK_POOL)
            && reader_ports(r)
            && reader_records(r));
}

static bool
count_pools(struct reader *r)
{
    const struct reader_request records = {
        .table = r->bridge->settings.table_base + TABLE_RECORD,
        .cookie = cookie_make(COOKIE_RECORD, 0, 0),
        .mask = MASK_KIND_AND_MEMBER
    };

    return reader_count(r, &records, &r->bridge->n_pools);
}

/* Reads what the pool, whose record is there, needs besides. */
static bool
read_besides(struct reader *r, const struct ofstate *desired,
             enum part_use use)
{
    if (use == PART_TO_CHANGE) {
        suppose_shared(r->bridge, desired);
    } else if (!read_shared(r, desired) || !count_pools(r)) {
        return false;
    }
    return (read_groups(r, desired)
            && reader_generation(r, &r->bridge->generation));
}

/* Completes the part, and says whether it is as the record asks for. */
static enum part_result
complete(struct reader *r, enum part_use use)
{
    struct bridge *bridge = r->bridge;
    enum part_result result = PART_IMPOSSIBLE;
    struct diags *unheard = diags_create();
    struct changes changes;
    struct ofstate desired;
    struct model model;

    ofstate_init(&desired);
    bridge_model(bridge, &model, NULL, NULL);
    if (compile(&model, &bridge->assignments, &bridge->ports,
                session_bridge(r->session), &desired, unheard)) {
        if (!read_besides(r, &desired, use)) {
            result = PART_FAILED;
        } else {
            diff_compute(&desired, &bridge->installed, &changes);
            result = changes.n ? PART_IMPOSSIBLE : PART_READ;
            changes_uninit(&changes);
        }
    }
    bridge_model_uninit(&model);
    ofstate_uninit(&desired);
    diags_destroy(unheard);
    return result;
}

enum part_result
part_read(struct session *session, const char *pool, enum part_use use,
          struct bridge **part, struct diags *diags)
{
    struct reader r = {
        .session = session, .bridge = bridge_create(), .diags = diags
    };
    struct bridge *bridge = r.bridge;
    enum part_result result;
    struct generation before;

    bridge->is_part = true;
    if (!reader_generation(&r, &before) || !read_own(&r, pool)) {
        result = PART_FAILED;
    } else if (!before.has_id || !bridge->has_settings
               || bridge->n_records != 1
               || strcmp(bridge->records[0].pool->name, pool)) {
        result = PART_IMPOSSIBLE;
    } else {
        result = complete(&r, use);
        if (result == PART_READ
            && !generation_equal(&before, &bridge->generation)) {
            result = PART_IMPOSSIBLE;
        }
    }
    reader_uninit(&r);
    if (result != PART_READ) {
        bridge_destroy(bridge);
        bridge = NULL;
    }
    *part = bridge;
    return result;
}

/* Whether a bucket of the group watches 'port'. */
static bool
has_watch(const struct ofputil_group_mod *gm, ofp_port_t port)
{
    const struct ofputil_bucket *bucket;

    LIST_FOR_EACH (bucket, list_node, &gm->buckets) {
        if (bucket->watch_port == port) {
            return true;
        }
    }
    return false;
}

/* Whether 'new' watches a port that 'old' does not. */
static bool
watches_more(const struct of_group *old, const struct of_group *new)
{
    struct ofputil_group_mod before, after;
    const struct ofputil_bucket *bucket;
    bool more = false;

    if (ofputil_decode_group_mod(old->message->data, &before)) {
        return true;
    }
    if (ofputil_decode_group_mod(new->message->data, &after)) {
        ofputil_uninit_group_mod(&before);
        return true;
    }
    LIST_FOR_EACH (bucket, list_node, &after.buckets) {
        more = more || (bucket->watch_port != OFPP_ANY
                        && !has_watch(&before, bucket->watch_port));
    }
    ofputil_uninit_group_mod(&before);
    ofputil_uninit_group_mod(&after);
    return more;
}

/* Whether other pools may have a say in a change of a group: if it is new, or
 * if it watches a port that others' servers may be behind. */
static bool
needs_others(const struct change *change)
{
    return (!change->old_group
            || (change->new_group
                && watches_more(change->old_group, change->new_group)));
}

bool
part_allows(const struct changes *changes)
{
    for (size_t i = 0; i < changes->n; i++) {
        const struct change *change = &changes->changes[i];

        if (change->new_flow ? is_shared(change->new_flow)
            : change->old_flow ? is_shared(change->old_flow)
            : needs_others(change)) {
            return false;
        }
    }
    return true;
}

/* Asks for the flow or group that 'change' is about. */
static bool
ask_changed(struct reader *r, const struct change *change)
{
    const struct of_group *group = (change->new_group ? change->new_group
                                    : change->old_group);

    return (group ? reader_groups(r, group->id)
            : ((!change->old_flow || ask_flow(r, change->old_flow))
               && (!change->new_flow
                   || (change->old_flow && (change->old_flow->cookie
                                            == change->new_flow->cookie))
                   || ask_flow(r, change->new_flow))));
}

struct bridge *
part_read_changed(struct session *session, const struct changes *changes,
                  struct diags *diags)
{
    struct reader r = {
        .session = session, .bridge = bridge_create(), .diags = diags
    };
    bool ok = true;

    r.bridge->is_part = true;
    for (size_t i = 0; ok && i < changes->n; i++) {
        ok = ask_changed(&r, &changes->changes[i]);
    }
    ok = ok && reader_generation(&r, &r.bridge->generation);
    reader_uninit(&r);
    if (!ok) {
        bridge_destroy(r.bridge);
        return NULL;
    }
    return r.bridge;
}
