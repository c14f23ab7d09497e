/* SPDX-License-Identifier: Apache-2.0 */

#include "lib/weights.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/model-internal.h"

const char *
source_kind_name(enum source_kind kind)
{
    static const char *const names[] = {
        [SOURCE_HTTP] = "http",
        [SOURCE_AGENT] = "agent",
        [SOURCE_FILE] = "file",
        [SOURCE_EXEC] = "exec",
        [SOURCE_SWITCH] = "switch",
    };

    return names[kind];
}

static void
source_uninit(struct source *source)
{
    free(source->target);
    free(source->ca);
    for (size_t i = 0; i < source->n_args; i++) {
        free(source->args[i]);
    }
    free(source->args);
    for (size_t i = 0; i < N_METRICS; i++) {
        free(source->values[i].path);
    }
}

void
weights_uninit(struct weights *weights)
{
    for (size_t i = 0; i < weights->n_sources; i++) {
        source_uninit(&weights->sources[i]);
    }
    free(weights->sources);
    memset(weights, 0, sizeof *weights);
}

bool
weights_need(const struct weights *weights, enum metric metric)
{
    double values[N_METRICS] = { 0 };

    values[metric] = NAN;
    return (weights->policy && weights->policy->usable
            && !weights->policy->usable(values, weights->params));
}

/* Writes what the brace at 's' stands for.  Returns what follows it.  An IPv6
 * address gets brackets where a port or a path may follow. */
static const char *
expand_brace(const char *s, const struct server *server, bool is_url,
             FILE *stream)
{
    const struct ip *address = &server->ips.ip[0];
    char ip[IP_STRLEN];

    if (!strncmp(s, "{ip}", 4)) {
        bool brackets = is_url && !ip_is_v4(address) && s[4] != ']';

        fprintf(stream, "%s%s%s", brackets ? "[" : "",
                ip_format(address, ip), brackets ? "]" : "");
        return s + 4;
    } else if (!strncmp(s, "{name}", 6)) {
        fputs(server->name, stream);
        return s + 6;
    } else if (!strncmp(s, "{port}", 6)) {
        fprintf(stream, "%"PRIu16, server->port);
        return s + 6;
    }
    putc(*s, stream);
    return s + 1;
}

char *
source_expand(const struct source *source, const char *text,
              const struct server *server)
{
    bool is_url = (source->kind == SOURCE_HTTP
                   || source->kind == SOURCE_AGENT);
    char *result;
    size_t size;
    FILE *stream = open_memstream(&result, &size);

    if (!stream) {
        abort();
    }
    while (*text) {
        if (*text == '{') {
            text = expand_brace(text, server, is_url, stream);
        } else {
            putc(*text++, stream);
        }
    }
    fclose(stream);
    return result;
}

char *
source_format(const struct source *source, const struct server *server)
{
    const char *what = (source->kind == SOURCE_EXEC ? source->args[0]
                        : source->target ? source->target : "");
    char *expanded = source_expand(source, what, server);
    char *result = lb_xasprintf("%s%s%s", source_kind_name(source->kind),
                                *expanded ? " " : "", expanded);

    free(expanded);
    return result;
}

static void
write_params(const struct weight_param *params, size_t n,
             const double *values, FILE *stream)
{
    for (size_t i = 0; i < n; i++) {
        fprintf(stream, ",\"%s\":%.10g", params[i].name, values[i]);
    }
}

static void
write_values(const struct source *source, FILE *stream)
{
    const char *separator = ",\"values\":{";
    bool any = false;

    for (size_t i = 0; i < N_METRICS; i++) {
        const struct source_value *value = &source->values[i];
        char *text;

        if (value->path) {
            text = lb_xasprintf(value->is_rate ? "rate(%s) %c %.15g"
                                : "%s %c %.15g", value->path,
                                value->divides ? '/' : '*', value->factor);
            fprintf(stream, "%s\"%s\":", separator, metrics[i].name);
            model_write_string(text, stream);
            free(text);
            separator = ",";
            any = true;
        }
    }
    if (any) {
        putc('}', stream);
    }
}

static void
write_source(const struct source *source, FILE *stream)
{
    const char *kind = source_kind_name(source->kind);

    if (source->kind == SOURCE_SWITCH) {
        model_write_string(kind, stream);
        return;
    }
    fprintf(stream, "{\"%s\":", kind);
    if (source->kind == SOURCE_EXEC) {
        for (size_t i = 0; i < source->n_args; i++) {
            putc(i ? ',' : '[', stream);
            model_write_string(source->args[i], stream);
        }
        putc(']', stream);
    } else {
        model_write_string(source->target, stream);
    }
    if (source->ca) {
        fputs(",\"ca\":", stream);
        model_write_string(source->ca, stream);
    }
    write_values(source, stream);
    putc('}', stream);
}

void
weights_write(const struct weights *weights, FILE *stream)
{
    fprintf(stream, "{\"policy\":\"%s\"", weights->policy->name);
    write_params(weights->policy->params, weights->policy->n_params,
                 weights->params, stream);
    write_params(weight_common, WEIGHT_N_COMMON, weights->common, stream);
    for (size_t i = 0; i < weights->n_sources; i++) {
        fputs(i ? "," : ",\"from\":[", stream);
        write_source(&weights->sources[i], stream);
    }
    fputs(weights->n_sources ? "]}" : "}", stream);
}
