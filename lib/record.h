/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LB_RECORD_H
#define LB_RECORD_H 1

/* Records: what lbgen must know again, kept in the switch
 * =======================================================
 *
 * A record is one line of JSON that goes into "note" actions of flows that no
 * packet meets.  It changes in the same bundle as what it describes, so the
 * two never disagree, and there is no other state.  The pool in it is written
 * in the words of the file and read by the same reader:
 *
 *     {"lbgen":1,"id":51207,"members":[2241,877],"slots":"AABA...",
 *      "spares":{"1":"CDCC..."},"overrides":{...},"pool":{...},
 *      "refreshed":{...}}
 *
 * "slots" has one character per slot for up to RECORD_NARROW servers and two
 * for more: digits in base 64 of the server's index, "-" for no server.
 * "spares" has the tables of later tiers (lib/tiers.h), where there are
 * any. */

#include <stdbool.h>
#include <stddef.h>

#include "lib/assign.h"
#include "lib/diag.h"
#include "lib/document.h"
#include "lib/model.h"

/* Version of the form.  A newer lbgen reads older records, not the reverse. */
#define RECORD_VERSION 1

#define RECORD_NARROW 64

/* A pool read back. */
struct record {
    struct document *document;  /* What 'pool' borrows names from. */
    struct pool *pool;
    struct assignment assignment;
};

/* The text of a record.  The caller frees it. */
char *record_format(const struct assignment *);
char *record_format_settings(const struct settings *);

enum record_result {
    RECORD_OK,
    RECORD_DAMAGED,             /* Not a record, or not a whole one. */
    RECORD_NEWER                /* Of a version that we do not know. */
};

/* Read 'size' bytes of 'text'.  Unless RECORD_OK is returned, there is nothing
 * to free. */
enum record_result record_parse(const char *text, size_t size,
                                struct record *);
enum record_result record_parse_settings(const char *text, size_t size,
                                         struct settings *);
void record_uninit(struct record *);

/* A second copy of an installed pool, to change.  False if there is nothing to
 * free. */
bool record_copy(const struct record *, struct record *copy);

#endif /* lib/record.h */
