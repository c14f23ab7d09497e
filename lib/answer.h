/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LB_ANSWER_H
#define LB_ANSWER_H 1

/* What a server, or somebody who knows it, says of it
 * ===================================================
 *
 * Text in one of three forms, told apart by how it begins: JSON, a line of
 * HAProxy's agent-check, and Prometheus' text format.  An answer is what can
 * be read out of it; whether it makes sense is for lib/refresh.h to say.
 *
 * Pure. */

#include <stdbool.h>
#include <stddef.h>

#include "lib/weights.h"

/* What is known of one metric: offset + scale * 'value', or, of a counter, of
 * how much 'value' grows in a second. */
struct reading {
    bool known;
    bool is_rate;
    double value;
    double scale;
    double offset;
};

/* What an HAProxy agent says of whether the server is to be used. */
enum agent_state {
    AGENT_UNSAID,
    AGENT_UP,
    AGENT_DRAIN                 /* Or maint, down, fail, stopped. */
};

struct answer {
    char *error;                /* NULL if there is an answer.  Owned. */
    struct reading readings[N_METRICS];
    bool has_percent;
    double percent;             /* Of its weight, by an agent. */
    enum agent_state state;
    double time;                /* Seconds since the epoch when it was
                                 * measured, 0 if it does not say. */
};

/* Reads 'text' into '*answer', of zeros.  'source' says where in it the
 * metrics are.  What cannot be made sense of as a whole sets
 * 'answer->error'. */
void answer_parse(const struct source *source, const char *text, size_t size,
                  struct answer *answer);
void answer_set_error(struct answer *, const char *format, ...)
    LB_PRINTF(2, 3);
void answer_uninit(struct answer *);

/* Adds to 'to' what 'from' says and 'to' does not. */
void answer_merge(struct answer *to, const struct answer *from);

/* The forms.  Internal to lib/answer*.c. */
void answer_parse_json(const struct source *, const char *text,
                       struct answer *);
void answer_parse_prometheus(const struct source *, const char *text,
                             struct answer *);
bool answer_parse_agent(const char *text, struct answer *);

/* Reads a decimal number, all of 's' but white space.  "NaN" and "Inf" are
 * numbers here. */
bool answer_number(const char *s, double *value);

#endif /* lib/answer.h */
