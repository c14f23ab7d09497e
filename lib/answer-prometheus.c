/* SPDX-License-Identifier: Apache-2.0 */

/* Prometheus' text format
 * =======================
 *
 * Lines "NAME{LABEL="VALUE",...} VALUE [MILLISECONDS]", comments with "#".
 * What a path, NAME or NAME{LABEL="VALUE",...}, matches is added up; labels
 * that the path does not name may be anything.
 *
 * Without paths it is read as from prometheus-node-exporter:
 *
 *   cpu      1 - growth of node_cpu_seconds_total{mode="idle"} (and iowait)
 *            per CPU
 *   memory   1 - node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes
 *   network  growth of node_network_{receive,transmit}_bytes_total by
 *            node_network_speed_bytes, or by 1 Gbit/s, without "lo"
 *   io       growth of node_disk_io_time_seconds_total per disk */

#include <config.h>

#include "lib/answer.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Bytes per second of a network whose speed nobody says. */
#define DEFAULT_SPEED 125e6

#define MAX_LABELS 32

/* A piece of the text. */
struct span {
    const char *s;
    size_t n;
};

/* One line, or a path.  Points into the text. */
struct series {
    struct span name;
    struct span keys[MAX_LABELS];
    struct span values[MAX_LABELS];     /* As written, with backslashes. */
    size_t n_labels;
};

static const char *
skip_blanks(const char *s)
{
    return s + strspn(s, " \t");
}

static bool
span_equals(const struct span *span, const char *s)
{
    return strlen(s) == span->n && !memcmp(span->s, s, span->n);
}

static bool
spans_equal(const struct span *a, const struct span *b)
{
    return a->n == b->n && !memcmp(a->s, b->s, a->n);
}

static const char *
parse_name(const char *s, struct span *name)
{
    const char *start = s;

    while (isalnum((unsigned char) *s) || *s == '_' || *s == ':') {
        s++;
    }
    *name = (struct span) { start, s - start };
    return s > start ? s : NULL;
}

/* Reads 'KEY="VALUE"'.  Returns what follows, or NULL. */
static const char *
parse_label(const char *s, struct series *series)
{
    struct span key, value;

    s = parse_name(s, &key);
    if (!s) {
        return NULL;
    }
    s = skip_blanks(s);
    if (*s++ != '=') {
        return NULL;
    }
    s = skip_blanks(s);
    if (*s++ != '"') {
        return NULL;
    }
    value.s = s;
    while (*s && *s != '"' && *s != '\n') {
        s += *s == '\\' && s[1] && s[1] != '\n' ? 2 : 1;
    }
    value.n = s - value.s;
    if (*s != '"') {
        return NULL;
    }
    if (series->n_labels < MAX_LABELS) {
        series->keys[series->n_labels] = key;
        series->values[series->n_labels++] = value;
    }
    return skip_blanks(s + 1);
}

/* Reads "NAME" or "NAME{...}" at 's'.  Returns what follows, or NULL. */
static const char *
parse_series(const char *s, struct series *series)
{
    series->n_labels = 0;
    s = parse_name(s, &series->name);
    if (!s || *s != '{') {
        return s;
    }
    s = skip_blanks(s + 1);
    while (s && *s && *s != '}') {
        s = parse_label(s, series);
        if (s && *s == ',') {
            s = skip_blanks(s + 1);
        } else if (s && *s != '}') {
            return NULL;
        }
    }
    return s && *s == '}' ? s + 1 : NULL;
}

static const struct span *
find_label(const struct series *series, const char *key)
{
    for (size_t i = 0; i < series->n_labels; i++) {
        if (span_equals(&series->keys[i], key)) {
            return &series->values[i];
        }
    }
    return NULL;
}

/* Whether 'series' has the name and all labels of 'pattern'. */
static bool
series_matches(const struct series *series, const struct series *pattern)
{
    if (!spans_equal(&series->name, &pattern->name)) {
        return false;
    }
    for (size_t i = 0; i < pattern->n_labels; i++) {
        bool found = false;

        for (size_t j = 0; j < series->n_labels && !found; j++) {
            found = (spans_equal(&series->keys[j], &pattern->keys[i])
                     && spans_equal(&series->values[j], &pattern->values[i]));
        }
        if (!found) {
            return false;
        }
    }
    return true;
}

/* Sums that node_exporter's metrics are made of. */
struct node_sums {
    double idle, n_cpus;
    double total, available;
    double bytes, speed;
    double io_time, n_disks;
    bool has_total, has_available;
};

static bool
label_is(const struct series *series, const char *key, const char *value)
{
    const struct span *label = find_label(series, key);

    return label && span_equals(label, value);
}

/* Adds what one line says. */
static void
add_node(struct node_sums *sums, const struct series *series, double value)
{
    const struct span *name = &series->name;

    if (span_equals(name, "node_cpu_seconds_total")) {
        if (label_is(series, "mode", "idle")) {
            sums->idle += value;
            sums->n_cpus++;
        } else if (label_is(series, "mode", "iowait")) {
            sums->idle += value;
        }
    } else if (span_equals(name, "node_memory_MemTotal_bytes")) {
        sums->total = value;
        sums->has_total = true;
    } else if (span_equals(name, "node_memory_MemAvailable_bytes")) {
        sums->available = value;
        sums->has_available = true;
    } else if (span_equals(name, "node_network_receive_bytes_total")
               || span_equals(name, "node_network_transmit_bytes_total")) {
        sums->bytes += label_is(series, "device", "lo") ? 0 : value;
    } else if (span_equals(name, "node_network_speed_bytes")) {
        sums->speed += value > 0 ? value : 0;
    } else if (span_equals(name, "node_disk_io_time_seconds_total")) {
        sums->io_time += value;
        sums->n_disks++;
    }
}

static void
set_rate(struct answer *answer, enum metric m, double counter, double scale,
         double offset)
{
    answer->readings[m] = (struct reading) {
        .known = true,
        .is_rate = true,
        .value = counter,
        .scale = scale,
        .offset = offset,
    };
}

static void
read_node(const struct node_sums *sums, struct answer *answer)
{
    if (sums->n_cpus > 0) {
        set_rate(answer, METRIC_CPU, sums->idle / sums->n_cpus, -1, 1);
    }
    if (sums->has_total && sums->has_available && sums->total > 0) {
        answer->readings[METRIC_MEMORY] = (struct reading) {
            .known = true,
            .value = 1 - sums->available / sums->total,
            .scale = 1,
        };
    }
    if (sums->bytes > 0) {
        set_rate(answer, METRIC_NETWORK, sums->bytes,
                 1 / (sums->speed > 0 ? sums->speed : DEFAULT_SPEED), 0);
    }
    if (sums->n_disks > 0) {
        set_rate(answer, METRIC_IO, sums->io_time, 1 / sums->n_disks, 0);
    }
}

/* What is being read. */
struct reader_state {
    const struct source *source;
    struct series patterns[N_METRICS];
    bool has_pattern[N_METRICS];
    bool any_pattern;
    struct node_sums sums;
    struct answer *answer;
};

static void
add_paths(struct reader_state *state, const struct series *series,
          double value)
{
    for (size_t m = 0; m < N_METRICS; m++) {
        const struct source_value *where = &state->source->values[m];
        struct reading *reading = &state->answer->readings[m];

        if (!state->has_pattern[m]
            || !series_matches(series, &state->patterns[m])) {
            continue;
        }
        reading->value = (reading->known ? reading->value : 0) + value;
        reading->known = true;
        reading->is_rate = where->is_rate;
        reading->scale = (where->divides ? 1 / where->factor
                          : where->factor);
    }
}

/* Reads "VALUE [MILLISECONDS]".  False if it is something else. */
static bool
parse_rest(const char *s, double *value, double *time)
{
    char *end;

    s = skip_blanks(s);
    *value = strtod(s, &end);
    if (end == s || !strchr(" \t\r\n", *end)) {
        return false;
    }
    s = skip_blanks(end);
    if (isdigit((unsigned char) *s)) {
        *time = strtod(s, &end) / 1000;
        s = skip_blanks(end);
    }
    return !*s || *s == '\n' || *s == '\r';
}

/* Takes in one line.  False if it is no line of this format. */
static bool
read_line(struct reader_state *state, const char *s)
{
    struct series series;
    double value, time = 0;

    s = skip_blanks(s);
    if (!*s || *s == '#' || *s == '\n' || *s == '\r') {
        return true;
    }
    s = parse_series(s, &series);
    if (!s || !parse_rest(s, &value, &time)) {
        return false;
    }
    if (state->any_pattern) {
        add_paths(state, &series, value);
    } else {
        add_node(&state->sums, &series, value);
    }
    if (time > 0) {
        struct answer *answer = state->answer;

        answer->time = answer->time > 0 ? fmin(answer->time, time) : time;
    }
    return true;
}

/* Reads the paths as patterns.  False if one is none. */
static bool
read_patterns(struct reader_state *state)
{
    for (size_t m = 0; m < N_METRICS; m++) {
        const char *path = state->source->values[m].path;
        const char *end;

        if (!path) {
            continue;
        }
        end = parse_series(path, &state->patterns[m]);
        if (!end || *end) {
            answer_set_error(state->answer, "%s is not NAME or "
                             "NAME{LABEL=\"VALUE\"}", DIAG_QUOTE(path));
            return false;
        }
        state->has_pattern[m] = state->any_pattern = true;
    }
    return true;
}

void
answer_parse_prometheus(const struct source *source, const char *text,
                        struct answer *answer)
{
    struct reader_state state = { .source = source, .answer = answer };
    const char *line = text;
    int number = 1;

    if (!read_patterns(&state)) {
        return;
    }
    while (line) {
        const char *end = strchr(line, '\n');

        if (!read_line(&state, line)) {
            answer_set_error(answer, "line %d of the answer is neither JSON "
                             "nor an agent's nor Prometheus' text", number);
            break;
        }
        line = end ? end + 1 : NULL;
        number++;
    }
    if (!state.any_pattern) {
        read_node(&state.sums, answer);
    }
}
