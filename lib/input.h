/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LB_INPUT_H
#define LB_INPUT_H 1

/* Bytes of a file, in bounded memory
 * ================================== */

#include <stdbool.h>
#include <stddef.h>

#include "lib/diag.h"

/* Reads all of the file 'file_name', or of standard input if that is "-", into
 * '*textp', which the caller frees, and its length into '*sizep'.  Messages
 * call the file 'name'.
 *
 * A file of more than 'max' bytes is an error and never in memory; so is one
 * with null bytes, of which no more is read than up to the first.  On error
 * queues one and returns false. */
bool input_read(const char *file_name, const char *name, size_t max,
                char **textp, size_t *sizep, struct diags *);

#endif /* lib/input.h */
