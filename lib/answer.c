/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "lib/answer.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool
answer_number(const char *s, double *value)
{
    char *end;

    *value = strtod(s, &end);
    return end != s && !end[strspn(end, " \t\r\n")];
}

void
answer_set_error(struct answer *answer, const char *format, ...)
{
    va_list args;

    if (answer->error) {
        return;
    }
    va_start(args, format);
    if (vasprintf(&answer->error, format, args) < 0) {
        abort();
    }
    va_end(args);
}

void
answer_uninit(struct answer *answer)
{
    free(answer->error);
    memset(answer, 0, sizeof *answer);
}

void
answer_merge(struct answer *to, const struct answer *from)
{
    for (size_t i = 0; i < N_METRICS; i++) {
        if (!to->readings[i].known) {
            to->readings[i] = from->readings[i];
        }
    }
    if (!to->has_percent) {
        to->has_percent = from->has_percent;
        to->percent = from->percent;
    }
    if (to->state == AGENT_UNSAID) {
        to->state = from->state;
    }
    if (from->time > 0 && (to->time <= 0 || from->time < to->time)) {
        to->time = from->time;
    }
}

/* 'text' is not empty and ends with a null byte. */
static void
parse_text(const struct source *source, const char *text,
           struct answer *answer)
{
    if (*text == '{' || *text == '[') {
        answer_parse_json(source, text, answer);
    } else if (answer_parse_agent(text, answer)) {
        return;
    } else if (source->kind == SOURCE_AGENT) {
        answer_set_error(answer, "the answer is not what an agent says, such "
                         "as \"75%%\" or \"drain\"");
    } else {
        answer_parse_prometheus(source, text, answer);
    }
}

void
answer_parse(const struct source *source, const char *text, size_t size,
             struct answer *answer)
{
    char *copy = lb_xmemdup0(text, size);
    const char *start = copy + strspn(copy, " \t\r\n");
    bool any = false;

    if (strlen(copy) != size) {
        answer_set_error(answer, "the answer is not text");
    } else if (!*start) {
        answer_set_error(answer, "the answer is empty");
    } else {
        parse_text(source, start, answer);
    }
    free(copy);
    for (size_t i = 0; i < N_METRICS; i++) {
        any |= answer->readings[i].known;
    }
    if (!any && !answer->has_percent && answer->state == AGENT_UNSAID) {
        answer_set_error(answer, "there is no metric in the answer");
    }
}
