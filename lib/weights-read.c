/* SPDX-License-Identifier: Apache-2.0 */

/* Reading "weights". */

#include "lib/weights.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/model-internal.h"

/* Reads "1", "1.5" or ".5" at 's' and stores where it ends.  No signs,
 * exponents or names of numbers: strtod() takes more than anybody means. */
static bool
parse_decimal(const char *s, double *value, const char **end)
{
    size_t n = strspn(s, "0123456789");
    size_t n_digits = n;

    if (s[n] == '.') {
        size_t n_more = strspn(s + n + 1, "0123456789");

        n_digits += n_more;
        n += 1 + n_more;
    }
    if (!n_digits || n > 30) {
        return false;
    }
    *value = strtod(s, NULL);
    *end = s + n;
    return true;
}

/* The factor that 'unit' stands for in a parameter of 'kind', or 0. */
static double
unit_factor(enum weight_param_kind kind, const char *unit)
{
    if (!*unit) {
        return 1;
    } else if (kind == WEIGHT_FRACTION) {
        return strcmp(unit, "%") ? 0 : 0.01;
    } else if (kind == WEIGHT_SECONDS) {
        return (!strcmp(unit, "ms") ? 0.001 : !strcmp(unit, "s") ? 1
                : !strcmp(unit, "m") ? 60 : !strcmp(unit, "h") ? 3600 : 0);
    }
    return 0;
}

/* How 'param' may be written besides as a number, for messages. */
static const char *
param_examples(const struct weight_param *param)
{
    switch (param->kind) {
    case WEIGHT_COUNT:
        return ", whole";
    case WEIGHT_FRACTION:
        return ", or as in 10%";
    case WEIGHT_SECONDS:
        return (param->max > 3600 ? " seconds, or as in 90s, 10m or 1h"
                : " seconds, or as in 500ms, 2s or 1m");
    case WEIGHT_NUMBER:
    default:
        return "";
    }
}

bool
weight_param_read(const struct reader *r, const struct node *node,
                  const struct weight_param *param, double *value)
{
    const char *text, *unit;
    double number, factor = 0;

    if (!value_text(r, node, &text)) {
        return false;
    }
    if (parse_decimal(text, &number, &unit)) {
        factor = unit_factor(param->kind, unit);
    }
    number *= factor;
    if (!(factor > 0) || number < param->min || number > param->max
        || (param->kind == WEIGHT_COUNT && number != floor(number))) {
        reader_error(r, &node->loc, "%s must be %.15g to %.15g%s, not %s",
                     param->name, param->min, param->max,
                     param_examples(param), DIAG_QUOTE(text));
        return false;
    }
    *value = number;
    return true;
}

/* Sets the 'n' 'values' to the defaults of 'params' and then to what 'node'
 * says of them. */
static void
read_params(const struct reader *r, const struct node *node,
            const struct weight_param *params, size_t n, double *values)
{
    for (size_t i = 0; i < n; i++) {
        const struct node *value = node_get(node, params[i].name);

        values[i] = params[i].value;
        if (value) {
            weight_param_read(r, value, &params[i], &values[i]);
        }
    }
}

/* The default leaves time for the rest of the round. */
static void
fit_timeout(double *common)
{
    if (common[WEIGHT_TIMEOUT] > common[WEIGHT_INTERVAL] / 2) {
        common[WEIGHT_TIMEOUT] = common[WEIGHT_INTERVAL] / 2;
    }
}

static void
read_policy(const struct reader *r, const struct node *node,
            struct weights *weights)
{
    const char *names[MAX_KEYS] = { NULL };
    const char *text;

    if (!value_text(r, node, &text)) {
        return;
    }
    for (size_t i = 0; weight_policies[i] && i < MAX_KEYS - 1; i++) {
        names[i] = weight_policies[i]->name;
    }
    weights->policy = weight_policy_find(text);
    if (!weights->policy) {
        value_unknown(r, node, names);
    }
}

/* Checks the words in braces in 'text'.  Other braces, as in programs for
 * awk(1), are what they are. */
static bool
check_braces(const struct reader *r, const struct source_loc *loc,
             const char *text)
{
    static const char *const names[] = { "{ip}", "{name}", "{port}" };

    for (const char *s = strchr(text, '{'); s; s = strchr(s + 1, '{')) {
        size_t n = strspn(s + 1, "abcdefghijklmnopqrstuvwxyz_");
        bool ok = !n || s[1 + n] != '}';

        for (size_t i = 0; i < LB_ARRAY_SIZE(names); i++) {
            ok |= !strncmp(s, names[i], strlen(names[i]));
        }
        if (!ok) {
            reader_error(r, loc, "%s may have {ip}, {name} and {port} in it, "
                         "not %s", r->key, DIAG_QUOTE(s));
            return false;
        }
    }
    return true;
}

/* Reads a text that may have braces, in the place of one that another key of
 * the same source has given. */
static bool
read_template(const struct reader *r, const struct node *node, char **text)
{
    const char *s;

    if (!value_text(r, node, &s) || !check_braces(r, &node->loc, s)) {
        return false;
    }
    free(*text);
    *text = lb_xstrdup(s);
    return true;
}

static bool
read_http(const struct reader *r, const struct node *node, void *source_)
{
    struct source *source = source_;

    source->kind = SOURCE_HTTP;
    if (!read_template(r, node, &source->target)) {
        return false;
    }
    if (strncmp(source->target, "http://", 7)
        && strncmp(source->target, "https://", 8)) {
        reader_error(r, &node->loc, "http must be a URL such as "
                     "http://{ip}:9100/metrics, not %s",
                     DIAG_QUOTE(source->target));
        return false;
    }
    return true;
}

/* "9999", or "HOST:9999". */
static bool
read_agent(const struct reader *r, const struct node *node, void *source_)
{
    struct source *source = source_;
    const char *port;
    long number;

    source->kind = SOURCE_AGENT;
    if (!read_template(r, node, &source->target)) {
        return false;
    }
    port = strrchr(source->target, ':');
    port = port ? port + 1 : source->target;
    number = (strlen(port) <= 5 && !port[strspn(port, "0123456789")]
              ? atol(port) : 0);
    if ((number < 1 || number > UINT16_MAX) && strcmp(port, "{port}")) {
        reader_error(r, &node->loc, "agent must be a port, or as in "
                     "{ip}:9999, not %s", DIAG_QUOTE(source->target));
        return false;
    }
    if (port == source->target) {
        char *whole = lb_xasprintf("{ip}:%s", port);

        free(source->target);
        source->target = whole;
    }
    return true;
}

static bool
check_absolute(const struct reader *r, const struct node *node,
               const char *path)
{
    if (*path != '/') {
        reader_error(r, &node->loc, "%s must begin with \"/\", not %s",
                     r->key, DIAG_QUOTE(path));
        return false;
    }
    return true;
}

static bool
read_file(const struct reader *r, const struct node *node, void *source_)
{
    struct source *source = source_;

    source->kind = SOURCE_FILE;
    return (read_template(r, node, &source->target)
            && check_absolute(r, node, source->target));
}

/* More arguments than any program for this needs. */
#define MAX_ARGS 64

static bool
read_exec(const struct reader *r, const struct node *node, void *source_)
{
    struct source *source = source_;

    source->kind = SOURCE_EXEC;
    if (!value_check_type(r, node, NODE_SEQUENCE,
                          "a list: a program and its arguments")) {
        return false;
    }
    if (!node->n_items || node->n_items > MAX_ARGS) {
        reader_error(r, &node->loc, "exec must have 1 to %d elements, not %zu",
                     MAX_ARGS, node->n_items);
        return false;
    }
    source->args = lb_xcalloc(node->n_items, sizeof *source->args);
    for (size_t i = 0; i < node->n_items; i++) {
        if (!read_template(r, node->items[i], &source->args[i])) {
            return false;
        }
        source->n_args++;
    }
    return check_absolute(r, node->items[0], source->args[0]);
}

static bool
read_ca(const struct reader *r, const struct node *node, void *source_)
{
    struct source *source = source_;
    const char *text;

    if (!value_text(r, node, &text) || !check_absolute(r, node, text)) {
        return false;
    }
    source->ca = lb_xstrdup(text);
    return true;
}

/* Factors that can be written again without an exponent. */
#define MIN_FACTOR 0.0001
#define MAX_FACTOR 1e14

/* Cuts " / NUMBER" or " * NUMBER" off the end of 'text' and stores it in
 * 'value'.  False if there is such an end and it makes no sense. */
static bool
cut_factor(char *text, struct source_value *value)
{
    char *end = text + strlen(text);
    const char *rest;
    double number;
    char *s = end;

    value->factor = 1;
    while (s > text && strchr("0123456789. ", s[-1])) {
        s--;
    }
    if (s == text || !strchr("/*", s[-1]) || s - text < 3 || s[-2] != ' ') {
        return true;
    }
    s--;
    if (!parse_decimal(s + 1 + strspn(s + 1, " "), &number, &rest)
        || rest[strspn(rest, " ")] || number < MIN_FACTOR
        || number > MAX_FACTOR) {
        return false;
    }
    value->factor = number;
    value->divides = *s == '/';
    while (s > text && s[-1] == ' ') {
        s--;
    }
    *s = '\0';
    return true;
}

/* "PATH", "rate(PATH)", either followed by " / NUMBER" or " * NUMBER". */
static bool
read_value(const struct reader *r, const struct node *node,
           struct source_value *value)
{
    const char *text;
    size_t length;

    if (!value_text(r, node, &text)) {
        return false;
    }
    value->path = lb_xstrdup(text);
    if (cut_factor(value->path, value)) {
        length = strlen(value->path);
        if (!strncmp(value->path, "rate(", 5)
            && value->path[length - 1] == ')') {
            value->is_rate = true;
            memmove(value->path, value->path + 5, length - 6);
            value->path[length - 6] = '\0';
        }
        if (*value->path && *value->path != ' ') {
            return true;
        }
    }
    reader_error(r, &node->loc, "%s must be where in the answer it is: "
                 "\"PATH\" or \"rate(PATH)\", perhaps followed by \" / "
                 "NUMBER\" or \" * NUMBER\", not %s", r->key,
                 DIAG_QUOTE(text));
    return false;
}

static bool
read_values(const struct reader *parent, const struct node *node,
            void *source_)
{
    struct source *source = source_;
    struct reader r = *parent;
    const char *known[N_METRICS + 1] = { NULL };

    if (!value_check_type(&r, node, NODE_MAPPING,
                          "a mapping from metrics to where they are")) {
        return false;
    }
    for (size_t i = 0; i < N_METRICS; i++) {
        const struct node *value = node_get(node, metrics[i].name);

        known[i] = metrics[i].name;
        if (value) {
            r.key = metrics[i].name;
            read_value(&r, value, &source->values[i]);
        }
    }
    fields_check_known(&r, node, known, NULL);
    return true;
}

static const struct field source_fields[] = {
    { "http", read_http, NULL },
    { "agent", read_agent, NULL },
    { "file", read_file, NULL },
    { "exec", read_exec, NULL },
    { "ca", read_ca, NULL },
    { "values", read_values, NULL },
    { NULL, NULL, NULL }
};

/* The rows of 'source_fields' that say whom to ask. */
#define N_KINDS 4

/* Checks that it is one source and that its parts fit. */
static void
check_source(const struct reader *r, const struct node *node,
             const struct source *source)
{
    const struct node *ca = node_get(node, "ca");
    const struct node *values = node_get(node, "values");
    size_t n = 0;

    for (size_t i = 0; i < N_KINDS; i++) {
        n += node_get(node, source_fields[i].key) != NULL;
    }
    if (n != 1) {
        reader_error(r, &node->loc, "a source must have one of \"http\", "
                     "\"agent\", \"file\" and \"exec\", or be the word "
                     "\"switch\"");
    } else if (ca && (source->kind != SOURCE_HTTP || (source->target
                      && strncmp(source->target, "https:", 6)))) {
        reader_error(r, &ca->loc, "ca is for URLs that begin with https");
    } else if (values && source->kind == SOURCE_AGENT) {
        reader_error(r, &values->loc, "values are for answers with names in "
                     "them; an agent's says what it says");
    }
}

static void
read_source(const struct reader *parent, const struct node *node,
            struct source *source)
{
    const char *known[MAX_KEYS] = { NULL };
    struct reader r = *parent;

    source->loc = node->loc;
    source->kind = SOURCE_SWITCH;
    if (node->type == NODE_SCALAR && !strcmp(node->scalar, "switch")) {
        return;
    }
    r.key = "a source";
    if (value_check_type(&r, node, NODE_MAPPING,
                         "a mapping such as {http: URL}, or the word "
                         "\"switch\"")) {
        fields_names(source_fields, known, 0);
        fields_check_known(&r, node, known, NULL);
        fields_read(&r, node, source_fields, source);
        check_source(&r, node, source);
    }
}

#define MAX_SOURCES 8

static void
read_from(const struct reader *r, const struct node *node,
          struct weights *weights)
{
    if (!value_check_type(r, node, NODE_SEQUENCE, "a list of sources")) {
        return;
    }
    if (!node->n_items || node->n_items > MAX_SOURCES) {
        reader_error(r, &node->loc, "from must have 1 to %d elements, not %zu",
                     MAX_SOURCES, node->n_items);
        return;
    }
    weights->sources = lb_xcalloc(node->n_items, sizeof *weights->sources);
    for (size_t i = 0; i < node->n_items; i++) {
        read_source(r, node->items[i], &weights->sources[i]);
        weights->n_sources++;
    }
}

/* A policy that the switch can tell all it needs asks the switch unless told
 * otherwise. */
static void
check_from(const struct reader *r, const struct node *node,
           struct weights *weights)
{
    const struct weight_policy *policy = weights->policy;

    if (!node_get(node, "from") && policy->asks_switch
        && !weights_need(weights, METRIC_CPU)) {
        weights->sources = lb_xcalloc(1, sizeof *weights->sources);
        weights->n_sources = 1;
        weights->sources[0].loc = node->loc;
        weights->sources[0].kind = SOURCE_SWITCH;
    } else if (!node_get(node, "from") && policy->usable) {
        reader_error(r, &node->loc, "policy \"%s\" needs \"from\", whom to "
                     "ask for %s", policy->name, policy->needs);
    }
}

static void
check_params(const struct reader *r, const struct node *node,
             const struct weights *weights)
{
    const char *flaw = weight_common_check(weights->common);

    if (!flaw && weights->policy->check) {
        flaw = weights->policy->check(weights->params);
    }
    if (flaw) {
        reader_error(r, &node->loc, "%s", flaw);
    }
}

/* Queues an error for each key that is none of "weights" with this policy. */
static void
check_known(const struct reader *r, const struct node *node,
            const struct weight_policy *policy)
{
    const char *known[MAX_KEYS] = { "policy", "from", NULL };
    size_t n = 2;

    for (size_t i = 0; i < WEIGHT_N_COMMON; i++) {
        known[n++] = weight_common[i].name;
    }
    for (size_t i = 0; i < policy->n_params; i++) {
        known[n++] = policy->params[i].name;
    }
    fields_check_known(r, node, known, NULL);
}

bool
weights_read(const struct reader *parent, const struct node *node,
             struct weights *weights)
{
    size_t n_errors = diags_n_errors(parent->diags);
    const struct node *policy, *from;
    char owner[PART_SIZE];
    struct reader r = *parent;

    if (!value_check_type(&r, node, NODE_MAPPING,
                          "a mapping such as {policy: adaptive, ...}")) {
        return false;
    }
    r.owner = part_format(parent, "weights", owner);
    weights->loc = node->loc;
    weights->policy = weight_policies[0];
    policy = node_get(node, r.key = "policy");
    if (policy) {
        read_policy(&r, policy, weights);
    }
    from = node_get(node, r.key = "from");
    if (from) {
        read_from(&r, from, weights);
    }
    read_params(&r, node, weight_common, WEIGHT_N_COMMON, weights->common);
    if (!node_get(node, weight_common[WEIGHT_TIMEOUT].name)) {
        fit_timeout(weights->common);
    }
    if (weights->policy) {
        read_params(&r, node, weights->policy->params,
                    weights->policy->n_params, weights->params);
        check_known(&r, node, weights->policy);
        if (diags_n_errors(parent->diags) == n_errors) {
            check_from(&r, node, weights);
            check_params(&r, node, weights);
        }
    }
    weights->is_right = diags_n_errors(parent->diags) == n_errors;
    return weights->is_right;
}
