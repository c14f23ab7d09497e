/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "lib/update.h"

#include <stdlib.h>
#include <string.h>

#include <openvswitch/ofp-errors.h>

#include "lib/compile.h"
#include "lib/layout.h"
#include "lib/oftext.h"

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

    return (level == PRIORITY_RETURN || level == PRIORITY_ENTRY
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
        }
    }
    return ok;
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
    assignments_compute(model, &bridge->assignments, &update->assignments);
    removal_prepare(session, bridge, model, &update->assignments,
                    &update->removal, diags);
    removal_check_zone(session, bridge, model, &update->assignments, diags);
    if (compile(model, &update->assignments, &bridge->ports, name,
                &update->desired, diags)) {
        diff_compute(&update->desired, &update->bridge->installed,
                     &update->changes);
        residents_prepare(session, bridge, model, &update->assignments,
                          &update->residents, &update->changes, diags);
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

/* Queues the error for a bundle that the switch refused with 'error', because of
 * change number 'index' unless that is SIZE_MAX. */
static void
report_refusal(const struct update *update, const char *bridge, size_t index,
               int error, struct diags *diags)
{
    const struct change *change;
    struct ds s = DS_EMPTY_INITIALIZER;

    if (index == SIZE_MAX) {
        diag_error(diags, NULL, "bridge \"%s\" refused the changes and is "
                   "unchanged: %s", bridge, ofperr_get_name(error));
        return;
    }
    change = &update->changes.changes[index];
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

static bool
send_changes(struct session *session, const struct update *update,
             struct diags *diags)
{
    const struct changes *changes = &update->changes;
    struct ofpbuf **messages = lb_xcalloc(changes->n, sizeof *messages);
    enum bundle_result result;
    size_t refused;
    int error;

    for (size_t i = 0; i < changes->n; i++) {
        messages[i] = change_message(&changes->changes[i]);
    }
    result = session_bundle(session, messages, changes->n, &refused, &error,
                            diags);
    if (result == BUNDLE_REFUSED) {
        report_refusal(update, session_bridge(session), refused, error, diags);
    }
    for (size_t i = 0; i < changes->n; i++) {
        ofpbuf_delete(messages[i]);
    }
    free(messages);
    return result == BUNDLE_COMMITTED;
}

bool
update_commit(struct session *session, struct update *update,
              struct diags *diags)
{
    struct changes left;
    struct bridge *after;
    size_t n_left;

    if (!update->changes.n) {
        return true;
    }
    if (!send_changes(session, update, diags)
        || !conntrack_cut(session, update->removal.zone,
                          update->removal.targets, update->removal.n_targets,
                          &update->cut, diags)) {
        return false;
    }
    after = bridge_read(session, diags);
    if (!after) {
        return false;
    }
    diff_compute(&update->desired, &after->installed, &left);
    n_left = left.n;
    changes_uninit(&left);
    bridge_destroy(after);
    if (n_left) {
        diag_error(diags, NULL, "bridge \"%s\" took the changes but is not as "
                   "it should be: %zu flows or groups differ; something else "
                   "may be changing them (see lbgen diff)",
                   session_bridge(session), n_left);
    }
    return !n_left;
}
