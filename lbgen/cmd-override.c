/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lbgen/connect.h"
#include "lbgen/drain-wait.h"
#include "lib/discover.h"
#include "lib/override.h"
#include "lib/refreshed.h"

/* What "drain --wait" waits for. */
struct awaited {
    enum connections connections;
    uint16_t zone;
    uint16_t member;
};

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

/* Finds what "POOL/SERVER" names on the bridge.  Returns the index of the pool
 * in 'bridge->records' and stores that of the server, or returns SIZE_MAX
 * after queueing an error. */
static size_t
find_server(const struct command_context *context, const char *bridge_name,
            const struct bridge *bridge, size_t *server)
{
    const char *what = context->args[0];
    const char *slash = strchr(what, '/');
    char *pool_name = lb_xmemdup0(what, slash - what);
    size_t i;

    for (i = 0; i < bridge->n_records; i++) {
        if (!strcmp(bridge->records[i].pool->name, pool_name)) {
            break;
        }
    }
    if (i == bridge->n_records) {
        diag_error(context->diags, NULL, "bridge \"%s\" has no pool \"%s\"",
                   bridge_name, pool_name);
        i = SIZE_MAX;
    } else {
        *server = pool_find_server(bridge->records[i].pool, slash + 1);
        if (*server == SIZE_MAX) {
            diag_error(context->diags, NULL, "pool \"%s\" has no server "
                       "\"%s\"", pool_name, slash + 1);
            i = SIZE_MAX;
        }
    }
    free(pool_name);
    return i;
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
    status = drain_wait(context, session, awaited->zone, awaited->member,
                        context->args[0]);
    session_close(session);
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
    struct model model;
    size_t pool, server;
    int status = STATUS_FAILED;

    pool = find_server(context, name, bridge, &server);
    if (pool == SIZE_MAX || !bridge_check_settings(bridge, name,
                                                   context->diags)) {
        return STATUS_FAILED;
    }
    request->awaited = (struct awaited) {
        .connections = bridge->records[pool].pool->connections,
        .zone = bridge->settings.zone,
        .member = bridge->records[pool].assignment.members[server],
    };
    if (record_copy(&bridge->records[pool], &changed)) {
        change_server(changed.pool, &changed.pool->servers[server], request);
        bridge_model(bridge, &model, NULL, NULL);
        model.pools[pool] = changed.pool;
        if (find_missing(context, session, bridge, &model,
                         &changed.pool->servers[server], request)) {
            status = run_update(context, session, bridge, &model, "override",
                                context->dry_run);
        }
        bridge_model_uninit(&model);
        record_uninit(&changed);
    }
    return status;
}

static int
run_override(const struct command_context *context,
             struct override_request *request)
{
    const char *slash = strchr(context->args[0], '/');
    int status;

    if (!slash || slash == context->args[0] || !slash[1]) {
        diag_error(context->diags, NULL, "\"%s\" is not POOL/SERVER",
                   context->args[0]);
        return STATUS_USAGE;
    }
    status = work_on_bridge(context, NULL, override_server, request);
    if (status == STATUS_OK && context->wait && !context->dry_run) {
        status = wait_for_drain(context, &request->awaited);
    }
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
