/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "lib/diff.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include <openvswitch/ofp-actions.h>

#include "lib/util.h"

void
changes_add(struct changes *changes, const struct change *change)
{
    changes->changes = lb_grow(changes->changes, changes->n,
                               &changes->allocated, sizeof *changes->changes);
    changes->changes[changes->n++] = *change;
}

static void
diff_new_groups(struct of_group **desired, const struct ofstate *installed,
                struct changes *changes)
{
    for (size_t i = 0; desired[i]; i++) {
        struct change change = {
            .old_group = ofstate_find_group(installed, desired[i]->id),
            .new_group = desired[i],
        };

        if (!change.old_group
            || !of_group_equal(change.old_group, change.new_group)) {
            changes_add(changes, &change);
        }
    }
}

static void
diff_new_flows(struct of_flow **desired, const struct ofstate *installed,
               struct changes *changes)
{
    for (size_t i = 0; desired[i]; i++) {
        struct change change = {
            .old_flow = ofstate_find_flow(installed, desired[i]),
            .new_flow = desired[i],
        };

        if (!change.old_flow
            || !of_flow_equal(change.old_flow, change.new_flow)) {
            changes_add(changes, &change);
        }
    }
}

static void
diff_old_flows(struct of_flow **installed, const struct ofstate *desired,
               struct changes *changes)
{
    for (size_t i = 0; installed[i]; i++) {
        struct change change = { .old_flow = installed[i] };

        if (!ofstate_find_flow(desired, installed[i])) {
            changes_add(changes, &change);
        }
    }
}

static void
diff_old_groups(struct of_group **installed, const struct ofstate *desired,
                struct changes *changes)
{
    size_t n = 0;

    while (installed[n]) {
        n++;
    }
    while (n--) {
        struct change change = { .old_group = installed[n] };

        if (!ofstate_find_group(desired, installed[n]->id)) {
            changes_add(changes, &change);
        }
    }
}

void
diff_compute(const struct ofstate *desired, const struct ofstate *installed,
             struct changes *changes)
{
    struct of_flow **desired_flows = ofstate_sorted_flows(desired);
    struct of_flow **installed_flows = ofstate_sorted_flows(installed);
    struct of_group **desired_groups = ofstate_sorted_groups(desired);
    struct of_group **installed_groups = ofstate_sorted_groups(installed);

    memset(changes, 0, sizeof *changes);
    diff_new_groups(desired_groups, installed, changes);
    diff_new_flows(desired_flows, installed, changes);
    diff_old_flows(installed_flows, desired, changes);
    diff_old_groups(installed_groups, desired, changes);

    free(desired_flows);
    free(installed_flows);
    free(desired_groups);
    free(installed_groups);
}

void
changes_uninit(struct changes *changes)
{
    free(changes->changes);
}

/* Deletes 'flow', as long as it still has our cookie. */
static struct ofpbuf *
delete_flow_message(const struct of_flow *flow)
{
    struct ofputil_flow_mod fm = {
        .priority = flow->priority,
        .table_id = flow->table,
        .command = OFPFC_DELETE_STRICT,
        .cookie = htobe64(flow->cookie),
        .cookie_mask = UINT64_MAX,
        .new_cookie = UINT64_MAX,
        .buffer_id = UINT32_MAX,
        .out_port = OFPP_ANY,
        .out_group = OFPG_ANY,
    };
    struct ofpbuf *message;

    minimatch_clone(&fm.match, &flow->match);
    message = ofputil_encode_flow_mod(&fm, OFPUTIL_P_OF15_OXM);
    minimatch_destroy(&fm.match);
    return message;
}

static struct ofpbuf *
delete_group_message(const struct of_group *group)
{
    struct ofputil_group_mod gm = {
        .command = OFPGC11_DELETE,
        .group_id = group->id,
        .command_bucket_id = OFPG15_BUCKET_ALL,
    };

    ovs_list_init(&gm.buckets);
    return ofputil_encode_group_mod(OFP15_VERSION, &gm, NULL, -1);
}

struct ofpbuf *
change_message(const struct change *change)
{
    if (change->new_flow) {
        return ofpbuf_clone(change->new_flow->message);
    } else if (change->new_group) {
        return ofpbuf_clone(change->new_group->message);
    } else if (change->old_flow) {
        return delete_flow_message(change->old_flow);
    } else {
        return delete_group_message(change->old_group);
    }
}

const struct source_loc *
change_loc(const struct change *change)
{
    static const struct source_loc nowhere;

    return (change->new_flow ? &change->new_flow->loc
            : change->new_group ? &change->new_group->loc
            : &nowhere);
}
