/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "lib/oftext.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openvswitch/ofp-actions.h>
#include <openvswitch/ofp-msgs.h>

#include "lib/util.h"

/* As ofpacts_format() would, which takes longer for the notes of our records
 * than for everything else. */
static void
format_note(const struct ofpact_note *note, struct ds *s)
{
    static const char hex[] = "0123456789abcdef";

    ds_put_cstr(s, "note:");
    for (size_t i = 0; i < note->length; i++) {
        if (i) {
            ds_put_char(s, '.');
        }
        ds_put_char(s, hex[note->data[i] >> 4]);
        ds_put_char(s, hex[note->data[i] & 15]);
    }
}

static void
format_actions(const struct ofpact *acts, size_t size,
               const struct ports *ports, struct ds *s)
{
    struct ofpact_format_params params = { .port_map = &ports->map, .s = s };

    ds_put_cstr(s, "actions=");
    if (size && acts->type == OFPACT_NOTE
        && ofpact_next(acts) == ofpact_end(acts, size)) {
        format_note(ofpact_get_NOTE(acts), s);
    } else {
        ofpacts_format(acts, size, &params);
    }
}

void
oftext_flow(const struct of_flow *flow, const struct ports *ports,
            struct ds *s)
{
    struct ofputil_flow_mod fm;
    struct ofpbuf acts;

    ofpbuf_init(&acts, 256);
    ds_put_format(s, "cookie=0x%"PRIx64",table=%d,", flow->cookie,
                  flow->table);
    minimatch_format(&flow->match, NULL, &ports->map, s, flow->priority);
    if (!ofputil_decode_flow_mod(&fm, flow->message->data,
                                 OFPUTIL_P_OF15_OXM, NULL, NULL, &acts,
                                 OFPP_MAX, UINT8_MAX)) {
        if (fm.idle_timeout) {
            ds_put_format(s, ",idle_timeout=%"PRIu16, fm.idle_timeout);
        }
        if (fm.hard_timeout) {
            ds_put_format(s, ",hard_timeout=%"PRIu16, fm.hard_timeout);
        }
        ds_put_char(s, ' ');
        format_actions(fm.ofpacts, fm.ofpacts_len, ports, s);
        minimatch_destroy(&fm.match);
    }
    ofpbuf_uninit(&acts);
}

/* The text of a group without its buckets.  The caller frees it. */
static char *
format_head(const struct ofputil_group_mod *gm)
{
    struct ofputil_group_mod head = *gm;
    struct ds s = DS_EMPTY_INITIALIZER;
    char *text;

    ovs_list_init(&head.buckets);
    head.command = OFPGC11_ADD;
    ofputil_group_mod_format__(&s, OFP15_VERSION, &head, NULL, NULL);
    text = lb_xstrdup(strstr(ds_cstr(&s), "group_id="));
    ds_destroy(&s);
    return text;
}

/* The text of a list of actions.  Buckets of one server have the same list, so
 * that a group has far fewer lists than buckets, and printing takes long. */
struct actions_text {
    struct ofpbuf wire;         /* The list as OpenFlow has it. */
    char *text;
};

struct actions_texts {
    struct actions_text *texts;
    size_t n;
    size_t allocated;
};

/* The text of the bucket's actions, which 'texts' owns.  Lists are compared as
 * they are sent: as ofpacts, they have bytes that mean nothing. */
static const char *
find_actions_text(struct actions_texts *texts,
                  const struct ofputil_bucket *bucket,
                  const struct ports *ports)
{
    struct ds s = DS_EMPTY_INITIALIZER;
    struct actions_text *new;
    struct ofpbuf wire;

    ofpbuf_init(&wire, 64);
    ofpacts_put_openflow_actions(bucket->ofpacts, bucket->ofpacts_len, &wire,
                                 OFP15_VERSION);
    for (size_t i = 0; i < texts->n; i++) {
        const struct actions_text *text = &texts->texts[i];

        if (text->wire.size == wire.size
            && !memcmp(text->wire.data, wire.data, wire.size)) {
            ofpbuf_uninit(&wire);
            return text->text;
        }
    }
    format_actions(bucket->ofpacts, bucket->ofpacts_len, ports, &s);
    texts->texts = lb_grow(texts->texts, texts->n, &texts->allocated,
                           sizeof *texts->texts);
    new = &texts->texts[texts->n++];
    new->wire = wire;
    new->text = ds_steal_cstr(&s);
    return new->text;
}

static void
actions_texts_uninit(struct actions_texts *texts)
{
    for (size_t i = 0; i < texts->n; i++) {
        ofpbuf_uninit(&texts->texts[i].wire);
        free(texts->texts[i].text);
    }
    free(texts->texts);
}

static char *
format_bucket(const struct ofputil_bucket *bucket, bool has_weight,
              const char *actions, const struct ports *ports)
{
    char head[192];
    size_t n_head, n_actions;
    char *text;

    n_head = snprintf(head, sizeof head, "bucket=bucket_id:%"PRIu32,
                      bucket->bucket_id);
    if (has_weight) {
        n_head += snprintf(&head[n_head], sizeof head - n_head,
                           ",weight:%"PRIu16, bucket->weight);
    }
    if (bucket->watch_port != OFPP_ANY) {
        struct ds port = DS_EMPTY_INITIALIZER;

        ofputil_format_port(bucket->watch_port, &ports->map, &port);
        n_head += snprintf(&head[n_head], sizeof head - n_head,
                           ",watch_port:%s", ds_cstr(&port));
        ds_destroy(&port);
    }
    if (bucket->watch_group != OFPG_ANY) {
        n_head += snprintf(&head[n_head], sizeof head - n_head,
                           ",watch_group:%"PRIu32, bucket->watch_group);
    }
    head[n_head++] = ',';

    /* printf() would take most of the time that it takes to export a file. */
    n_actions = strlen(actions);
    text = lb_xmalloc(n_head + n_actions + 1);
    memcpy(text, head, n_head);
    memcpy(&text[n_head], actions, n_actions + 1);
    return text;
}

void
oftext_group_init(struct oftext_group *text, const struct of_group *group,
                  const struct ports *ports)
{
    struct actions_texts texts = { .n = 0 };
    struct ofputil_group_mod gm;
    const struct ofputil_bucket *bucket;

    memset(text, 0, sizeof *text);
    if (ofputil_decode_group_mod(group->message->data, &gm)) {
        text->head = lb_xasprintf("group_id=%"PRIu32, group->id);
        return;
    }
    text->head = format_head(&gm);
    text->buckets = lb_xcalloc(ovs_list_size(&gm.buckets) + 1,
                               sizeof *text->buckets);
    LIST_FOR_EACH (bucket, list_node, &gm.buckets) {
        text->buckets[text->n_buckets++] = format_bucket(
            bucket, gm.type == OFPGT11_SELECT,
            find_actions_text(&texts, bucket, ports), ports);
    }
    actions_texts_uninit(&texts);
    ofputil_uninit_group_mod(&gm);
}

void
oftext_group_uninit(struct oftext_group *text)
{
    for (size_t i = 0; i < text->n_buckets; i++) {
        free(text->buckets[i]);
    }
    free(text->buckets);
    free(text->head);
}
