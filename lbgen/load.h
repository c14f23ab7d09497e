/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LOAD_H
#define LOAD_H 1

/* Reading the file that a command is given
 * ======================================== */

#include "lbgen/command.h"
#include "lib/document.h"
#include "lib/model.h"

/* Reads 'file_name', "-" for standard input, into a model.  Returns it and
 * stores the document that it borrows from in '*documentp'; the caller
 * destroys both, the model first.  On error, which is queued in
 * 'context->diags', returns NULL and stores NULL. */
struct model *load_model(const struct command_context *context,
                         const char *file_name, struct document **documentp);

#endif /* lbgen/load.h */
