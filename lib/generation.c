/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "lib/generation.h"

#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openvswitch/ofp-actions.h>
#include <openvswitch/ofp-errors.h>

#include "lib/actions.h"
#include "lib/layout.h"
#include "lib/util.h"
#include "policies/hash.h"

/* What the note begins with.  By it the group is known even after it was saved
 * and restored in an OpenFlow version that loses the mark. */
static const char note_prefix[] = "lbgen ";

static uint64_t
hash_message(const struct ofpbuf *message)
{
    const uint8_t *data = message->data;
    uint64_t hash = message->size;
    size_t i;

    for (i = 0; i + sizeof(uint64_t) <= message->size;
         i += sizeof(uint64_t)) {
        uint64_t word;

        memcpy(&word, &data[i], sizeof word);
        hash = hash_mix(hash, word);
    }
    for (; i < message->size; i++) {
        hash = hash_mix(hash, data[i]);
    }
    return hash;
}

/* A sum, so that the order does not matter and nothing has to be sorted. */
static uint64_t
hash_state(const struct ofstate *state)
{
    const struct of_flow *flow;
    const struct of_group *group;
    uint64_t sum = 0;

    HMAP_FOR_EACH (group, node, &state->groups) {
        sum += hash_message(group->message);
    }
    OFSTATE_FOR_EACH_FLOW (flow, state) {
        sum += hash_message(flow->message);
    }
    return hash_mix(sum, 0);
}

static void
format_who(char who[GENERATION_WHO_SIZE])
{
    const struct passwd *passwd = getpwuid(geteuid());
    char host[64];

    if (gethostname(host, sizeof host)) {
        strcpy(host, "?");
    }
    host[sizeof host - 1] = '\0';
    if (passwd) {
        snprintf(who, GENERATION_WHO_SIZE, "%.30s@%s", passwd->pw_name, host);
    } else {
        snprintf(who, GENERATION_WHO_SIZE, "%ju@%s", (uintmax_t) geteuid(),
                 host);
    }
}

/* Fills in '*generation' with one of ours. */
static void
make(uint64_t hash, struct generation *generation)
{
    *generation = (struct generation) {
        .exists = true, .has_id = true, .id = hash % OFPG15_BUCKET_MAX
    };
    format_who(generation->who);
}

void
generation_compute(const struct ofstate *desired,
                   struct generation *generation)
{
    memset(generation, 0, sizeof *generation);
    if (!hmap_is_empty(&desired->flows) || !hmap_is_empty(&desired->groups)) {
        make(hash_state(desired), generation);
    }
}

void
generation_follow(const struct generation *old, const struct ofstate *desired,
                  struct generation *generation)
{
    make(hash_mix(old->id, hash_state(desired)), generation);
}

/* Takes in a note of ours.  False if it is not. */
static bool
read_note(const struct ofpact_note *note, struct generation *generation)
{
    const size_t prefix_size = sizeof note_prefix - 1;
    const char *text = (const char *) note->data + prefix_size;
    size_t size = 0;

    if (note->length < prefix_size
        || memcmp(note->data, note_prefix, prefix_size)) {
        return false;
    }
    while (size < note->length - prefix_size
           && size < GENERATION_WHO_SIZE - 1
           && text[size] > ' ' && text[size] <= '~') {
        generation->who[size] = text[size];
        size++;
    }
    generation->who[size] = '\0';
    return true;
}

static bool
read_bucket(const struct ofputil_bucket *bucket, struct generation *generation)
{
    const struct ofpact *act;

    OFPACT_FOR_EACH (act, bucket->ofpacts, bucket->ofpacts_len) {
        if (act->type == OFPACT_NOTE
            && read_note(ofpact_get_NOTE(act), generation)) {
            generation->has_id = true;
            generation->id = bucket->bucket_id;
            return true;
        }
    }
    return false;
}

bool
generation_read(const struct ofputil_group_desc *gd,
                struct generation *generation)
{
    struct generation read = { .exists = true };
    const struct ofputil_bucket *bucket;
    bool ours = group_is_ours(gd);

    if (gd->group_id != GROUP_GENERATION) {
        return false;
    }
    LIST_FOR_EACH (bucket, list_node, &gd->buckets) {
        ours |= read_bucket(bucket, &read);
    }
    if (ours) {
        *generation = read;
    }
    return ours;
}

const char *
generation_who(const struct generation *generation)
{
    return generation->who[0] ? generation->who : "something else";
}

bool
generation_equal(const struct generation *a, const struct generation *b)
{
    return (a->exists == b->exists && a->has_id == b->has_id
            && a->id == b->id);
}

static struct ofputil_bucket *
make_bucket(const struct generation *generation)
{
    struct ofputil_bucket *bucket = lb_xcalloc(1, sizeof *bucket);
    char *note = lb_xasprintf("%s%s", note_prefix, generation->who);
    struct ofpbuf acts;

    ofpbuf_init(&acts, 64);
    act_note(&acts, note, strlen(note));
    bucket->watch_port = OFPP_ANY;
    bucket->watch_group = OFPG_ANY;
    bucket->bucket_id = generation->id;
    bucket->ofpacts_len = acts.size;
    bucket->ofpacts = ofpbuf_steal_data(&acts);
    free(note);
    return bucket;
}

/* A message about the group, with the bucket of 'generation' unless that is
 * NULL. */
static struct ofpbuf *
make_message(uint16_t command, uint32_t bucket_id,
             const struct generation *generation)
{
    struct ofputil_group_mod gm = {
        .command = command,
        .type = OFPGT11_SELECT,
        .group_id = GROUP_GENERATION,
        .command_bucket_id = bucket_id,
    };
    struct ofpbuf *message;

    ovs_list_init(&gm.buckets);
    if (generation) {
        struct ofputil_bucket *bucket = make_bucket(generation);

        strcpy(gm.props.selection_method, "hash");
        gm.props.selection_method_param = GROUP_MAGIC;
        ovs_list_push_back(&gm.buckets, &bucket->list_node);
    }
    message = ofputil_encode_group_mod(OFP15_VERSION, &gm, NULL, -1);
    ofputil_uninit_group_mod(&gm);
    return message;
}

size_t
generation_messages(const struct generation *old, const struct generation *new,
                    struct ofpbuf *messages[GENERATION_MAX_MESSAGES])
{
    size_t n = 0;

    if (old->has_id) {
        messages[n++] = make_message(OFPGC15_REMOVE_BUCKET, old->id, NULL);
    }
    if (new->exists) {
        messages[n++] = make_message(old->exists ? OFPGC11_MODIFY
                                     : OFPGC11_ADD, OFPG15_BUCKET_ALL, new);
    } else if (old->exists) {
        messages[n++] = make_message(OFPGC11_DELETE, OFPG15_BUCKET_ALL, NULL);
    }
    return n;
}

bool
generation_is_conflict(int error)
{
    return (error == OFPERR_OFPGMFC_UNKNOWN_BUCKET
            || error == OFPERR_OFPGMFC_UNKNOWN_GROUP
            || error == OFPERR_OFPGMFC_GROUP_EXISTS);
}
