/* SPDX-License-Identifier: Apache-2.0 */

/* Reading what a file says under "check:". */

#include "lib/check.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "lib/model-internal.h"

/* Which types a key is for: bits by enum check_type. */
#define FOR(TYPE) (1u << (TYPE))
#define FOR_HTTP (FOR(CHECK_HTTP) | FOR(CHECK_HTTPS))
#define FOR_PORT (FOR_HTTP | FOR(CHECK_TCP) | FOR(CHECK_EXEC))
#define FOR_SWITCH (FOR(CHECK_TCP) | FOR(CHECK_ICMP) | FOR(CHECK_ARP) \
                    | FOR(CHECK_ND))

static bool
read_type(const struct reader *r, const struct node *node, void *check_)
{
    struct check *check = check_;
    int value;

    if (!value_word(r, node, check_type_words, &value)) {
        return false;
    }
    check->type = value;
    return true;
}

static bool
read_from(const struct reader *r, const struct node *node, void *check_)
{
    struct check *check = check_;
    int value;

    if (!value_word(r, node, check_from_words, &value)) {
        return false;
    }
    check->from = value;
    return true;
}

static bool
read_interval(const struct reader *r, const struct node *node, void *check_)
{
    struct check *check = check_;

    return value_milliseconds(r, node, CHECK_MIN_INTERVAL, CHECK_MAX_INTERVAL,
                              &check->interval);
}

static bool
read_fast_interval(const struct reader *r, const struct node *node,
                   void *check_)
{
    struct check *check = check_;

    return value_milliseconds(r, node, CHECK_MIN_INTERVAL, CHECK_MAX_INTERVAL,
                              &check->fast_interval);
}

static bool
read_timeout(const struct reader *r, const struct node *node, void *check_)
{
    struct check *check = check_;

    check->has_timeout = value_milliseconds(r, node, CHECK_MIN_TIMEOUT,
                                            CHECK_MAX_TIMEOUT,
                                            &check->timeout);
    return check->has_timeout;
}

static bool
read_rise(const struct reader *r, const struct node *node, void *check_)
{
    struct check *check = check_;

    return value_u16(r, node, 1, CHECK_MAX_RUN, &check->rise);
}

static bool
read_fall(const struct reader *r, const struct node *node, void *check_)
{
    struct check *check = check_;

    return value_u16(r, node, 1, CHECK_MAX_RUN, &check->fall);
}

static bool
read_port(const struct reader *r, const struct node *node, void *check_)
{
    struct check *check = check_;

    return value_u16(r, node, 1, UINT16_MAX, &check->port);
}

static bool
read_address(const struct reader *r, const struct node *node, void *check_)
{
    struct check *check = check_;

    check->has_address = value_ip(r, node, &check->address);
    return check->has_address;
}

static bool
read_source(const struct reader *r, const struct node *node, void *check_)
{
    struct check *check = check_;

    check->has_source = value_ip(r, node, &check->source);
    return check->has_source;
}

/* Text that goes into a request, where the end of a line would begin
 * something else. */
static bool
read_line(const struct reader *r, const struct node *node, char **line)
{
    const char *text;

    if (!value_text(r, node, &text)) {
        return false;
    }
    for (const char *s = text; *s; s++) {
        if (*s > '\0' && *s <= ' ') {
            reader_error(r, &node->loc, "%s must not have spaces or ends of "
                         "lines", r->key);
            return false;
        }
    }
    free(*line);
    *line = lb_xstrdup(text);
    return true;
}

static bool
read_method(const struct reader *r, const struct node *node, void *check_)
{
    struct check *check = check_;
    char *method = NULL;

    if (!read_line(r, node, &method)) {
        return false;
    }
    if (method[strspn(method, "ABCDEFGHIJKLMNOPQRSTUVWXYZ")]) {
        reader_error(r, &node->loc, "method must be in capitals as in GET or "
                     "HEAD, not %s", DIAG_QUOTE(method));
        free(method);
        return false;
    }
    free(check->method);
    check->method = method;
    return true;
}

static bool
read_path(const struct reader *r, const struct node *node, void *check_)
{
    struct check *check = check_;

    if (!read_line(r, node, &check->path)) {
        return false;
    }
    if (*check->path != '/') {
        reader_error(r, &node->loc, "path must begin with \"/\"");
        return false;
    }
    return true;
}

static bool
read_host(const struct reader *r, const struct node *node, void *check_)
{
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_";
    struct check *check = check_;

    if (!read_line(r, node, &check->host)) {
        return false;
    }
    if (check->host[strspn(check->host, allowed)]) {
        reader_error(r, &node->loc, "host must be a name such as "
                     "www.example.com, not %s", DIAG_QUOTE(check->host));
        return false;
    }
    return true;
}

static bool
read_body(const struct reader *r, const struct node *node, void *check_)
{
    struct check *check = check_;
    const char *text;

    if (!value_text(r, node, &text)) {
        return false;
    }
    free(check->body);
    check->body = lb_xstrdup(text);
    return true;
}

/* "200" or "200-399". */
static bool
read_status(const struct reader *r, const struct node *node, void *check_)
{
    struct check *check = check_;
    unsigned int min, max;
    const char *text;
    int n = 0;

    if (!value_text(r, node, &text)) {
        return false;
    }
    if (sscanf(text, "%3u-%3u%n", &min, &max, &n) != 2 || text[n]) {
        n = 0;
        if (sscanf(text, "%3u%n", &min, &n) != 1 || text[n]) {
            min = 0;
        }
        max = min;
    }
    if (min < 100 || max > 599 || min > max
        || text[strspn(text, "0123456789-")]) {
        reader_error(r, &node->loc, "status must be 100 to 599, or a range as "
                     "in 200-399, not %s", DIAG_QUOTE(text));
        return false;
    }
    check->status_min = min;
    check->status_max = max;
    return true;
}

static bool
read_verify(const struct reader *r, const struct node *node, void *check_)
{
    struct check *check = check_;
    int value;

    if (!value_word(r, node, flag_words, &value)) {
        return false;
    }
    check->verify = value;
    return true;
}

static bool
read_ca(const struct reader *r, const struct node *node, void *check_)
{
    struct check *check = check_;
    const char *text;

    if (!value_text(r, node, &text)) {
        return false;
    }
    if (*text != '/') {
        reader_error(r, &node->loc, "ca must begin with \"/\", not %s",
                     DIAG_QUOTE(text));
        return false;
    }
    free(check->ca);
    check->ca = lb_xstrdup(text);
    return true;
}

static void
clear_command(struct check *check)
{
    for (size_t i = 0; i < check->n_command; i++) {
        free(check->command[i]);
    }
    free(check->command);
    check->command = NULL;
    check->n_command = 0;
}

static bool
read_command(const struct reader *r, const struct node *node, void *check_)
{
    struct check *check = check_;
    bool alone = node->type == NODE_SCALAR;
    size_t n = 1;
    const char *text;

    if (!alone) {
        if (!value_check_type(r, node, NODE_SEQUENCE, "a program or a list")) {
            return false;
        }
        n = node->n_items;
    }
    if (!n || n > CHECK_MAX_ARGUMENTS) {
        reader_error(r, &node->loc, "command must have 1 to %d elements, not "
                     "%zu", CHECK_MAX_ARGUMENTS, n);
        return false;
    }
    clear_command(check);
    check->command = lb_xcalloc(n, sizeof *check->command);
    for (size_t i = 0; i < n; i++) {
        if (!value_text(r, alone ? node : node->items[i], &text)) {
            return false;
        }
        check->command[check->n_command++] = lb_xstrdup(text);
    }
    if (alone && strpbrk(text, " \t")) {
        reader_error(r, &node->loc, "command must be a list if the program "
                     "has arguments, as in [/bin/check, -x], not %s",
                     DIAG_QUOTE(text));
        return false;
    } else if (check->command[0][0] != '/') {
        reader_error(r, &node->loc, "command must be the whole name of a "
                     "program, from \"/\" on");
        return false;
    }
    return true;
}

static const struct field check_fields[] = {
    { "type", read_type, NULL },
    { "from", read_from, NULL },
    { "interval", read_interval, NULL },
    { "fast_interval", read_fast_interval, NULL },
    { "timeout", read_timeout, NULL },
    { "rise", read_rise, NULL },
    { "fall", read_fall, NULL },
    { "port", read_port, NULL },
    { "address", read_address, NULL },
    { "source", read_source, NULL },
    { "method", read_method, NULL },
    { "path", read_path, NULL },
    { "host", read_host, NULL },
    { "status", read_status, NULL },
    { "body", read_body, NULL },
    { "verify", read_verify, NULL },
    { "ca", read_ca, NULL },
    { "command", read_command, NULL },
    { NULL, NULL, NULL }
};

/* Keys that not every type has. */
static const struct {
    const char *key;
    unsigned int types;
    const char *what;           /* Those types. */
} limited[] = {
    { "port", FOR_PORT, "tcp, http, https and exec" },
    { "source", FOR(CHECK_TCP) | FOR(CHECK_ICMP), "tcp and icmp" },
    { "method", FOR_HTTP, "http and https" },
    { "path", FOR_HTTP, "http and https" },
    { "host", FOR_HTTP, "http and https" },
    { "status", FOR_HTTP, "http and https" },
    { "body", FOR_HTTP, "http and https" },
    { "verify", FOR(CHECK_HTTPS), "https" },
    { "ca", FOR(CHECK_HTTPS), "https" },
    { "command", FOR(CHECK_EXEC), "exec" },
};

/* Queues an error for each key that makes no sense with the type. */
static void
check_keys(const struct reader *r, const struct node *node,
           const struct check *check)
{
    for (size_t i = 0; i < LB_ARRAY_SIZE(limited); i++) {
        const struct node *value = node_get(node, limited[i].key);

        if (value && !(limited[i].types & FOR(check->type))) {
            reader_error(r, &value->loc, "%s is for checks of type %s, not %s",
                         limited[i].key, limited[i].what,
                         check_type_name(check->type));
        }
    }
    if (check->type == CHECK_NONE && node->n_pairs > 1) {
        reader_error(r, &node->loc, "a check of type none has nothing to set");
    }
}

static void
check_values(const struct reader *r, const struct node *node,
             const struct check *check)
{
    const struct node *from = node_get(node, "from");
    const struct node *fast = node_get(node, "fast_interval");
    const struct node *source = node_get(node, "source");

    if (fast && check->fast_interval > check->interval) {
        reader_error(r, &fast->loc, "fast_interval must not be longer than "
                     "interval, %"PRIu32" ms", check->interval);
    }
    if (check->from == CHECK_FROM_SWITCH
        && !(FOR(check->type) & FOR_SWITCH)) {
        reader_error(r, from ? &from->loc : &node->loc, "a switch can make "
                     "checks of type tcp, icmp, arp and nd, which are one "
                     "packet, and not of type %s",
                     check_type_name(check->type));
    }
    if (source && check->from != CHECK_FROM_SWITCH) {
        reader_error(r, &source->loc, "source is for \"from: switch\"; this "
                     "host has addresses of its own");
    }
    if (check->type == CHECK_EXEC && !check->n_command) {
        reader_error(r, &node->loc, "command is missing");
    }
    if (check->type == CHECK_HTTPS && check->verify && !check->host) {
        reader_error(r, &node->loc, "host is missing: a certificate is made "
                     "out to a name (or \"verify: false\")");
    }
}

/* A check that is as 'base', if that is not NULL, and else the default. */
static struct check *
check_clone(const struct check *base)
{
    struct check *check = lb_xcalloc(1, sizeof *check);

    if (!base) {
        check->interval = 2000;
        check->rise = 2;
        check->fall = 3;
        check->status_min = 200;
        check->status_max = 299;
        check->verify = true;
        return check;
    }
    *check = *base;
    check->method = base->method ? lb_xstrdup(base->method) : NULL;
    check->path = base->path ? lb_xstrdup(base->path) : NULL;
    check->host = base->host ? lb_xstrdup(base->host) : NULL;
    check->body = base->body ? lb_xstrdup(base->body) : NULL;
    check->ca = base->ca ? lb_xstrdup(base->ca) : NULL;
    check->command = lb_xcalloc(base->n_command + 1, sizeof *check->command);
    for (size_t i = 0; i < base->n_command; i++) {
        check->command[i] = lb_xstrdup(base->command[i]);
    }
    return check;
}

/* Reads the keys of the mapping 'node'. */
static void
read_mapping(struct reader *r, const struct node *node, struct check *check)
{
    const char *known[MAX_KEYS] = { NULL };
    const struct node *type = node_get(node, "type");
    size_t n_errors;

    fields_names(check_fields, known, 0);
    fields_check_known(r, node, known, NULL);
    n_errors = diags_n_errors(r->diags);
    fields_read(r, node, check_fields, check);
    if (!type && check->type == CHECK_NONE) {
        reader_error(r, &node->loc, "type is missing");
    } else if (diags_n_errors(r->diags) == n_errors) {
        check_keys(r, node, check);
        check_values(r, node, check);
    }
}

/* Whether 'node' asks for another type than 'type'. */
static bool
is_other_type(const struct node *node, enum check_type type)
{
    const struct node *own = (node->type == NODE_SCALAR ? node
                              : node->type == NODE_MAPPING
                              ? node_get(node, "type") : NULL);

    return own && (own->type != NODE_SCALAR
                   || strcmp(own->scalar, check_type_name(type)));
}

/* Fills in what follows from what is said. */
static void
complete(struct check *check)
{
    if (!check->has_timeout) {
        check->timeout = check->interval < 1000 ? check->interval : 1000;
    }
    if (check->fast_interval > check->interval) {
        check->fast_interval = 0;       /* The pool's, for a longer one. */
    }
}

struct check *
check_read(const struct reader *parent, const struct node *node,
           const struct check *base)
{
    char owner[PART_SIZE];
    struct reader r = { .diags = parent->diags, .key = "check" };
    struct check *check;

    part_format(parent, "check", owner);
    if (base && is_other_type(node, base->type)) {
        base = NULL;            /* What it says is of no use. */
    }
    check = check_clone(base);
    check->loc = node->loc;
    if (node->type == NODE_SCALAR) {
        struct reader scalar = { parent->diags, parent->owner, "check" };

        if (read_type(&scalar, node, check)) {
            r.owner = owner;
            check_values(&r, node, check);
        }
    } else if (value_check_type(parent, node, NODE_MAPPING,
                                "a type or a mapping")) {
        r.owner = owner;
        read_mapping(&r, node, check);
    }
    complete(check);
    return check;
}
