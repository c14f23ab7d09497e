/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LB_DOCUMENT_PROBLEM_H
#define LB_DOCUMENT_PROBLEM_H 1

/* What libyaml says, in words for people who write configuration files
 * ==================================================================== */

#include "lib/diag.h"

/* Queues an error at 'loc' for libyaml's 'problem'.  'line' is the text of the
 * line up to and with the character at 'loc', if there is one.  'context' is
 * where libyaml says the thing that has the problem begins, 'context->line' 0
 * if it does not say. */
void document_report_problem(const char *problem, const char *line,
                             const struct source_loc *loc,
                             const struct source_loc *context,
                             struct diags *);

#endif /* lib/document-problem.h */
