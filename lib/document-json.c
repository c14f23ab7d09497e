/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "lib/document-json.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* Keys of a mapping are compared each with each, up to so many. */
#define MAX_PAIRS 64

struct json_reader {
    const char *begin, *p, *end;
    const char *name;           /* Of the file. */
    struct arena *arena;
    int depth;

    /* Of the lists and mappings under way, those of the innermost last. */
    struct node **children;
    size_t n_children;
    size_t allocated_children;
};

static struct node *read_value(struct json_reader *);

static struct node *
create_node(struct json_reader *r, enum node_type type)
{
    struct node *node = arena_alloc(r->arena, sizeof *node);

    *node = (struct node) {
        .type = type, .loc = { r->name, 1, r->p - r->begin + 1 }
    };
    return node;
}

static bool
take(struct json_reader *r, char c)
{
    if (r->p < r->end && *r->p == c) {
        r->p++;
        return true;
    }
    return false;
}

/* Reads "u0041", a character of ASCII, into '*c'. */
static bool
read_code(struct json_reader *r, char *c)
{
    static const char hex[] = "0123456789abcdef";
    int code = 0;

    if (r->end - r->p < 5) {
        return false;
    }
    for (int i = 1; i < 5; i++) {
        const char *digit = r->p[i] ? strchr(hex, r->p[i]) : NULL;

        if (!digit) {
            return false;
        }
        code = code << 4 | (digit - hex);
    }
    r->p += 5;
    *c = code;
    return code > 0 && code < 0x80;
}

/* Reads what follows a backslash into '*c'. */
static bool
read_escape(struct json_reader *r, char *c)
{
    if (r->p < r->end && (*r->p == '"' || *r->p == '\\')) {
        *c = *r->p++;
        return true;
    }
    return r->p < r->end && *r->p == 'u' && read_code(r, c);
}

/* Reads a string, which 'r->p' is at the opening quote of. */
static struct node *
read_string(struct json_reader *r)
{
    struct node *node = create_node(r, NODE_SCALAR);
    const char *end = memchr(r->p + 1, '"', r->end - r->p - 1);
    size_t n = 0;

    /* A quote that is escaped makes it longer. */
    while (end && end[-1] == '\\') {
        end = memchr(end + 1, '"', r->end - end - 1);
    }
    if (!end) {
        return NULL;
    }
    node->scalar = arena_alloc(r->arena, end - r->p);
    for (r->p++; r->p < r->end && *r->p != '"'; n++) {
        char c = *r->p++;

        if (c < 0x20 || c == 0x7f || (c == '\\' && !read_escape(r, &c))) {
            return NULL;
        }
        node->scalar[n] = c;
    }
    node->scalar[n] = '\0';
    return take(r, '"') ? node : NULL;
}

/* Reads a number or one of the words true, false and null. */
static struct node *
read_plain(struct json_reader *r)
{
    struct node *node = create_node(r, NODE_SCALAR);
    size_t n = 0;

    while (r->p + n < r->end && r->p[n]
           && strchr("+-.0123456789abcdefghijklmnopqrstuvwxyzE", r->p[n])) {
        n++;
    }
    if (!n || !strchr("-0123456789tfn", *r->p)) {
        return NULL;
    }
    node->plain = true;
    node->scalar = arena_memdup0(r->arena, r->p, n);
    r->p += n;
    return node;
}

static void
add_child(struct json_reader *r, struct node *node)
{
    r->children = lb_grow(r->children, r->n_children, &r->allocated_children,
                          sizeof *r->children);
    r->children[r->n_children++] = node;
}

/* Reads one element of a list, or one key and its value. */
static bool
read_element(struct json_reader *r, enum node_type type)
{
    struct node *node;

    if (type == NODE_MAPPING) {
        node = r->p < r->end && *r->p == '"' ? read_string(r) : NULL;
        if (!node || !take(r, ':')) {
            return false;
        }
        add_child(r, node);
    }
    node = read_value(r);
    if (node) {
        add_child(r, node);
    }
    return node != NULL;
}

/* Makes 'n' children the pairs of 'node'.  False if two keys are the same, or
 * there are too many to see. */
static bool
fill_mapping(struct json_reader *r, struct node *node,
             struct node *const *children, size_t n)
{
    node->n_pairs = n / 2;
    node->pairs = arena_alloc(r->arena, node->n_pairs * sizeof *node->pairs);
    for (size_t i = 0; i < node->n_pairs; i++) {
        node->pairs[i].key = children[2 * i];
        node->pairs[i].value = children[2 * i + 1];
        for (size_t j = 0; j < i; j++) {
            if (!strcmp(node->pairs[j].key->scalar,
                        node->pairs[i].key->scalar)) {
                return false;
            }
        }
    }
    return node->n_pairs <= MAX_PAIRS;
}

/* Reads a list or mapping, which 'r->p' is at the opening bracket of. */
static struct node *
read_collection(struct json_reader *r, enum node_type type, char close)
{
    struct node *node = create_node(r, type);
    size_t first = r->n_children;
    bool ok = ++r->depth <= DOCUMENT_MAX_DEPTH;

    r->p++;
    if (ok && !take(r, close)) {
        do {
            ok = read_element(r, type);
        } while (ok && take(r, ','));
        ok = ok && take(r, close);
    }
    if (ok) {
        struct node **children = r->children + first;
        size_t n = r->n_children - first;

        if (type == NODE_MAPPING) {
            ok = fill_mapping(r, node, children, n);
        } else {
            node->n_items = n;
            node->items = arena_alloc(r->arena, n * sizeof *children);
            memcpy(node->items, children, n * sizeof *children);
        }
    }
    r->n_children = first;
    r->depth--;
    return ok ? node : NULL;
}

static struct node *
read_value(struct json_reader *r)
{
    switch (r->p < r->end ? *r->p : '\0') {
    case '{':
        return read_collection(r, NODE_MAPPING, '}');
    case '[':
        return read_collection(r, NODE_SEQUENCE, ']');
    case '"':
        return read_string(r);
    default:
        return read_plain(r);
    }
}

const struct node *
document_json_read(const char *name, const char *text, size_t size,
                   struct arena *arena)
{
    struct json_reader r = {
        .begin = text, .p = text, .end = text + size, .name = name,
        .arena = arena
    };
    const struct node *root;

    /* So that no list of children is ever NULL. */
    r.children = lb_grow(NULL, 0, &r.allocated_children, sizeof *r.children);
    root = read_value(&r);
    free(r.children);
    return r.p == r.end ? root : NULL;
}
