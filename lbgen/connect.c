/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "lbgen/connect.h"

/* How long to wait for the switch while a command waits for something else. */
#define TIMEOUT_WAITING 10

struct session *
connect_session(const struct command_context *context,
                const struct model *model)
{
    struct session_options options = {
        .bridge = (context->bridge ? context->bridge
                   : model ? model->bridge : NULL),
        .timeout = context->wait ? TIMEOUT_WAITING : context->timeout,
        .private_key = context->private_key,
        .certificate = context->certificate,
        .ca_cert = context->ca_cert,
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
connect_bridge(const struct command_context *context,
               const struct model *model, struct bridge **bridgep)
{
    struct session *session = connect_session(context, model);

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
