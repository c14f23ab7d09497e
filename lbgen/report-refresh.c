/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "lbgen/report-refresh.h"

#include <math.h>
#include <stdlib.h>

#include <openvswitch/json.h>

/* What a server says, smoothed, "cpu=0.42 memory=0.31". */
static void
write_metrics(const double *values, FILE *stream)
{
    for (size_t m = 0; m < N_METRICS; m++) {
        if (!isnan(values[m])) {
            fprintf(stream, " %s=%.4g%s", metrics[m].name, values[m],
                    metrics[m].unit);
        }
    }
}

static void
write_server(const struct refresh_server *s, FILE *stream)
{
    char wanted[32];

    snprintf(wanted, sizeof wanted, isnan(s->wanted) ? "-" : "%.4g",
             s->wanted);
    fprintf(stream, "  %-16s %8.4g %8.4g %8s %5zu %5zu  %s%s", s->name,
            s->old_weight, s->weight, wanted, s->old_slots, s->slots,
            refresh_why_name(s->why), s->starting ? ", slow start" : "");
    if (s->asked) {
        fputs(";", stream);
        write_metrics(s->smoothed, stream);
        if (s->complaint) {
            fprintf(stream, " [%s]", s->complaint);
        }
    }
    putc('\n', stream);
}

void
report_refresh_text(const struct refresh_report *report, bool all,
                    FILE *stream)
{
    for (size_t i = 0; i < report->n_pools; i++) {
        const struct refresh_pool *pool = &report->pools[i];

        if (!all && !pool->weights_changed) {
            continue;
        }
        fprintf(stream, "pool %s: %s%s\n", pool->name,
                pool->weights->policy->name, pool->frozen ? ", frozen" : "");
        fprintf(stream, "  %-16s %8s %8s %8s %5s %5s  %s\n", "SERVER",
                "BEFORE", "WEIGHT", "WANTED", "SLOTS", "NOW", "WHY");
        for (size_t j = 0; j < pool->n_servers; j++) {
            write_server(&pool->servers[j], stream);
        }
    }
}

static void
put_number(struct json *object, const char *name, double value)
{
    json_object_put(object, name,
                    (isnan(value) ? json_null_create()
                     : value == (long long) value
                     ? json_integer_create((long long) value)
                     : json_real_create(value)));
}

static struct json *
metrics_to_json(const double *values)
{
    struct json *object = json_object_create();

    for (size_t m = 0; m < N_METRICS; m++) {
        if (!isnan(values[m])) {
            put_number(object, metrics[m].name, values[m]);
        }
    }
    return object;
}

static struct json *
server_to_json(const struct refresh_server *s)
{
    struct json *object = json_object_create();

    json_object_put_string(object, "name", s->name);
    json_object_put(object, "asked", json_boolean_create(s->asked));
    json_object_put(object, "missing", json_boolean_create(s->missing));
    json_object_put(object, "complaint",
                    (s->complaint ? json_string_create(s->complaint)
                     : json_null_create()));
    json_object_put(object, "sample", metrics_to_json(s->sample));
    json_object_put(object, "smoothed", metrics_to_json(s->smoothed));
    put_number(object, "wanted", s->wanted);
    put_number(object, "old_weight", s->old_weight);
    put_number(object, "weight", s->weight);
    put_number(object, "old_slots", s->old_slots);
    put_number(object, "slots", s->slots);
    json_object_put(object, "slow_start", json_boolean_create(s->starting));
    json_object_put_string(object, "why", refresh_why_name(s->why));
    return object;
}

static struct json *
pool_to_json(const struct refresh_pool *pool)
{
    struct json *object = json_object_create();
    struct json *servers = json_array_create_empty();

    json_object_put_string(object, "name", pool->name);
    json_object_put_string(object, "policy", pool->weights->policy->name);
    json_object_put(object, "frozen", json_boolean_create(pool->frozen));
    json_object_put(object, "changed",
                    json_boolean_create(pool->weights_changed));
    json_object_put(object, "remembers",
                    json_boolean_create(pool->state_changed));
    for (size_t i = 0; i < pool->n_servers; i++) {
        json_array_add(servers, server_to_json(&pool->servers[i]));
    }
    json_object_put(object, "servers", servers);
    return object;
}

void
report_refresh_json(const struct refresh_report *report, const char *bridge,
                    bool applied, FILE *stream)
{
    struct json *object = json_object_create();
    struct json *pools = json_array_create_empty();
    char *text;

    json_object_put_string(object, "bridge", bridge);
    json_object_put(object, "applied", json_boolean_create(applied));
    for (size_t i = 0; i < report->n_pools; i++) {
        json_array_add(pools, pool_to_json(&report->pools[i]));
    }
    json_object_put(object, "pools", pools);
    text = json_to_string(object, JSSF_PRETTY | JSSF_SORT);
    fprintf(stream, "%s\n", text);
    free(text);
    json_destroy(object);
}
