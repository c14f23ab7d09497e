/* SPDX-License-Identifier: Apache-2.0 */

#include "lbgen/load.h"

struct model *
load_model(const struct command_context *context, const char *file_name,
           struct document **documentp)
{
    struct document *document;
    struct model *model;

    document = document_read_file(file_name, context->diags);
    model = document ? model_read(document, context->diags) : NULL;
    if (!model) {
        document_destroy(document);
        document = NULL;
    }
    *documentp = document;
    return model;
}
