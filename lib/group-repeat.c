/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "lib/group-repeat.h"

#include <arpa/inet.h>
#include <stdlib.h>

#include <openflow/openflow-1.5.h>
#include <openvswitch/list.h>

#include "lib/util.h"

/* Finds where each of 'n' buckets, which begin at 'p', is.  The caller frees
 * the array, which has their end as one element more. */
static const uint8_t **
find_buckets(const uint8_t *p, size_t n)
{
    const uint8_t **buckets = lb_xcalloc(n + 1, sizeof *buckets);

    for (size_t i = 0; i <= n; i++) {
        buckets[i] = p;
        if (i < n) {
            p += ntohs(((const struct ofp15_bucket *) p)->len);
        }
    }
    return buckets;
}

/* Appends a copy of the bucket at 'bucket', with another id. */
static void
put_bucket(struct ofpbuf *message, const uint8_t *bucket, size_t size,
           uint32_t id)
{
    struct ofp15_bucket *copy = ofpbuf_put(message, bucket, size);

    copy->bucket_id = htonl(id);
}

struct ofpbuf *
group_repeat_message(struct ofputil_group_mod *gm,
                     const struct group_repeat *repeats, size_t n)
{
    const size_t head = sizeof(struct ofp_header)
                        + sizeof(struct ofp15_group_mod);
    size_t n_buckets = ovs_list_size(&gm->buckets);
    struct ofpbuf *once, *message;
    struct ofp15_group_mod *ogm;
    const uint8_t **buckets;

    gm->command = OFPGC11_ADD_OR_MOD;
    gm->command_bucket_id = OFPG15_BUCKET_ALL;
    once = ofputil_encode_group_mod(OFP15_VERSION, gm, NULL, -1);
    buckets = find_buckets((const uint8_t *) once->data + head, n_buckets);

    message = ofpbuf_new(once->size + n * 64);
    ofpbuf_put(message, once->data, head);
    for (size_t i = 0; i < n; i++) {
        const uint8_t *bucket = buckets[repeats[i].bucket];

        put_bucket(message, bucket, buckets[repeats[i].bucket + 1] - bucket,
                   repeats[i].id);
    }
    ogm = ofpbuf_at_assert(message, sizeof(struct ofp_header), sizeof *ogm);
    ogm->bucket_array_len = htons(message->size - head);
    ofpbuf_put(message, buckets[n_buckets],
               (const uint8_t *) ofpbuf_tail(once) - buckets[n_buckets]);
    ((struct ofp_header *) message->data)->length = htons(message->size);
    ((struct ofp_header *) message->data)->xid = 0;

    free(buckets);
    ofpbuf_delete(once);
    return message;
}
