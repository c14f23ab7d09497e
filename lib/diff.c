/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "lib/diff.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include <openvswitch/ofp-actions.h>

#include "lib/layout.h"
#include "lib/util.h"

void
changes_add(struct changes *changes, const struct change *change)
{
    changes->changes = lb_grow(changes->changes, changes->n,
                               &changes->allocated, sizeof *changes->changes);
    changes->changes[changes->n++] = *change;
}

/* The functions below append changes in any order, to be sorted: most flows
 * and groups have not changed and need none. */

static int
compare_new_groups(const void *a, const void *b)
{
    return of_group_compare(((const struct change *) a)->new_group,
                            ((const struct change *) b)->new_group);
}

static int
compare_new_flows(const void *a, const void *b)
{
    return of_flow_compare(((const struct change *) a)->new_flow,
                           ((const struct change *) b)->new_flow);
}

static int
compare_old_flows(const void *a, const void *b)
{
    return of_flow_compare(((const struct change *) a)->old_flow,
                           ((const struct change *) b)->old_flow);
}

static int
compare_old_groups(const void *a, const void *b)
{
    return of_group_compare(((const struct change *) b)->old_group,
                            ((const struct change *) a)->old_group);
}

/* Sorts the changes from number 'first' on. */
static void
sort_changes(struct changes *changes, size_t first,
             int (*compare)(const void *, const void *))
{
    if (changes->n > first) {
        qsort(&changes->changes[first], changes->n - first,
              sizeof *changes->changes, compare);
    }
}

/* Returns the number of groups in both states. */
static size_t
diff_new_groups(const struct ofstate *desired, const struct ofstate *installed,
                struct changes *changes)
{
    size_t first = changes->n;
    const struct of_group *group;
    size_t n_both = 0;

    HMAP_FOR_EACH (group, node, &desired->groups) {
        struct change change = {
            .old_group = ofstate_find_group(installed, group->id),
            .new_group = group,
        };

        n_both += change.old_group != NULL;
        if (!change.old_group
            || !of_group_equal(change.old_group, change.new_group)) {
            changes_add(changes, &change);
        }
    }
    sort_changes(changes, first, compare_new_groups);
    return n_both;
}

/* Returns the number of flows in both states. */
static size_t
diff_new_flows(const struct ofstate *desired, const struct ofstate *installed,
               struct changes *changes)
{
    size_t first = changes->n;
    const struct of_flow *flow;
    size_t n_both = 0;

    OFSTATE_FOR_EACH_FLOW (flow, desired) {
        struct change change = {
            .old_flow = ofstate_find_flow(installed, flow),
            .new_flow = flow,
        };

        n_both += change.old_flow != NULL;
        if (!change.old_flow
            || !of_flow_equal(change.old_flow, change.new_flow)) {
            changes_add(changes, &change);
        }
    }
    sort_changes(changes, first, compare_new_flows);
    return n_both;
}

static void
diff_old_flows(const struct ofstate *installed, const struct ofstate *desired,
               struct changes *changes)
{
    size_t first = changes->n;
    const struct of_flow *flow;

    OFSTATE_FOR_EACH_FLOW (flow, installed) {
        struct change change = { .old_flow = flow };

        if (!ofstate_find_flow(desired, flow)) {
            changes_add(changes, &change);
        }
    }
    sort_changes(changes, first, compare_old_flows);
}

static void
diff_old_groups(const struct ofstate *installed, const struct ofstate *desired,
                struct changes *changes)
{
    size_t first = changes->n;
    const struct of_group *group;

    HMAP_FOR_EACH (group, node, &installed->groups) {
        struct change change = { .old_group = group };

        if (!ofstate_find_group(desired, group->id)) {
            changes_add(changes, &change);
        }
    }
    sort_changes(changes, first, compare_old_groups);
}

void
diff_compute(const struct ofstate *desired, const struct ofstate *installed,
             struct changes *changes)
{
    size_t n_groups, n_flows;   /* In both. */

    memset(changes, 0, sizeof *changes);
    n_groups = diff_new_groups(desired, installed, changes);
    n_flows = diff_new_flows(desired, installed, changes);
    if (n_flows < hmap_count(&installed->flows)) {
        diff_old_flows(installed, desired, changes);
    }
    if (n_groups < hmap_count(&installed->groups)) {
        diff_old_groups(installed, desired, changes);
    }
}

/* What is left of 'change', whose members are both NULL for nothing. */
static struct change
what_is_left(const struct change *change, const struct ofstate *installed)
{
    const struct of_flow *flow = (change->new_flow ? change->new_flow
                                  : change->old_flow);
    const struct of_group *group = (change->new_group ? change->new_group
                                    : change->old_group);
    struct change left = *change;

    if (flow) {
        left.old_flow = ofstate_find_flow(installed, flow);
        if (cookie_kind(flow->cookie) == COOKIE_RESIDENT
            || (left.old_flow && left.new_flow
                && of_flow_equal(left.old_flow, left.new_flow))) {
            left.old_flow = left.new_flow = NULL;
        }
    } else {
        left.old_group = ofstate_find_group(installed, group->id);
        if (left.old_group && left.new_group
            && of_group_equal(left.old_group, left.new_group)) {
            left.old_group = left.new_group = NULL;
        }
    }
    return left;
}

void
changes_left(const struct changes *changes, const struct ofstate *installed,
             struct changes *left)
{
    memset(left, 0, sizeof *left);
    for (size_t i = 0; i < changes->n; i++) {
        struct change change = what_is_left(&changes->changes[i], installed);

        if (change.old_flow || change.new_flow
            || change.old_group || change.new_group) {
            changes_add(left, &change);
        }
    }
}

void
changes_uninit(struct changes *changes)
{
    free(changes->changes);
}

/* All of a cookie but a bit that is 0 in each of lbgen's.  With a mask of all
 * ones the switch would not look for the match but go through all flows that
 * have the cookie, and as some have ten thousands in common, the time to
 * delete them would grow with the square. */
#define WHOLE_COOKIE (UINT64_MAX >> 1)

/* Deletes 'flow', as long as it still has our cookie. */
static struct ofpbuf *
delete_flow_message(const struct of_flow *flow)
{
    struct ofputil_flow_mod fm = {
        .priority = flow->priority,
        .table_id = flow->table,
        .command = OFPFC_DELETE_STRICT,
        .cookie = htobe64(flow->cookie),
        .cookie_mask = htobe64(WHOLE_COOKIE),
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
