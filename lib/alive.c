/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "lib/alive.h"

/* Groups that watch groups that watch groups; the switch stops there too. */
#define MAX_DEPTH 128

static bool bucket_is_alive(const struct alive *,
                            const struct ofputil_bucket *, int depth);

static bool
group_is_alive(const struct alive *alive, uint32_t id, int depth)
{
    const struct of_group *group = ofstate_find_group(alive->groups, id);
    const struct ofputil_bucket *bucket;
    struct ofputil_group_mod gm;
    bool found = false;

    if (!group || ofputil_decode_group_mod(group->message->data, &gm)) {
        return false;
    }
    LIST_FOR_EACH (bucket, list_node, &gm.buckets) {
        if (bucket_is_alive(alive, bucket, depth)) {
            found = true;
            break;
        }
    }
    ofputil_uninit_group_mod(&gm);
    return found;
}

static bool
bucket_is_alive(const struct alive *alive, const struct ofputil_bucket *bucket,
                int depth)
{
    uint16_t port = (OVS_FORCE uint16_t) bucket->watch_port;

    if (depth >= MAX_DEPTH) {
        return false;
    }
    return ((bucket->watch_port == OFPP_ANY
             && bucket->watch_group == OFPG_ANY)
            || (bucket->watch_port != OFPP_ANY
                && ports_is_live(alive->ports, port))
            || (bucket->watch_group != OFPG_ANY
                && group_is_alive(alive, bucket->watch_group, depth + 1)));
}

bool
alive_bucket(const struct alive *alive, const struct ofputil_bucket *bucket)
{
    return bucket_is_alive(alive, bucket, 0);
}
