/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "lbgen/connect.h"

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

/* Connects, with 'lock' unless that is NULL. */
static struct session *
connect_and_lock(const struct command_context *context,
                 const struct model *model, const struct lock_options *lock)
{
    struct session_options options = {
        .bridge = (context->bridge ? context->bridge
                   : model ? model->bridge : NULL),
        .timeout = context->wait ? TIMEOUT_WAITING : context->timeout,
        .private_key = context->private_key,
        .certificate = context->certificate,
        .ca_cert = context->ca_cert,
        .lock = lock,
    };

    if (!options.bridge) {
        diag_error(context->diags, NULL, "which bridge? %s-b BRIDGE",
                   model ? "set \"bridge\" in the file or give " : "give ");
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

/* Reads the bridge of 'session', which it closes if that does not work. */
static struct session *
read_bridge(const struct command_context *context, struct session *session,
            struct bridge **bridgep)
{
    *bridgep = NULL;
    if (session) {
        *bridgep = bridge_read(session, context->diags);
        if (!*bridgep) {
            session_close(session);
            session = NULL;
        }
    }
    return session;
}

struct session *
connect_bridge(const struct command_context *context,
               const struct model *model, struct bridge **bridgep)
{
    return read_bridge(context, connect_session(context, model), bridgep);
}

int
work_on_bridge(const struct command_context *context,
               const struct model *model,
               int (*work)(const struct command_context *, struct session *,
                           struct bridge *, void *aux),
               void *aux)
{
    bool changes = (context->command->options & OPTION_NO_WAIT
                    && !context->dry_run);
    struct lock_options lock = {
        .no_wait = context->no_wait,
        .waiting = say_waiting,
        .aux = CONST_CAST(struct command_context *, context),
    };
    struct bridge *bridge;
    struct session *session = connect_and_lock(context, model,
                                               changes ? &lock : NULL);
    int status = STATUS_FAILED;

    session = read_bridge(context, session, &bridge);
    if (!session) {
        return STATUS_FAILED;
    }
    for (int i = 0; bridge; i++) {
        status = work(context, session, bridge, aux);
        bridge_destroy(bridge);
        bridge = NULL;
        if (status == STATUS_OVERTAKEN) {
            status = STATUS_FAILED;
            bridge = bridge_read(session, context->diags);
            if (bridge && i == OVERTAKEN_MAX) {
                diag_error(context->diags, NULL, "bridge \"%s\" was changed "
                           "%d times by others while this was about to, the "
                           "last time by %s", session_bridge(session), i + 1,
                           generation_who(&bridge->generation));
                bridge_destroy(bridge);
                bridge = NULL;
            }
        }
    }
    session_close(session);
    return status;
}
