/* SPDX-License-Identifier: Apache-2.0 */

#include "lib/fields.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* More words than any table has. */
#define MAX_WORDS 32

void
reader_error(const struct reader *reader, const struct source_loc *loc,
             const char *format, ...)
{
    va_list args;
    char *text;

    va_start(args, format);
    if (vasprintf(&text, format, args) < 0) {
        text = NULL;
    }
    va_end(args);
    diag_error(reader->diags, loc, "%s%s%s",
               reader->owner ? reader->owner : "",
               reader->owner ? ": " : "", text ? text : format);
    free(text);
}

void
fields_read(struct reader *reader, const struct node *node,
            const struct field *fields, void *object)
{
    for (const struct field *field = fields; field->key; field++) {
        const struct node *value = node_get(node, field->key);

        if (value) {
            reader->key = field->key;
            field->read(reader, value, object);
        } else if (field->missing) {
            reader_error(reader, &node->loc, "%s", field->missing);
        }
    }
}

size_t
fields_names(const struct field *fields, const char **names, size_t n)
{
    for (; fields->key; fields++) {
        names[n++] = fields->key;
    }
    return n;
}

static bool
is_among(const char *s, const char *const names[])
{
    for (; *names; names++) {
        if (!strcmp(s, *names)) {
            return true;
        }
    }
    return false;
}

void
fields_check_known(const struct reader *reader, const struct node *node,
                   const char *const known[], const char *prefix)
{
    for (size_t i = 0; i < node->n_pairs; i++) {
        const struct node *key = node->pairs[i].key;
        const char *nearest;

        if (is_among(key->scalar, known)
            || (prefix && !strncmp(key->scalar, prefix, strlen(prefix)))) {
            continue;
        }
        nearest = lb_nearest(key->scalar, known);
        if (key->plain && strchr(key->scalar, ':')) {
            reader_error(reader, &key->loc, "unknown key %s; a space must "
                         "follow the \":\"", DIAG_QUOTE(key->scalar));
        } else if (nearest) {
            reader_error(reader, &key->loc,
                         "unknown key %s, did you mean \"%s\"?",
                         DIAG_QUOTE(key->scalar), nearest);
        } else {
            reader_error(reader, &key->loc, "unknown key %s",
                         DIAG_QUOTE(key->scalar));
        }
    }
}

/* True for the ways in which YAML 1.1 writes that there is no value. */
static bool
is_null(const struct node *node)
{
    static const char *const nulls[] = {
        "", "~", "null", "Null", "NULL", NULL
    };

    return (node->type == NODE_SCALAR && node->plain
            && is_among(node->scalar, nulls));
}

bool
value_check_type(const struct reader *reader, const struct node *node,
                 enum node_type type, const char *what)
{
    if (is_null(node)) {
        reader_error(reader, &node->loc, "%s is empty, it must be %s",
                     reader->key, what);
        return false;
    }
    if (node->type != type) {
        reader_error(reader, &node->loc, "%s must be %s, not %s",
                     reader->key, what, node_type_name(node));
        return false;
    }
    return true;
}

/* True if 's' is made of decimal digits alone. */
static bool
is_digits(const char *s)
{
    return *s && !s[strspn(s, "0123456789")];
}

/* Queues an error if 'node', a scalar, is no decimal number. */
static bool
check_decimal(const struct reader *reader, const struct node *node)
{
    const char *s = node->scalar;
    const char *digits = *s == '-' ? s + 1 : s;

    if (!is_digits(digits) || !strcmp(s, "-0")) {
        reader_error(reader, &node->loc,
                     "%s must be a whole decimal number, not %s",
                     reader->key, DIAG_QUOTE(s));
        return false;
    }
    if (!node->plain) {
        reader_error(reader, &node->loc,
                     "%s must be a number, written without quotes",
                     reader->key);
        return false;
    }
    if (digits[0] == '0' && digits[1]) {
        reader_error(reader, &node->loc,
                     "%s must be a number without leading zeros, not %s",
                     reader->key, DIAG_QUOTE(s));
        return false;
    }
    return true;
}

bool
value_number(const struct reader *reader, const struct node *node,
             long min, long max, long *value)
{
    long number;

    if (!value_check_type(reader, node, NODE_SCALAR, "a number")
        || !check_decimal(reader, node)) {
        return false;
    }
    errno = 0;
    number = strtol(node->scalar, NULL, 10);
    if (errno || number < min || number > max) {
        reader_error(reader, &node->loc, "%s must be %ld to %ld, not %.32s",
                     reader->key, min, max, node->scalar);
        return false;
    }
    *value = number;
    return true;
}

bool
value_text(const struct reader *reader, const struct node *node,
           const char **text)
{
    if (!value_check_type(reader, node, NODE_SCALAR, "text")) {
        return false;
    }
    if (!*node->scalar) {
        reader_error(reader, &node->loc, "%s must not be empty", reader->key);
        return false;
    }
    *text = node->scalar;
    return true;
}

/* Appends the 'names' to 'buf', "a, b or c". */
static void
format_list(const char *const names[], char *buf, size_t size)
{
    size_t used = 0;

    *buf = '\0';
    for (size_t i = 0; names[i] && used < size; i++) {
        used += snprintf(buf + used, size - used, "%s%s",
                         !i ? "" : names[i + 1] ? ", " : " or ", names[i]);
    }
}

void
value_unknown(const struct reader *reader, const struct node *node,
              const char *const names[])
{
    const char *nearest = lb_nearest(node->scalar, names);
    char list[256];

    format_list(names, list, sizeof list);
    reader_error(reader, &node->loc, "%s must be %s, not %s%s%s%s",
                 reader->key, list, DIAG_QUOTE(node->scalar),
                 nearest ? "; did you mean \"" : "", nearest ? nearest : "",
                 nearest ? "\"?" : "");
}

bool
value_text_of(const struct reader *reader, const struct node *node,
              const char *const names[], const char **text)
{
    char list[256];

    if (is_null(node)) {
        format_list(names, list, sizeof list);
        reader_error(reader, &node->loc, "%s is empty, it must be %s",
                     reader->key, list);
        return false;
    }
    return value_text(reader, node, text);
}

bool
value_word(const struct reader *reader, const struct node *node,
           const struct word words[], int *value)
{
    const char *names[MAX_WORDS + 1] = { NULL };
    const char *text;
    size_t n = 0;

    for (const struct word *word = words; word->name; word++) {
        if (word->value >= 0 && n < MAX_WORDS) {
            names[n++] = word->name;
        }
    }
    if (!value_text_of(reader, node, names, &text)) {
        return false;
    }
    for (const struct word *word = words; word->name; word++) {
        if (strcmp(text, word->name)) {
            continue;
        } else if (word->value < 0) {
            reader_error(reader, &node->loc, "%s \"%s\" is not supported yet",
                         reader->key, text);
            return false;
        } else {
            *value = word->value;
            return true;
        }
    }
    value_unknown(reader, node, names);
    return false;
}
