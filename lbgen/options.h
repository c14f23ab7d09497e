/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPTIONS_H
#define OPTIONS_H 1

/* The command line
 * ================ */

#include <stdio.h>

#include "lbgen/command.h"

/* What the command line asks for. */
enum request {
    REQUEST_RUN,                /* The command. */
    REQUEST_HELP,               /* Help, on the command if there is one. */
    REQUEST_VERSION,
    REQUEST_WRONG               /* Nothing that makes sense. */
};

/* Fills in '*context', which already has its 'diags'.  Options may stand
 * before or after the command.  What is wrong about the command line is queued
 * in 'context->diags'. */
enum request options_parse(int argc, char *argv[],
                           struct command_context *context);

/* Prints help on 'command', or on the program if that is NULL. */
void options_print_help(const struct command *command, FILE *stream);

#endif /* lbgen/options.h */
