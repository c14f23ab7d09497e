/* SPDX-License-Identifier: Apache-2.0 */

#include "lib/document-problem.h"

#include <string.h>

/* One problem that libyaml reports. */
struct problem {
    const char *theirs;
    const char *ours;
    const char *note;           /* What 'context' is, if that helps. */
};

/* Those that a file with mistakes runs into.  The others keep libyaml's
 * words, which are clear enough for things that hardly anybody writes. */
static const struct problem problems[] = {
    { "could not find expected ':'",
      "expected \":\" after the key", "the key is here" },
    { "did not find expected key",
      "expected a key; is the line indented as the others?",
      "the mapping begins here" },
    { "did not find expected '-' indicator",
      "expected \"- \"; is the line indented as the others?",
      "the list begins here" },
    { "did not find expected ',' or ']'",
      "expected \",\" or \"]\"", "the list begins here" },
    { "did not find expected ',' or '}'",
      "expected \",\" or \"}\"", "the mapping begins here" },
    { "did not find expected node content",
      "expected a value", NULL },
    { "did not find expected <document start>",
      "expected the end of the file", NULL },
    { "mapping keys are not allowed in this context",
      "a key is not allowed here", NULL },
    { "block sequence entries are not allowed in this context",
      "\"- \" is not allowed here; a list begins on a line of its own", NULL },
    { "found a tab character that violates indentation",
      "a tab must not be used to indent, use spaces", NULL },
    { "found a tab character where an indentation space is expected",
      "a tab must not be used to indent, use spaces", NULL },
    { "found unexpected end of stream",
      "the file ends within quotes", "the quotes begin here" },
    { "found unexpected document indicator",
      "\"---\" or \"...\" within quotes", "the quotes begin here" },
    { "found unknown escape character",
      "unknown escape sequence; use single quotes for text with \"\\\"",
      NULL },
    { "found undefined tag handle",
      "tags are not supported", NULL },
    { "did not find expected comment or line break",
      "expected the end of the line", NULL },
    { "did not find expected alphabetic or numeric character",
      "expected a name after \"&\" or \"*\"; text that begins with these "
      "needs quotes", NULL },
};

static const struct problem *
find_problem(const char *theirs)
{
    for (size_t i = 0; i < LB_ARRAY_SIZE(problems); i++) {
        if (!strcmp(theirs, problems[i].theirs)) {
            return &problems[i];
        }
    }
    return NULL;
}

/* libyaml has one message for all characters that begin nothing. */
static void
report_character(const char *line, const struct source_loc *loc,
                 struct diags *diags)
{
    char c = *line ? line[strlen(line) - 1] : ' ';

    if (c == '\t') {
        diag_error(diags, loc, "a tab must not be used to indent, use spaces");
    } else {
        diag_error(diags, loc, "text that begins with \"%c\" needs quotes", c);
    }
}

/* In braces, a ":" ends a key, or needs a space after it. */
static bool
is_colon_in_braces(const char *problem, const char *line)
{
    return (!strcmp(problem, "found unexpected ':'")
            || (!strcmp(problem, "did not find expected node content")
                && *line && line[strlen(line) - 1] == ':'));
}

/* A ":" where none can be is either the second one in a line or the first one
 * in a line that continues the text of the line before. */
static void
report_colon(const char *line, const struct source_loc *loc,
             struct diags *diags)
{
    if (strchr(line, ':') != strrchr(line, ':')) {
        diag_error(diags, loc, "\":\" is not allowed here; "
                   "text with \": \" in it needs quotes");
    } else {
        diag_error(diags, loc, "\":\" is not allowed here; is the line before "
                   "complete, and this one indented as it should be?");
    }
}

void
document_report_problem(const char *problem, const char *line,
                        const struct source_loc *loc,
                        const struct source_loc *context,
                        struct diags *diags)
{
    const struct problem *known = find_problem(problem);

    if (!strcmp(problem, "found character that cannot start any token")) {
        report_character(line, loc, diags);
    } else if (!strcmp(problem,
                       "mapping values are not allowed in this context")) {
        report_colon(line, loc, diags);
    } else if (is_colon_in_braces(problem, line)) {
        diag_error(diags, loc, "text that begins or ends with \":\" needs "
                   "quotes within braces");
    } else if (known) {
        diag_error(diags, loc, "%s", known->ours);
        if (known->note && context->line && context->line != loc->line) {
            diag_note(diags, context, "%s", known->note);
        }
    } else {
        diag_error(diags, loc, "%s", problem);
    }
}
