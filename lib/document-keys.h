/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LB_DOCUMENT_KEYS_H
#define LB_DOCUMENT_KEYS_H 1

/* Keys of a mapping: none twice, merge keys resolved
 * ================================================== */

#include "lib/arena.h"
#include "lib/document.h"

/* Fills in the pairs of 'mapping' from its 'n' 'children' in the file, keys
 * and values in turn.  Queues an error for a key that is a list or a mapping,
 * for one that is given twice and for a merge key ("<<") without a mapping or
 * a list of mappings; the rest of the mapping is good all the same. */
void document_fill_mapping(struct node *mapping, struct node *const *children,
                           size_t n, struct arena *, struct diags *);

#endif /* lib/document-keys.h */
