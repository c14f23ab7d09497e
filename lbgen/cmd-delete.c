/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include <string.h>

#include "lbgen/connect.h"
#include "lbgen/load.h"
#include "lib/discover-ports.h"

/* Which pools go: all, one by name, or those that a file names. */
struct victims {
    bool all;
    const char *name;           /* NULL for none. */
    const struct model *model;  /* NULL for none. */
};

static bool
is_victim(const struct pool *pool, const void *victims_)
{
    const struct victims *victims = victims_;

    return (victims->all
            || (victims->name && !strcmp(victims->name, pool->name))
            || (victims->model && model_find_pool(victims->model,
                                                  pool->name)));
}

/* False after an error if what is to be deleted cannot be, for a reason that
 * is known beforehand. */
static bool
check_victims(const struct command_context *context,
              const struct bridge *bridge, const char *bridge_name,
              const struct victims *victims)
{
    if (victims->name
        && !assignments_find(&bridge->assignments, victims->name)) {
        diag_error(context->diags, NULL, "bridge \"%s\" has no pool \"%s\"",
                   bridge_name, victims->name);
        return false;
    }
    return (victims->all
            || bridge_check_settings(bridge, bridge_name, context->diags));
}

static int
delete_pools(const struct command_context *context, struct session *session,
             struct bridge *bridge, void *victims_)
{
    const struct victims *victims = victims_;
    struct discovered_ports ports;
    struct model rest;
    int status = STATUS_FAILED;

    if (check_victims(context, bridge, session_bridge(session), victims)) {
        bridge_model(bridge, &rest, is_victim, victims);
        discover_ports(session, bridge, &rest, &ports, context->diags);
        status = run_update(context, session, bridge, &rest,
                            "without what is deleted", context->dry_run);
        discovered_ports_uninit(&ports);
        bridge_model_uninit(&rest);
    }
    return status;
}

/* lbgen delete: take pools off the bridge.  The pools that stay are compiled
 * again from their records, so what they share with those that go stays. */
int
cmd_delete(const struct command_context *context)
{
    struct victims victims = { .all = context->all, .name = context->pool };
    struct document *document = NULL;
    struct model *model = NULL;
    int status = STATUS_FAILED;

    if (victims.all + !!victims.name + context->n_args != 1) {
        diag_error(context->diags, NULL,
                   "give one of FILE, --pool NAME and --all");
        return STATUS_USAGE;
    }
    if (!context->n_args && !context->bridge) {
        diag_error(context->diags, NULL, "which bridge? give -b BRIDGE");
        return STATUS_USAGE;
    }
    if (context->n_args) {
        victims.model = model = load_model(context, context->args[0],
                                           &document);
    }
    if (model || !context->n_args) {
        status = work_on_bridge(context, model, NULL, delete_pools, &victims);
    }
    model_destroy(model);
    document_destroy(document);
    return status;
}
