/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "lib/group-desc.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>

#include <openflow/openflow-1.5.h>
#include <openvswitch/ofp-msgs.h>

#include "lib/util.h"

/* The length of the first bucket, or 0 if it makes no sense. */
static size_t
first_bucket_size(const struct ofp15_group_desc_stats *desc)
{
    const struct ofp15_bucket *bucket = (const void *) (desc + 1);
    size_t buckets_size = ntohs(desc->bucket_list_len);
    size_t size;

    if (buckets_size < sizeof *bucket) {
        return 0;
    }
    size = ntohs(bucket->len);
    return size >= sizeof *bucket && size <= buckets_size ? size : 0;
}

/* Decodes 'desc' as if it had only the first bucket, of 'bucket_size'. */
static int
decode_short(const struct ofp15_group_desc_stats *desc, size_t bucket_size,
             struct ofputil_group_desc *gd)
{
    size_t cut = ntohs(desc->bucket_list_len) - bucket_size;
    size_t size = ntohs(desc->length);
    const uint8_t *properties = (const uint8_t *) (desc + 1) + bucket_size
                                + cut;
    struct ofp15_group_desc_stats *copy;
    struct ofpbuf b;
    int error;

    ofpbuf_init(&b, size - cut);
    copy = ofpbuf_put(&b, desc, sizeof *desc + bucket_size);
    copy->length = htons(size - cut);
    copy->bucket_list_len = htons(bucket_size);
    ofpbuf_put(&b, properties,
               size - cut - sizeof *desc - bucket_size);
    b.header = b.data;          /* Or it would look for a header. */
    error = ofputil_decode_group_desc_reply(gd, &b, OFP15_VERSION);
    ofpbuf_uninit(&b);
    return error;
}

int
group_desc_pull(struct ofpbuf *part, struct ofputil_group_desc *gd,
                const struct ofp15_group_desc_stats **descp)
{
    const struct ofp15_group_desc_stats *desc;
    size_t size, bucket_size;
    int error;

    if (!part->header) {
        ofpraw_pull_assert(part);
    }
    if (!part->size) {
        return EOF;
    }
    desc = *descp = part->data;
    if (part->size < sizeof *desc) {
        return EPROTO;
    }
    size = ntohs(desc->length);
    if (size > part->size
        || size < sizeof *desc + ntohs(desc->bucket_list_len)) {
        return EPROTO;
    }
    bucket_size = first_bucket_size(desc);
    if (desc->type != OFPGT11_SELECT || !bucket_size) {
        return ofputil_decode_group_desc_reply(gd, part, OFP15_VERSION);
    }
    error = decode_short(desc, bucket_size, gd);
    ofpbuf_pull(part, size);
    return error;
}

struct ofpbuf *
group_desc_message(const struct ofp15_group_desc_stats *desc)
{
    size_t size = ntohs(desc->length) - sizeof *desc;
    struct ofpbuf *b = ofpraw_alloc_xid(OFPRAW_OFPT15_GROUP_MOD,
                                        OFP15_VERSION, 0,
                                        sizeof(struct ofp15_group_mod) + size);
    struct ofp15_group_mod *ogm = ofpbuf_put_zeros(b, sizeof *ogm);

    ogm->command = htons(OFPGC11_ADD_OR_MOD);
    ogm->type = desc->type;
    ogm->group_id = desc->group_id;
    ogm->bucket_array_len = desc->bucket_list_len;
    ogm->command_bucket_id = htonl(OFPG15_BUCKET_ALL);
    ofpbuf_put(b, desc + 1, size);
    ofpmsg_update_length(b);
    return b;
}
