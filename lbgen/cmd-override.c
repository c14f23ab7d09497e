/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lbgen/connect.h"
#include "lbgen/drain-wait.h"
#include "lib/discover-ports.h"
#include "lib/discover.h"
#include "lib/override.h"
#include "lib/path.h"
#include "lib/refreshed.h"

/* One override command: what it does to a server. */
struct override_request {
    enum server_state state;
    bool is_weight;             /* Else it is about the state. */
    uint16_t weight;
    bool is_percent;
    struct awaited awaited;     /* Filled in on the way. */
};

static void
change_server(const struct pool *pool, struct server *server,
              const struct override_request *request)
{
    bool was_ready = server_effective_state(server) == SERVER_READY;
    int64_t now = time(NULL);

    if (request->is_weight) {
        override_set_weight(server, request->weight, request->is_percent, now);
    } else if (request->state == SERVER_READY) {
        override_make_ready(server, now);
    } else {
        override_set_state(server, request->state, now);
    }
    if (!was_ready && server_effective_state(server) == SERVER_READY) {
        refreshed_came_back(pool, server, now);
    }
}

/* Servers of one pool. */
struct targets {
    size_t pool;                /* Index in 'bridge->records'. */
    bool *chosen;               /* One for each server of the pool. */
};

/* Finds the pool that "POOL/SERVER" or "POOL/SET" names on the bridge.
 * Returns its index in 'bridge->records' or SIZE_MAX after queueing an
 * error. */
static size_t
find_pool(const struct command_context *context, const char *bridge_name,
          const struct bridge *bridge)
{
    const char *what = context->args[0];
    char *name = lb_xmemdup0(what, strchr(what, '/') - what);
    size_t i;

    for (i = 0; i < bridge->n_records; i++) {
        if (!strcmp(bridge->records[i].pool->name, name)) {
            break;
        }
    }
    if (i == bridge->n_records) {
        diag_error(context->diags, NULL, "bridge \"%s\" has no pool \"%s\"",
                   bridge_name, name);
        i = SIZE_MAX;
    }
    free(name);
    return i;
}

/* Chooses the server or those of the set called 'name'.  False after queueing
 * an error. */
static bool
choose(const struct pool *pool, const char *name,
       const struct override_request *request, bool *chosen,
       struct diags *diags)
{
    size_t server = pool_find_server(pool, name);
    size_t set = pool_find_set(pool, name);

    if (server != SIZE_MAX) {
        chosen[server] = true;
    } else if (!set) {
        diag_error(diags, NULL, "pool \"%s\" has no server \"%s\"",
                   pool->name, name);
        return false;
    } else if (request->is_weight) {
        diag_error(diags, NULL, "\"%s\" is a set, which has the weight that "
                   "the file says; servers in it can have another one", name);
        return false;
    }
    for (size_t i = 0; set && i < pool->n_servers; i++) {
        chosen[i] = pool_set_is_in(pool, pool->servers[i].set, set);
    }
    return true;
}

/* Finds what the command line names.  False after queueing an error, else the
 * caller frees 'targets->chosen'. */
static bool
find_targets(const struct command_context *context, const char *bridge_name,
             const struct bridge *bridge,
             const struct override_request *request, struct targets *targets)
{
    const struct pool *pool;

    targets->pool = find_pool(context, bridge_name, bridge);
    if (targets->pool == SIZE_MAX) {
        return false;
    }
    pool = bridge->records[targets->pool].pool;
    targets->chosen = lb_xcalloc(pool->n_servers, sizeof *targets->chosen);
    if (choose(pool, strchr(context->args[0], '/') + 1, request,
               targets->chosen, context->diags)) {
        return true;
    }
    free(targets->chosen);
    return false;
}

/* Looks for 'server' of 'model' if the last apply has not found it.  To make
 * it ready, it must be there. */
static bool
find_missing(const struct command_context *context, struct session *session,
             const struct bridge *bridge, struct model *model,
             const struct server *server,
             const struct override_request *request)
{
    return (!server->missing
            || discover(session, bridge, model, server,
                        request->is_weight || request->state != SERVER_READY,
                        context->diags));
}

/* Changes the chosen servers of 'pool', which is in 'model'. */
static bool
change_servers(const struct command_context *context, struct session *session,
               const struct bridge *bridge, struct model *model,
               struct pool *pool, const struct targets *targets,
               const struct override_request *request)
{
    for (size_t i = 0; i < pool->n_servers; i++) {
        if (targets->chosen[i]) {
            change_server(pool, &pool->servers[i], request);
        }
    }
    for (size_t i = 0; i < pool->n_servers; i++) {
        if (targets->chosen[i]
            && !find_missing(context, session, bridge, model,
                             &pool->servers[i], request)) {
            return false;
        }
    }
    return true;
}

/* Notes whose connections "--wait" waits for. */
static void
await(struct override_request *request, const struct bridge *bridge,
      const struct targets *targets)
{
    const struct assignment *a = &bridge->records[targets->pool].assignment;
    struct awaited *awaited = &request->awaited;

    free(awaited->members);
    *awaited = (struct awaited) {
        .connections = a->pool->connections,
        .zone = path_zone(&bridge->settings, a->pool),
        .members = lb_xcalloc(a->pool->n_servers, sizeof *awaited->members),
    };
    for (size_t i = 0; i < a->pool->n_servers; i++) {
        if (targets->chosen[i]) {
            awaited->members[awaited->n++] = a->members[i];
        }
    }
}

/* Waits with a connection of its own, so that nobody else has to wait for the
 * end of ours. */
static int
wait_for_drain(const struct command_context *context,
               const struct awaited *awaited)
{
    struct session *session;
    int status;

    if (awaited->connections != CONNECTIONS_TRACKED) {
        diag_error(context->diags, NULL, "the server is drained, but nobody "
                   "knows its connections: the pool is %s",
                   connections_name(awaited->connections));
        return STATUS_FAILED;
    }
    session = connect_session(context, NULL);
    if (!session) {
        return STATUS_FAILED;
    }
    status = drain_wait(context, session, awaited, context->args[0]);
    session_close(session);
    return status;
}

/* Whether a server has to be looked for, which others may have to be moved
 * for. */
static bool
any_missing(const struct pool *pool, const struct targets *targets)
{
    for (size_t i = 0; i < pool->n_servers; i++) {
        if (targets->chosen[i] && pool->servers[i].missing) {
            return true;
        }
    }
    return false;
}

/* Makes the bridge what 'model' says, or says that all of it is needed. */
static int
update_to(const struct command_context *context, struct session *session,
          const struct bridge *bridge, struct model *model)
{
    struct discovered_ports ports;
    int status = STATUS_NEEDS_ALL;

    if (!discover_ports(session, bridge, model, &ports, context->diags)
        || !bridge->is_part) {
        status = run_update(context, session, bridge, model, "override",
                            context->dry_run);
    }
    discovered_ports_uninit(&ports);
    return status;
}

static int
override_server(const struct command_context *context,
                struct session *session, struct bridge *bridge,
                void *request_)
{
    struct override_request *request = request_;
    const char *name = session_bridge(session);
    struct record changed;
    struct targets targets;
    struct model model;
    int status = STATUS_FAILED;

    if (!bridge_check_settings(bridge, name, context->diags)
        || !find_targets(context, name, bridge, request, &targets)) {
        return STATUS_FAILED;
    }
    await(request, bridge, &targets);
    if (bridge->is_part && any_missing(bridge->records[targets.pool].pool,
                                       &targets)) {
        status = STATUS_NEEDS_ALL;
    } else if (record_copy(&bridge->records[targets.pool], &changed)) {
        bridge_model(bridge, &model, NULL, NULL);
        model.pools[targets.pool] = changed.pool;
        if (change_servers(context, session, bridge, &model, changed.pool,
                           &targets, request)) {
            status = update_to(context, session, bridge, &model);
        }
        bridge_model_uninit(&model);
        record_uninit(&changed);
    }
    free(targets.chosen);
    return status;
}

static int
run_override(const struct command_context *context,
             struct override_request *request)
{
    const char *slash = strchr(context->args[0], '/');
    char *pool;
    int status;

    if (!slash || slash == context->args[0] || !slash[1]) {
        diag_error(context->diags, NULL, "\"%s\" is not POOL/SERVER",
                   context->args[0]);
        return STATUS_USAGE;
    }
    pool = lb_xmemdup0(context->args[0], slash - context->args[0]);
    status = work_on_bridge(context, NULL, pool, override_server, request);
    free(pool);
    if (status == STATUS_OK && context->wait && !context->dry_run) {
        status = wait_for_drain(context, &request->awaited);
    }
    free(request->awaited.members);
    return status;
}

/* lbgen drain: no new connections. */
int
cmd_drain(const struct command_context *context)
{
    return run_override(context, &(struct override_request) {
                                     .state = SERVER_DRAIN });
}

/* lbgen maint: no packets at all. */
int
cmd_maint(const struct command_context *context)
{
    return run_override(context, &(struct override_request) {
                                     .state = SERVER_MAINT });
}

/* lbgen ready: what the file says again, and in any case ready. */
int
cmd_ready(const struct command_context *context)
{
    return run_override(context, &(struct override_request) {
                                     .state = SERVER_READY });
}

/* lbgen weight: another weight than the file's. */
int
cmd_weight(const struct command_context *context)
{
    struct override_request request = { .is_weight = true };
    const char *flaw = override_parse_weight(context->args[1], &request.weight,
                                             &request.is_percent);

    if (flaw) {
        diag_error(context->diags, NULL, "weight \"%s\" %s",
                   context->args[1], flaw);
        return STATUS_USAGE;
    }
    return run_override(context, &request);
}
