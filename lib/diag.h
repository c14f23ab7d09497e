/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LB_DIAG_H
#define LB_DIAG_H 1

/* Messages to the user, with their place in the file
 * ==================================================
 *
 * The library never prints.  It queues what it has to say in a "struct diags"
 * and goes on after an error as far as it makes sense, so that one run shows
 * all mistakes of a file.  The command prints the queue and decides the exit
 * status.
 *
 * A message is lower case, has no full stop, says what is wrong and then what
 * would be right:
 *
 *     web.yaml:14:17: error: server "s2": weight must be 0 to 65535, not -1
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "lib/util.h"

/* A place in a file.  Lines and columns count from 1; 'line' 0 means the file
 * as a whole, and 'file' NULL means no file at all. */
struct source_loc {
    const char *file;           /* Borrowed from the document or caller. */
    int line;
    int column;
};

enum diag_level {
    DIAG_ERROR,                 /* The command cannot do what was asked. */
    DIAG_WARNING,               /* It can, but the user should look. */
    DIAG_NOTE                   /* Explains the message before it. */
};

/* How many errors, and how many warnings, are kept until they are printed;
 * those beyond are counted only. */
#define DIAGS_MAX_ERRORS 50

struct diags;

struct diags *diags_create(void);
void diags_destroy(struct diags *);

/* Queue a message.  'loc' may be NULL; it is copied, file name included. */
void diag_error(struct diags *, const struct source_loc *loc,
                const char *format, ...) LB_PRINTF(3, 4);
void diag_warning(struct diags *, const struct source_loc *loc,
                  const char *format, ...) LB_PRINTF(3, 4);
void diag_note(struct diags *, const struct source_loc *loc,
               const char *format, ...) LB_PRINTF(3, 4);

/* How many there were since diags_create(), printed or not. */
size_t diags_n_errors(const struct diags *);
size_t diags_n_warnings(const struct diags *);

/* Text from a file for use in a message: in quotes, and cut if it is long.
 * DIAG_QUOTE(s) needs no buffer and is good for the block that it stands
 * in. */
#define DIAG_QUOTE_SIZE 64
#define DIAG_QUOTE(S) diag_quote(S, (char[DIAG_QUOTE_SIZE]) { "" })
const char *diag_quote(const char *s, char buf[DIAG_QUOTE_SIZE]);

/* Prints all messages to 'stream', "FILE:LINE:COLUMN: LEVEL: MESSAGE" each
 * ("lbgen: MESSAGE" style for those without a file), and empties the queue, so
 * that no message is ever printed twice.  Messages about one file come in file
 * order, notes after the message that they explain. */
void diags_flush(struct diags *, FILE *stream);

#endif /* lib/diag.h */
