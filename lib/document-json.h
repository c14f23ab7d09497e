/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LB_DOCUMENT_JSON_H
#define LB_DOCUMENT_JSON_H 1

/* JSON as lbgen itself writes it, read fast
 * =========================================
 *
 * Records on a bridge are JSON, which is YAML as well, on one line.  A general
 * reader of YAML takes several times as long, which counts where a thousand
 * pools are read before each change.  This one reads the part of JSON that
 * records are written in and leaves all else, mistakes above all, to the
 * general reader: what it accepts, it reads as that would. */

#include <stddef.h>

#include "lib/arena.h"
#include "lib/document.h"

/* Reads 'size' bytes of 'text' into nodes in 'arena', whose places are in the
 * file 'name'.  Returns the root, or NULL if the text is not so simple: it has
 * bytes that are not printable ASCII, escapes other than of those, space, or a
 * key given twice, say. */
const struct node *document_json_read(const char *name, const char *text,
                                      size_t size, struct arena *arena);

#endif /* lib/document-json.h */
