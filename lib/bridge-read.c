/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "lib/bridge-read.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include <openvswitch/ofp-actions.h>
#include <openvswitch/ofp-msgs.h>
#include <openvswitch/ofp-port.h>

#include "lib/group-desc.h"
#include "lib/layout.h"

/* A piece of a record, as one flow carries it. */
struct chunk {
    uint16_t id;                /* Of the pool; 0 for settings. */
    uint16_t index;
    char *text;
    size_t size;
};

struct bridge *
bridge_create(void)
{
    struct bridge *bridge = lb_xcalloc(1, sizeof *bridge);

    ofstate_init(&bridge->installed);
    ofstate_init(&bridge->residents);
    ofstate_init(&bridge->pins);
    ports_init(&bridge->ports);
    return bridge;
}

/* Keeps the text that the record flow 'fs' carries. */
static void
keep_chunk(struct reader *r, const struct ofputil_flow_stats *fs)
{
    uint64_t cookie = be64toh(fs->cookie);
    const struct ofpact *act;
    struct chunk *chunk;

    OFPACT_FOR_EACH (act, fs->ofpacts, fs->ofpacts_len) {
        if (act->type == OFPACT_NOTE) {
            const struct ofpact_note *note = ofpact_get_NOTE(act);
            const char *data = (const char *) note->data;

            r->chunks = lb_grow(r->chunks, r->n_chunks, &r->allocated_chunks,
                                sizeof *r->chunks);
            chunk = &r->chunks[r->n_chunks++];
            chunk->id = (cookie_kind(cookie) == COOKIE_SETTINGS ? 0
                         : cookie_pool(cookie));
            chunk->index = cookie_member(cookie);
            chunk->size = strnlen(data, note->length);
            chunk->text = lb_xmemdup0(data, chunk->size);
        }
    }
}

/* Adds the flow 'fs' to 'state'. */
static struct of_flow *
add_installed(struct ofstate *state, const struct ofputil_flow_stats *fs)
{
    struct ofputil_flow_mod fm = {
        .priority = fs->priority,
        .table_id = fs->table_id,
        .command = OFPFC_ADD,
        .new_cookie = fs->cookie,
        .idle_timeout = fs->idle_timeout,
        .hard_timeout = fs->hard_timeout,
        .importance = fs->importance,
        .flags = fs->flags,
        .buffer_id = UINT32_MAX,
        .out_port = OFPP_ANY,
        .out_group = OFPG_ANY,
        .ofpacts = CONST_CAST(struct ofpact *, fs->ofpacts),
        .ofpacts_len = fs->ofpacts_len,
    };
    struct of_flow *flow;

    minimatch_init(&fm.match, &fs->match);
    flow = ofstate_add_flow(state, &fm);
    minimatch_destroy(&fm.match);
    if (flow) {
        flow->n_packets = fs->packet_count;
        flow->n_bytes = fs->byte_count;
        flow->duration = fs->duration_sec;
    }
    return flow;
}

/* Whether 'wanted' has a flow with the key of 'fs'. */
static bool
is_wanted(const struct ofstate *wanted, const struct ofputil_flow_stats *fs)
{
    struct minimatch match;
    bool found;

    minimatch_init(&match, &fs->match);
    found = ofstate_has_flow(wanted, fs->table_id, fs->priority, &match);
    minimatch_destroy(&match);
    return found;
}

static void
read_own_flow(struct reader *r, const struct ofputil_flow_stats *fs)
{
    enum cookie_kind kind = cookie_kind(be64toh(fs->cookie));

    if (kind == COOKIE_PROBE) {
        return;
    } else if (cookie_is_learned(kind)) {
        r->bridge->n_learned++;
        if (kind == COOKIE_PIN) {
            add_installed(&r->bridge->pins, fs);
        }
        return;
    } else if (kind == COOKIE_RESIDENT) {
        add_installed(&r->bridge->residents, fs);
        return;
    } else if (kind == COOKIE_RECORD || kind == COOKIE_SETTINGS) {
        keep_chunk(r, fs);
    }
    if (!r->wanted || is_wanted(r->wanted, fs)) {
        add_installed(&r->bridge->installed, fs);
    }
}

static void
read_foreign_flow(struct reader *r, const struct ofputil_flow_stats *fs)
{
    if ((be64toh(fs->cookie) & COOKIE_MASK) != COOKIE_MAGIC) {
        struct ofstate state;

        ofstate_init(&state);
        r->foreign_cb(add_installed(&state, fs), r->foreign_aux);
        ofstate_uninit(&state);
    }
}

static bool
read_flows_part(struct ofpbuf *part, void *r_)
{
    struct reader *r = r_;
    struct ofputil_flow_stats fs;
    int retval;

    while (!(retval = ofputil_decode_flow_stats_reply(&fs, part, true,
                                                      &r->acts))) {
        if (r->foreign_cb) {
            read_foreign_flow(r, &fs);
        } else {
            read_own_flow(r, &fs);
        }
    }
    return retval == EOF;
}

bool
reader_flows(struct reader *r, const struct reader_request *what)
{
    struct ofputil_flow_stats_request request = {
        .cookie = htobe64(what->cookie),
        .cookie_mask = htobe64(what->mask),
        .out_port = OFPP_ANY,
        .out_group = OFPG_ANY,
        .table_id = what->table,
    };
    bool ok;

    if (what->match) {
        minimatch_expand(what->match, &request.match);
    } else {
        match_init_catchall(&request.match);
    }
    ofpbuf_init(&r->acts, 256);
    ok = session_multipart(
        r->session, ofputil_encode_flow_stats_request(&request,
                                                      OFPUTIL_P_OF15_OXM),
        read_flows_part, r, r->diags);
    ofpbuf_uninit(&r->acts);
    return ok;
}

static bool
read_count_part(struct ofpbuf *part, void *n_)
{
    struct ofputil_aggregate_stats stats;
    uint64_t *n = n_;

    if (ofputil_decode_aggregate_stats_reply(&stats, part->data)) {
        return false;
    }
    *n = stats.flow_count;
    return true;
}

bool
reader_count(struct reader *r, const struct reader_request *what, uint64_t *n)
{
    struct ofputil_flow_stats_request request = {
        .aggregate = true,
        .cookie = htobe64(what->cookie),
        .cookie_mask = htobe64(what->mask),
        .out_port = OFPP_ANY,
        .out_group = OFPG_ANY,
        .table_id = what->table,
    };

    match_init_catchall(&request.match);
    return session_multipart(
        r->session, ofputil_encode_flow_stats_request(&request,
                                                      OFPUTIL_P_OF15_OXM),
        read_count_part, n, r->diags);
}

/* Whether the group is lbgen's but was saved and restored, as ovs-ctl does it,
 * in a version of OpenFlow that loses the mark.  It is if there is a record of
 * the pool, or a flow for the member, that its id says it is for, or any flow
 * if it says neither.  Flows keep their cookies, and are read before. */
static bool
is_restored(const struct bridge *bridge, const struct ofputil_group_desc *gd)
{
    uint16_t id = gd->group_id;
    const struct of_flow *flow;

    if (!group_has_lost_mark(gd)) {
        return false;
    }
    OFSTATE_FOR_EACH_FLOW (flow, &bridge->installed) {
        enum cookie_kind kind = cookie_kind(flow->cookie);

        if (!id
            || (kind == COOKIE_RECORD && cookie_pool(flow->cookie) == id)
            || (kind == COOKIE_SERVER && cookie_member(flow->cookie) == id)) {
            return true;
        }
    }
    return false;
}

static void
read_group(struct bridge *bridge, const struct ofputil_group_desc *gd,
           const struct ofp15_group_desc_stats *desc)
{
    if (generation_read(gd, &bridge->generation)) {
        return;
    } else if (group_is_ours(gd) || is_restored(bridge, gd)) {
        ofstate_add_group_message(&bridge->installed, gd->group_id,
                                  group_desc_message(desc));
    } else {
        bridge->foreign_groups = lb_grow(bridge->foreign_groups,
                                         bridge->n_foreign_groups,
                                         &bridge->allocated_foreign_groups,
                                         sizeof *bridge->foreign_groups);
        bridge->foreign_groups[bridge->n_foreign_groups++] = gd->group_id;
    }
}

static bool
read_groups_part(struct ofpbuf *part, void *bridge_)
{
    const struct ofp15_group_desc_stats *desc;
    struct ofputil_group_desc gd;
    int retval;

    while (!(retval = group_desc_pull(part, &gd, &desc))) {
        read_group(bridge_, &gd, desc);
        ofputil_uninit_group_desc(&gd);
    }
    return retval == EOF;
}

bool
reader_groups(struct reader *r, uint32_t id)
{
    return session_multipart(
        r->session, ofputil_encode_group_desc_request(OFP15_VERSION, id),
        read_groups_part, r->bridge, r->diags);
}

static bool
read_ports_part(struct ofpbuf *part, void *bridge_)
{
    struct bridge *bridge = bridge_;
    struct ofputil_phy_port pp;
    int retval;

    ofpraw_pull_assert(part);
    while (!(retval = ofputil_pull_phy_port(OFP15_VERSION, part, &pp))) {
        ports_add(&bridge->ports, pp.name, (OVS_FORCE uint16_t) pp.port_no,
                  pp.state & OFPUTIL_PS_LIVE);
    }
    return retval == EOF;
}

bool
reader_ports(struct reader *r)
{
    bool ok = session_multipart(
        r->session, ofputil_encode_port_desc_stats_request(OFP15_VERSION,
                                                           OFPP_ANY),
        read_ports_part, r->bridge, r->diags);

    ports_sort(&r->bridge->ports);
    return ok;
}

static bool
read_generation_part(struct ofpbuf *part, void *generation_)
{
    struct ofputil_group_desc gd;
    int retval;

    while (!(retval = ofputil_decode_group_desc_reply(&gd, part,
                                                      OFP15_VERSION))) {
        generation_read(&gd, generation_);
        ofputil_uninit_group_desc(&gd);
    }
    return retval == EOF;
}

bool
reader_generation(struct reader *r, struct generation *generation)
{
    memset(generation, 0, sizeof *generation);
    return session_multipart(
        r->session, ofputil_encode_group_desc_request(OFP15_VERSION,
                                                      GROUP_GENERATION),
        read_generation_part, generation, r->diags);
}

bool
bridge_is_current(struct session *session, const struct bridge *bridge,
                  struct diags *diags)
{
    struct reader r = { .session = session, .diags = diags };
    struct generation now;

    return (reader_generation(&r, &now)
            && generation_equal(&now, &bridge->generation));
}

static int
compare_chunks(const void *a_, const void *b_)
{
    const struct chunk *a = a_;
    const struct chunk *b = b_;

    return (a->id != b->id ? (a->id < b->id ? -1 : 1)
            : a->index < b->index ? -1 : a->index > b->index);
}

/* Joins the 'n' chunks of one record.  The caller frees the text. */
static char *
join_chunks(const struct chunk *chunks, size_t n, size_t *size)
{
    char *text;
    size_t ofs = 0;

    *size = 0;
    for (size_t i = 0; i < n; i++) {
        *size += chunks[i].size;
    }
    text = lb_xmalloc(*size + 1);
    for (size_t i = 0; i < n; i++) {
        memcpy(&text[ofs], chunks[i].text, chunks[i].size);
        ofs += chunks[i].size;
    }
    text[ofs] = '\0';
    return text;
}

static enum record_result
parse_record(struct bridge *bridge, uint16_t id, const char *text, size_t size)
{
    enum record_result result;

    if (!id) {
        result = record_parse_settings(text, size, &bridge->settings);
        bridge->has_settings = result == RECORD_OK;
    } else {
        result = record_parse(text, size, &bridge->records[bridge->n_records]);
        bridge->n_records += result == RECORD_OK;
    }
    return result;
}

/* Reads the records that the 'n' chunks make up. */
static bool
parse_records(struct bridge *bridge, struct chunk *chunks, size_t n,
              const char *name, struct diags *diags)
{
    enum record_result result = RECORD_OK;

    if (n) {
        qsort(chunks, n, sizeof *chunks, compare_chunks);
    }
    bridge->records = lb_xcalloc(n + 1, sizeof *bridge->records);
    for (size_t i = 0, j; i < n && result != RECORD_NEWER; i = j) {
        size_t size;
        char *text;

        for (j = i + 1; j < n && chunks[j].id == chunks[i].id; j++) {
            continue;
        }
        text = join_chunks(&chunks[i], j - i, &size);
        result = parse_record(bridge, chunks[i].id, text, size);
        free(text);
        if (result == RECORD_DAMAGED) {
            diag_warning(diags, NULL, "bridge \"%s\": the record of %s is "
                         "damaged; apply mends it, with slots computed anew",
                         name, chunks[i].id ? "a pool" : "the settings");
        }
    }
    if (result == RECORD_NEWER) {
        diag_error(diags, NULL, "bridge \"%s\" was set up by a newer lbgen; "
                   "use that one", name);
    }
    return result != RECORD_NEWER;
}

static int
compare_records(const void *a_, const void *b_)
{
    const struct record *a = a_;
    const struct record *b = b_;

    return strcmp(a->pool->name, b->pool->name);
}

/* Puts the pools in the order of their names, for people. */
static void
collect_assignments(struct bridge *bridge)
{
    struct assignments *a = &bridge->assignments;

    if (bridge->n_records) {
        qsort(bridge->records, bridge->n_records, sizeof *bridge->records,
              compare_records);
    }

    a->pools = lb_xcalloc(bridge->n_records, sizeof *a->pools);
    a->n_pools = bridge->n_records;
    for (size_t i = 0; i < bridge->n_records; i++) {
        a->pools[i] = bridge->records[i].assignment;
    }
}

bool
reader_records(struct reader *r)
{
    bool ok = parse_records(r->bridge, r->chunks, r->n_chunks,
                            session_bridge(r->session), r->diags);

    collect_assignments(r->bridge);
    return ok;
}

void
reader_uninit(struct reader *r)
{
    for (size_t i = 0; i < r->n_chunks; i++) {
        free(r->chunks[i].text);
    }
    free(r->chunks);
}
