/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "lbgen/connect.h"

#include <stdlib.h>

#include "lib/part.h"
#include "lib/session-target.h"

/* How long to wait for the switch while a command waits for something else. */
#define TIMEOUT_WAITING 10

/* How often work is begun again if other lbgens are faster. */
#define OVERTAKEN_MAX 5

/* Says what the command is waiting for, while it is. */
static void
say_waiting(const char *holder, void *context_)
{
    const struct command_context *context = context_;

    diag_note(context->diags, NULL, "waiting for %s to be done with the same "
              "bridge (--no-wait)", holder);
    diags_flush(context->diags, stderr);
}

/* What the user calls the bridge, or NULL. */
static const char *
find_bridge(const struct command_context *context, const struct model *model)
{
    return context->bridge ? context->bridge : model ? model->bridge : NULL;
}

/* Connects, with 'lock' unless that is NULL. */
static struct session *
connect_and_lock(const struct command_context *context,
                 const struct model *model, const struct lock_options *lock)
{
    struct session_options options = {
        .bridge = find_bridge(context, model),
        .timeout = context->wait ? TIMEOUT_WAITING : context->timeout,
        .private_key = context->private_key,
        .certificate = context->certificate,
        .ca_cert = context->ca_cert,
        .lock = lock,
    };

    if (!options.bridge) {
        diag_error(context->diags, NULL, "which bridge? set \"bridge\" in the "
                   "file or give -b BRIDGE");
        return NULL;
    }
    session_init(context->verbose);
    return session_open(&options, context->diags);
}

struct session *
connect_session(const struct command_context *context,
                const struct model *model)
{
    return connect_and_lock(context, model, NULL);
}

/* Reads what 'pool' needs, or all of the bridge if that is NULL or cannot be.
 * Returns NULL after queueing an error. */
static struct bridge *
read_bridge(struct session *session, const char *pool, enum part_use use,
            struct diags *diags)
{
    struct bridge *part;

    if (pool) {
        switch (part_read(session, pool, use, &part, diags)) {
        case PART_READ:
        case PART_FAILED:
            return part;
        case PART_IMPOSSIBLE:
            break;
        }
    }
    return bridge_read(session, diags);
}

struct session *
connect_bridge(const struct command_context *context,
               const struct model *model, const char *pool,
               struct bridge **bridgep)
{
    struct session *session = connect_session(context, model);

    *bridgep = (session
                ? read_bridge(session, pool, PART_TO_SHOW, context->diags)
                : NULL);
    if (!*bridgep) {
        session_close(session);
        session = NULL;
    }
    return session;
}

/* Queues the error for a bridge that others changed 'n' times. */
static void
report_overtaken(struct session *session, const struct bridge *bridge, int n,
                 struct diags *diags)
{
    diag_error(diags, NULL, "bridge \"%s\" was changed %d times by others "
               "while this was about to, the last time by %s",
               session_bridge(session), n,
               generation_who(&bridge->generation));
}

/* Calls 'work' with the bridge as often as it takes, the first time with
 * 'bridge', which it takes over, unless that is NULL. */
static int
work_until_done(const struct command_context *context,
                struct session *session, const char *pool,
                struct bridge *bridge,
                int (*work)(const struct command_context *, struct session *,
                            struct bridge *, void *aux),
                void *aux)
{
    int status = STATUS_OVERTAKEN;
    int n_overtaken = 0;

    while (status == STATUS_OVERTAKEN || status == STATUS_NEEDS_ALL) {
        if (bridge && !bridge_is_current(session, bridge, context->diags)) {
            bridge_destroy(bridge);
            bridge = NULL;
        }
        if (!bridge) {
            bridge = read_bridge(session, pool, PART_TO_CHANGE,
                                 context->diags);
        }
        if (!bridge) {
            return STATUS_FAILED;
        } else if (n_overtaken > OVERTAKEN_MAX) {
            report_overtaken(session, bridge, n_overtaken, context->diags);
            status = STATUS_FAILED;
        } else {
            status = work(context, session, bridge, aux);
        }
        n_overtaken += status == STATUS_OVERTAKEN;
        if (status == STATUS_NEEDS_ALL) {
            pool = NULL;
        }
        bridge_destroy(bridge);
        bridge = NULL;
    }
    return status;
}

int
work_on_known_bridge(const struct command_context *context,
                     const struct model *model, const char *pool,
                     struct bridge *bridge,
                     int (*work)(const struct command_context *,
                                 struct session *, struct bridge *,
                                 void *aux),
                     void *aux)
{
    bool changes = (context->command->options & OPTION_NO_WAIT
                    && !context->dry_run);
    struct lock_options lock = {
        .no_wait = context->no_wait,
        .waiting = say_waiting,
        .aux = CONST_CAST(struct command_context *, context),
    };
    struct session *session = connect_and_lock(context, model,
                                               changes ? &lock : NULL);
    int status = STATUS_FAILED;

    if (session) {
        status = work_until_done(context, session, pool, bridge, work, aux);
    } else {
        bridge_destroy(bridge);
    }
    session_close(session);
    return status;
}

int
work_on_bridge(const struct command_context *context,
               const struct model *model, const char *pool,
               int (*work)(const struct command_context *, struct session *,
                           struct bridge *, void *aux),
               void *aux)
{
    return work_on_known_bridge(context, model, pool, NULL, work, aux);
}

bool
lock_rounds(const struct command_context *context, const struct model *model,
            int *fd)
{
    const struct lock_options lock = { .rounds = true, .no_wait = true };
    const char *bridge = find_bridge(context, model);
    enum lock_result result = LOCK_IMPOSSIBLE;

    *fd = -1;
    if (bridge) {
        char *vconn = session_vconn_name(bridge);

        result = lock_take(bridge, vconn, &lock, fd, context->diags);
        free(vconn);
    }
    return result != LOCK_BUSY;
}
