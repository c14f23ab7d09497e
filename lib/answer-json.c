/* SPDX-License-Identifier: Apache-2.0 */

/* JSON
 * ====
 *
 * Without paths, metrics are members of the object that are called as they
 * are.  "cpu", "memory", "network" and "io" are then percentages, as agents
 * have them that say {"cpu": 37, "memory": 52, "stress": 0.445}. */

#include <config.h>

#include "lib/answer.h"

#include <stdlib.h>
#include <string.h>

#include <openvswitch/json.h>
#include <openvswitch/shash.h>

/* The value of 'key' in 'json', an object or an array, or NULL. */
static const struct json *
get_member(const struct json *json, const char *key)
{
    if (json->type == JSON_OBJECT) {
        return shash_find_data(json->object, key);
    } else if (json->type == JSON_ARRAY
               && *key && !key[strspn(key, "0123456789")]) {
        unsigned long i = strtoul(key, NULL, 10);

        return i < json->array.n ? json->array.elems[i] : NULL;
    }
    return NULL;
}

/* What 'path', "a.b.0", leads to, or NULL. */
static const struct json *
follow(const struct json *json, const char *path)
{
    char *copy = lb_xstrdup(path), *next = copy;

    for (char *key; json && (key = strsep(&next, ".")); ) {
        json = get_member(json, key);
    }
    free(copy);
    return json;
}

/* Reads the number that 'json' is.  Numbers in quotes are common. */
static bool
get_number(const struct json *json, double *value)
{
    switch ((int) json->type) {
    case JSON_INTEGER:
        *value = json->integer;
        return true;
    case JSON_REAL:
        *value = json->real;
        return true;
    case JSON_STRING:
        return answer_number(json->string, value);
    default:
        return false;
    }
}

static bool
is_percentage(enum metric m)
{
    return (m == METRIC_CPU || m == METRIC_MEMORY || m == METRIC_NETWORK
            || m == METRIC_IO);
}

static void
read_metric(const struct json *json, enum metric m,
            const struct source_value *where, struct answer *answer)
{
    const char *path = where->path ? where->path : metrics[m].name;
    const struct json *value = follow(json, path);
    struct reading *reading = &answer->readings[m];

    if (!value) {
        return;
    }
    if (!get_number(value, &reading->value)) {
        answer_set_error(answer, "%s is not a number", DIAG_QUOTE(path));
        return;
    }
    reading->known = true;
    reading->is_rate = where->is_rate;
    reading->scale = (!where->path ? (is_percentage(m) ? 0.01 : 1)
                      : where->divides ? 1 / where->factor : where->factor);
    reading->offset = 0;
}

void
answer_parse_json(const struct source *source, const char *text,
                  struct answer *answer)
{
    struct json *json = json_from_string(text);
    bool any_path = false;
    const struct json *time;

    if (json->type == JSON_STRING) {
        answer_set_error(answer, "the answer is not JSON: %s", json->string);
        json_destroy(json);
        return;
    }
    for (enum metric m = 0; m < N_METRICS; m++) {
        any_path |= source->values[m].path != NULL;
    }
    for (enum metric m = 0; m < N_METRICS; m++) {
        if (source->values[m].path || !any_path) {
            read_metric(json, m, &source->values[m], answer);
        }
    }
    time = follow(json, "timestamp");
    if (time && !get_number(time, &answer->time)) {
        answer->time = 0;
    }
    json_destroy(json);
}
