/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "lib/update.h"

#include <stdlib.h>
#include <string.h>

#include <openvswitch/ofp-errors.h>

#include "lib/compile.h"
#include "lib/layout.h"
#include "lib/oftext.h"
#include "lib/part.h"

/* Looks for flows of others where lbgen is about to put its own. */
struct clash_finder {
    const struct update *update;
    const struct settings *settings;
    const char *bridge;
    bool own_table;             /* Nobody else has any business there. */
    size_t n_clashes;
    struct diags *diags;
};

/* Returns the desired flow that 'flow', of somebody else, has the place of, or
 * NULL.  In the entry table that is also one of the same priority that matches
 * some of the same packets: which of them wins is not defined.  (Not for the
 * fallback, which is there for whatever others do not want.) */
static const struct of_flow *
find_clash(const struct clash_finder *finder, const struct of_flow *flow)
{
    const struct ofstate *desired = &finder->update->desired;
    int level = flow->priority - finder->settings->priority;

    return (level >= PRIORITY_FIRST && level <= PRIORITY_LAST
            ? ofstate_find_overlap(desired, flow)
            : ofstate_find_flow(desired, flow));
}

static void
check_foreign_flow(const struct of_flow *flow, void *finder_)
{
    struct clash_finder *finder = finder_;
    const struct of_flow *ours = find_clash(finder, flow);
    struct ds s = DS_EMPTY_INITIALIZER;

    if ((!ours && !finder->own_table) || finder->n_clashes++) {
        return;
    }
    oftext_flow(flow, &finder->update->bridge->ports, &s);
    if (finder->own_table) {
        diag_error(finder->diags, NULL, "bridge \"%s\" has flows of others in "
                   "table %d, which lbgen would take for itself; set "
                   "\"table_base\" to the first of %d free tables",
                   finder->bridge, flow->table, LAYOUT_N_TABLES);
    } else {
        diag_error(finder->diags, &ours->loc, "bridge \"%s\" has a flow of "
                   "its own in the place of one that is needed here; set "
                   "another \"priority\"", finder->bridge);
    }
    diag_note(finder->diags, NULL, "it is: %s", ds_cstr(&s));
    ds_destroy(&s);
}

/* Marks in 'tables' the ones that get a flow which was not there before. */
static bool
find_new_tables(const struct changes *changes, bool tables[UINT8_MAX + 1])
{
    bool any = false;

    memset(tables, 0, (UINT8_MAX + 1) * sizeof *tables);
    for (size_t i = 0; i < changes->n; i++) {
        const struct change *change = &changes->changes[i];

        if (change->new_flow && !change->old_flow) {
            tables[change->new_flow->table] = any = true;
        }
    }
    return any;
}

static bool
check_foreign_flows(struct session *session, const struct update *update,
                    const struct settings *settings, struct diags *diags)
{
    struct clash_finder finder = {
        .update = update,
        .settings = settings,
        .bridge = session_bridge(session),
        .diags = diags
    };
    bool tables[UINT8_MAX + 1];

    find_new_tables(&update->changes, tables);
    for (int table = 0; table < UINT8_MAX; table++) {
        finder.own_table = table != settings->entry_table;
        if (tables[table]
            && !bridge_read_foreign(session, table, check_foreign_flow,
                                    &finder, diags)) {
            return false;
        }
    }
    return !finder.n_clashes;
}

static bool
check_foreign_groups(const struct update *update, const char *bridge,
                     struct diags *diags)
{
    bool ok = true;

    for (size_t i = 0; i < update->bridge->n_foreign_groups; i++) {
        uint32_t id = update->bridge->foreign_groups[i];
        const struct of_group *ours = ofstate_find_group(&update->desired, id);

        if (ours) {
            diag_error(diags, &ours->loc, "bridge \"%s\" has a group %u that "
                       "is not lbgen's, and this pool needs that id",
                       bridge, id);
            ok = false;
        } else if (id == GROUP_GENERATION) {
            diag_error(diags, NULL, "bridge \"%s\" has a group %u that is not "
                       "lbgen's, and lbgen needs that id", bridge, id);
            ok = false;
        }
    }
    return ok;
}

static void
compute_generation(struct update *update)
{
    if (update->bridge->is_part) {
        generation_follow(&update->bridge->generation, &update->desired,
                          &update->generation);
    } else {
        generation_compute(&update->desired, &update->generation);
    }
}

/* Fills in what is desired and the changes.  False after queueing an error, or
 * if 'needs_all' is set. */
static bool
compute_changes(struct update *update, const struct model *model,
                const char *name, struct diags *diags)
{
    const struct bridge *bridge = update->bridge;

    if (!compile(model, &update->assignments, &bridge->ports, name,
                 &update->desired, diags)) {
        return false;
    }
    diff_compute(&update->desired, &bridge->installed, &update->changes);
    update->needs_all = bridge->is_part && !part_allows(&update->changes);
    return !update->needs_all;
}

bool
update_prepare(struct session *session, const struct bridge *bridge,
               const struct model *model, struct update *update,
               struct diags *diags)
{
    const char *name = session_bridge(session);

    update->bridge = bridge;
    ofstate_init(&update->desired);
    ofstate_init(&update->residents);
    memset(&update->changes, 0, sizeof update->changes);
    memset(&update->cut, 0, sizeof update->cut);
    update->sent = update->needs_all = false;
    assignments_compute(model, &bridge->assignments, &update->assignments);
    removal_prepare(session, bridge, model, &update->assignments,
                    &update->removal, diags);
    removal_check_zone(session, bridge, model, &update->assignments, diags);
    if (compute_changes(update, model, name, diags)) {
        residents_prepare(session, bridge, model, &update->assignments,
                          &update->residents, &update->changes, diags);
        compute_generation(update);
        if (check_foreign_groups(update, name, diags)
            && check_foreign_flows(session, update, &model->settings,
                                   diags)) {
            return true;
        }
    }
    update_uninit(update);
    return false;
}

void
update_uninit(struct update *update)
{
    removal_uninit(&update->removal);
    changes_uninit(&update->changes);
    ofstate_uninit(&update->residents);
    ofstate_uninit(&update->desired);
    assignments_uninit(&update->assignments);
}

/* Queues the error for a bundle that the switch refused with 'error', because
 * of number 'index' of 'changes' unless that is SIZE_MAX. */
static void
report_refusal(const struct update *update, const struct changes *changes,
               const char *bridge, size_t index, int error,
               struct diags *diags)
{
    const struct change *change;
    struct ds s = DS_EMPTY_INITIALIZER;

    if (index == SIZE_MAX) {
        diag_error(diags, NULL, "bridge \"%s\" refused the changes and is "
                   "unchanged: %s", bridge, ofperr_get_name(error));
        return;
    }
    change = &changes->changes[index];
    if (change->new_flow || change->old_flow) {
        oftext_flow(change->new_flow ? change->new_flow : change->old_flow,
                    &update->bridge->ports, &s);
    } else {
        ds_put_format(&s, "group_id=%u", (change->new_group
                                          ? change->new_group->id
                                          : change->old_group->id));
    }
    diag_error(diags, change_loc(change), "bridge \"%s\" refused a change and "
               "is unchanged: %s (%s)", bridge, ofperr_get_name(error),
               ofperr_get_description(error));
    diag_note(diags, NULL, "it refused: %s", ds_cstr(&s));
    ds_destroy(&s);
}

/* Sends 'changes' as one bundle that takes the bridge from generation 'old' to
 * that of 'update'. */
static enum update_result
send_changes(struct session *session, const struct update *update,
             const struct changes *changes, const struct generation *old,
             struct diags *diags)
{
    struct ofpbuf **messages = lb_xcalloc(GENERATION_MAX_MESSAGES + changes->n,
                                          sizeof *messages);
    size_t n_guards = generation_messages(old, &update->generation, messages);
    size_t n = n_guards + changes->n;
    enum bundle_result result;
    bool overtaken = false;
    size_t refused;
    int error;

    for (size_t i = 0; i < changes->n; i++) {
        messages[n_guards + i] = change_message(&changes->changes[i]);
    }
    result = session_bundle(session, messages, n, &refused, &error, diags);
    if (result == BUNDLE_REFUSED) {
        overtaken = refused < n_guards && generation_is_conflict(error);
        if (!overtaken) {
            report_refusal(update, changes, session_bridge(session),
                           (refused < n_guards || refused == SIZE_MAX
                            ? SIZE_MAX : refused - n_guards), error, diags);
        }
    }
    for (size_t i = 0; i < n; i++) {
        ofpbuf_delete(messages[i]);
    }
    free(messages);
    return (result == BUNDLE_COMMITTED ? UPDATE_DONE
            : overtaken ? UPDATE_OVERTAKEN : UPDATE_FAILED);
}

/* Reads back the bridge, or what was changed of a part, and fills in '*left'
 * with what is missing, to be freed with the bridge.  Nothing is if another
 * lbgen has been there in the meantime: that one changed what we had done.
 * Returns NULL after queueing an error. */
static struct bridge *
read_back(struct session *session, const struct update *update,
          struct changes *left, struct diags *diags)
{
    bool is_part = update->bridge->is_part;
    struct bridge *after = (is_part
                            ? part_read_changed(session, &update->changes,
                                                diags)
                            : bridge_read_installed(session, diags));

    memset(left, 0, sizeof *left);
    if (after && generation_equal(&update->generation, &after->generation)) {
        if (is_part) {
            changes_left(&update->changes, &after->installed, left);
        } else {
            diff_compute(&update->desired, &after->installed, left);
        }
    } else if (after) {
        diag_warning(diags, NULL, "bridge \"%s\" took the changes, and was "
                     "then changed again by %s", session_bridge(session),
                     generation_who(&after->generation));
    }
    return after;
}

/* Sends once more what something else undid. */
static enum update_result
mend(struct session *session, const struct update *update,
     const struct changes *left, struct diags *diags)
{
    enum update_result result = send_changes(session, update, left,
                                             &update->generation, diags);

    if (result == UPDATE_DONE) {
        diag_warning(diags, NULL, "something else changed %zu flows or groups "
                     "of lbgen's on bridge \"%s\" at the same time; they are "
                     "mended", left->n, session_bridge(session));
    } else if (result == UPDATE_OVERTAKEN) {
        /* We were done before that other one began. */
        result = UPDATE_DONE;
    }
    return result;
}

/* Checks that the bridge took all changes, and mends it if 'may_mend'. */
static enum update_result
check_back(struct session *session, const struct update *update,
           bool may_mend, struct diags *diags)
{
    enum update_result result = UPDATE_DONE;
    struct changes left;
    struct bridge *after = read_back(session, update, &left, diags);

    if (!after) {
        return UPDATE_FAILED;
    }
    if (left.n && may_mend) {
        result = mend(session, update, &left, diags);
        if (result == UPDATE_DONE) {
            result = check_back(session, update, false, diags);
        }
    } else if (left.n) {
        diag_error(diags, NULL, "bridge \"%s\" took the changes but is not as "
                   "it should be: %zu flows or groups differ; something else "
                   "may be changing them (see lbgen diff)",
                   session_bridge(session), left.n);
        result = UPDATE_FAILED;
    }
    changes_uninit(&left);
    bridge_destroy(after);
    return result;
}

enum update_result
update_send(struct session *session, struct update *update,
            struct diags *diags)
{
    enum update_result result;

    if (!update->changes.n && (update->generation.exists
                               || !update->bridge->generation.exists)) {
        return UPDATE_DONE;
    }
    result = send_changes(session, update, &update->changes,
                          &update->bridge->generation, diags);
    update->sent = result == UPDATE_DONE;
    return result;
}

bool
update_cut(struct session *session, struct update *update,
           struct diags *diags)
{
    return (!update->sent
            || conntrack_cut(session, update->removal.zone,
                             update->removal.targets,
                             update->removal.n_targets, &update->cut, diags));
}

enum update_result
update_check(struct session *session, const struct update *update,
             struct diags *diags)
{
    return (update->sent ? check_back(session, update, true, diags)
            : UPDATE_DONE);
}

enum update_result
update_commit(struct session *session, struct update *update,
              struct diags *diags)
{
    enum update_result result = update_send(session, update, diags);

    if (result == UPDATE_DONE && !update_cut(session, update, diags)) {
        result = UPDATE_FAILED;
    }
    return (result == UPDATE_DONE ? update_check(session, update, diags)
            : result);
}
