/* SPDX-License-Identifier: Apache-2.0 */

#include "lbgen/load.h"

/* lbgen check: says what is wrong with a file, nothing if all is right. */
int
cmd_check(const struct command_context *context)
{
    struct document *document;
    struct model *model = load_model(context, context->args[0], &document);
    int status = model ? STATUS_OK : STATUS_FAILED;

    if (model) {
        model_warn_of_caveats(model, context->diags);
    }
    model_destroy(model);
    document_destroy(document);
    return status;
}
