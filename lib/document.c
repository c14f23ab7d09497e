/* SPDX-License-Identifier: Apache-2.0 */

#include "lib/document.h"

#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "lib/arena.h"
#include "lib/document-json.h"
#include "lib/document-keys.h"
#include "lib/document-problem.h"
#include "lib/input.h"
#include "lib/strmap.h"

/* Owns its nodes. */
struct document {
    char *name;
    struct arena arena;
    const struct node *root;
};

/* What an anchor ("&name") stands for. */
struct anchor {
    struct node *node;          /* NULL while it is not yet complete. */
    size_t n_nodes;             /* With aliases expanded. */
    int height;                 /* Levels of lists and mappings. */
};

/* A list or mapping that is not yet complete. */
struct frame {
    struct node *node;
    char *anchor;               /* NULL if it has none. */
    size_t first_child;         /* In 'children' of the builder. */
    size_t n_nodes_before;
    int height;                 /* Of the highest child. */
};

/* Builds a document out of the events of libyaml's parser. */
struct builder {
    struct document *document;
    struct diags *diags;
    const char *text;           /* All of it, without byte order mark. */
    size_t size;
    yaml_parser_t parser;

    struct frame frames[DOCUMENT_MAX_DEPTH];
    int depth;
    struct node **children;     /* Of all frames, those of the top one last. */
    size_t n_children;
    size_t allocated_children;
    size_t n_nodes;             /* With aliases expanded. */

    struct strmap anchors;      /* Name to struct anchor. */
    struct arena scratch;
    bool done;
};

static struct source_loc
loc_of_mark(const struct builder *b, const yaml_mark_t *mark)
{
    return (struct source_loc) {
        .file = b->document->name,
        .line = mark->line + 1,
        .column = mark->column + 1,
    };
}

/* True for bytes that begin a UTF-8 character. */
static bool
begins_character(char c)
{
    return (c & 0xc0) != 0x80;
}

/* Returns a copy of the line that has character number 'index', counted from
 * 0, up to and with that. */
static char *
copy_line(const struct builder *b, size_t index)
{
    size_t begin = 0;
    size_t end;

    for (end = 0; end < b->size; end++) {
        if (begins_character(b->text[end]) && !index--) {
            end++;
            break;
        }
        if (b->text[end] == '\n') {
            begin = end + 1;
        }
    }
    return lb_xmemdup0(b->text + begin, end - begin);
}

/* The place of byte number 'offset', counted from 0. */
static struct source_loc
loc_of_offset(const struct builder *b, size_t offset)
{
    struct source_loc loc = { b->document->name, 1, 1 };

    for (size_t i = 0; i < offset && i < b->size; i++) {
        if (b->text[i] == '\n') {
            loc.line++;
            loc.column = 1;
        } else if (begins_character(b->text[i])) {
            loc.column++;
        }
    }
    return loc;
}

/* Queues an error for what stopped the parser. */
static void
report_parser(const struct builder *b)
{
    const yaml_parser_t *p = &b->parser;
    struct source_loc loc, context;
    char *line;

    if (p->error == YAML_READER_ERROR) {
        loc = loc_of_offset(b, p->problem_offset);
        if (strstr(p->problem, "control")) {
            diag_error(b->diags, &loc,
                       "control character U+%04X is not allowed",
                       (unsigned int) p->problem_value);
        } else {
            diag_error(b->diags, &loc, "the file is not UTF-8 text");
        }
        return;
    }
    if (!p->problem) {
        diag_error(b->diags, NULL, "out of memory");
        return;
    }
    loc = loc_of_mark(b, &p->problem_mark);
    context = loc_of_mark(b, &p->context_mark);
    if (!p->context) {
        context.line = 0;
    }
    line = copy_line(b, p->problem_mark.index);
    document_report_problem(p->problem, line, &loc, &context, b->diags);
    free(line);
}

/* Counts 'n' more nodes at 'loc'.  False if that makes too many. */
static bool
count_nodes(struct builder *b, size_t n, bool alias,
            const struct source_loc *loc)
{
    b->n_nodes += n;
    if (b->n_nodes > DOCUMENT_MAX_NODES) {
        diag_error(b->diags, loc, "%s more than %d values, which is the limit",
                   alias ? "with aliases expanded, the file has"
                         : "the file has", DOCUMENT_MAX_NODES);
        return false;
    }
    return true;
}

/* Makes 'node' part of the list or mapping that is being built. */
static void
add_child(struct builder *b, struct node *node, int height)
{
    b->children = lb_grow(b->children, b->n_children, &b->allocated_children,
                          sizeof *b->children);
    b->children[b->n_children++] = node;
    if (b->depth && height > b->frames[b->depth - 1].height) {
        b->frames[b->depth - 1].height = height;
    }
}

/* Lets 'name', if not NULL, stand for 'node'.  A name may be used again. */
static void
set_anchor(struct builder *b, const char *name, struct node *node,
           size_t n_nodes, int height)
{
    struct anchor *anchor;

    if (name) {
        anchor = arena_alloc(&b->scratch, sizeof *anchor);
        *anchor = (struct anchor) { node, n_nodes, height };
        strmap_add(&b->anchors, name)->value = anchor;
    }
}

/* Copies the name of an anchor, which may be NULL, out of an event. */
static char *
copy_anchor(struct builder *b, const yaml_char_t *anchor)
{
    const char *s = (const char *) anchor;

    return s ? arena_memdup0(&b->scratch, s, strlen(s)) : NULL;
}

/* Creates a node where 'event' begins.  Returns NULL on error. */
static struct node *
create_node(struct builder *b, enum node_type type, const yaml_event_t *event,
            const yaml_char_t *tag)
{
    struct source_loc loc = loc_of_mark(b, &event->start_mark);
    struct node *node;

    if (tag) {
        diag_error(b->diags, &loc, "tags such as %s are not supported",
                   DIAG_QUOTE((const char *) tag));
        return NULL;
    }
    if (!count_nodes(b, 1, false, &loc)) {
        return NULL;
    }
    node = arena_alloc(&b->document->arena, sizeof *node);
    *node = (struct node) { .type = type, .loc = loc };
    return node;
}

static bool
handle_scalar(struct builder *b, const yaml_event_t *event)
{
    const char *text = (const char *) event->data.scalar.value;
    size_t length = event->data.scalar.length;
    struct node *node = create_node(b, NODE_SCALAR, event,
                                    event->data.scalar.tag);

    if (!node) {
        return false;
    }
    if (memchr(text, '\0', length)) {
        diag_error(b->diags, &node->loc, "text must not have null characters");
        return false;
    }
    node->scalar = arena_memdup0(&b->document->arena, text, length);
    node->plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    set_anchor(b, copy_anchor(b, event->data.scalar.anchor), node, 1, 0);
    add_child(b, node, 0);
    return true;
}

static bool
handle_alias(struct builder *b, const yaml_event_t *event)
{
    const char *name = (const char *) event->data.alias.anchor;
    const struct anchor *anchor = strmap_get(&b->anchors, name);
    struct source_loc loc = loc_of_mark(b, &event->start_mark);

    if (!anchor) {
        diag_error(b->diags, &loc, "alias \"*%.40s\" has no anchor before it",
                   name);
        return false;
    }
    if (!anchor->node) {
        diag_error(b->diags, &loc,
                   "alias \"*%.40s\" is part of what it stands for", name);
        return false;
    }
    if (b->depth + anchor->height > DOCUMENT_MAX_DEPTH) {
        diag_error(b->diags, &loc,
                   "more than %d levels, with aliases expanded",
                   DOCUMENT_MAX_DEPTH);
        return false;
    }
    if (!count_nodes(b, anchor->n_nodes, true, &loc)) {
        return false;
    }
    add_child(b, anchor->node, anchor->height);
    return true;
}

/* Begins a list or mapping. */
static bool
handle_start(struct builder *b, enum node_type type, const yaml_event_t *event,
             const yaml_char_t *tag, const yaml_char_t *anchor)
{
    size_t n_nodes_before = b->n_nodes;
    struct node *node = create_node(b, type, event, tag);
    struct frame *frame;

    if (!node) {
        return false;
    }
    if (b->depth == DOCUMENT_MAX_DEPTH) {
        diag_error(b->diags, &node->loc, "more than %d levels",
                   DOCUMENT_MAX_DEPTH);
        return false;
    }
    frame = &b->frames[b->depth++];
    *frame = (struct frame) {
        .node = node,
        .anchor = copy_anchor(b, anchor),
        .first_child = b->n_children,
        .n_nodes_before = n_nodes_before,
    };
    set_anchor(b, frame->anchor, NULL, 0, 0);
    return true;
}

/* Ends the list or mapping begun last. */
static void
handle_end(struct builder *b)
{
    struct frame *frame = &b->frames[--b->depth];
    struct node **children = b->children + frame->first_child;
    size_t n = b->n_children - frame->first_child;
    struct node *node = frame->node;

    if (node->type == NODE_MAPPING) {
        document_fill_mapping(node, children, n, &b->document->arena,
                              b->diags);
    } else {
        node->n_items = n;
        node->items = arena_alloc(&b->document->arena, n * sizeof *children);
        if (n) {
            memcpy(node->items, children, n * sizeof *children);
        }
    }
    b->n_children = frame->first_child;
    set_anchor(b, frame->anchor, node, b->n_nodes - frame->n_nodes_before,
               frame->height + 1);
    add_child(b, node, frame->height + 1);
}

static bool
handle_document(struct builder *b, const yaml_event_t *event)
{
    struct source_loc loc = loc_of_mark(b, &event->start_mark);

    if (b->n_children) {
        diag_error(b->diags, &loc,
                   "a second document begins here, only one is allowed");
        return false;
    }
    return true;
}

/* Takes in one event.  False on error. */
static bool
handle_event(struct builder *b, const yaml_event_t *event)
{
    switch (event->type) {
    case YAML_DOCUMENT_START_EVENT:
        return handle_document(b, event);
    case YAML_ALIAS_EVENT:
        return handle_alias(b, event);
    case YAML_SCALAR_EVENT:
        return handle_scalar(b, event);
    case YAML_SEQUENCE_START_EVENT:
        return handle_start(b, NODE_SEQUENCE, event,
                            event->data.sequence_start.tag,
                            event->data.sequence_start.anchor);
    case YAML_MAPPING_START_EVENT:
        return handle_start(b, NODE_MAPPING, event,
                            event->data.mapping_start.tag,
                            event->data.mapping_start.anchor);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        handle_end(b);
        return true;
    case YAML_STREAM_END_EVENT:
        b->done = true;
        return true;
    case YAML_NO_EVENT:
    case YAML_STREAM_START_EVENT:
    case YAML_DOCUMENT_END_EVENT:
    default:
        return true;
    }
}

/* Sets the root of the document.  False on error. */
static bool
build(struct builder *b)
{
    while (!b->done) {
        yaml_event_t event;
        bool ok;

        if (!yaml_parser_parse(&b->parser, &event)) {
            report_parser(b);
            return false;
        }
        ok = handle_event(b, &event);
        yaml_event_delete(&event);
        if (!ok) {
            return false;
        }
    }
    if (!b->n_children
        || (b->children[0]->type == NODE_SCALAR && b->children[0]->plain
            && !*b->children[0]->scalar)) {
        struct source_loc loc = { .file = b->document->name };

        diag_error(b->diags, &loc, "the file is empty");
        return false;
    }
    b->document->root = b->children[0];
    return true;
}

/* Begins after a byte order mark, which is no part of the text.  False on
 * error. */
static bool
builder_init(struct builder *b, const char *text, size_t size)
{
    if (size >= 3 && !memcmp(text, "\xef\xbb\xbf", 3)) {
        text += 3;
        size -= 3;
    }
    b->text = text;
    b->size = size;
    b->children = lb_grow(NULL, 0, &b->allocated_children,
                          sizeof *b->children);
    if (!yaml_parser_initialize(&b->parser)) {
        report_parser(b);
        return false;
    }
    yaml_parser_set_encoding(&b->parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&b->parser, (const unsigned char *) text,
                                 size);
    return true;
}

static void
builder_uninit(struct builder *b)
{
    yaml_parser_delete(&b->parser);
    strmap_uninit(&b->anchors);
    arena_uninit(&b->scratch);
    free(b->children);
}

struct document *
document_read_memory(const char *name, const char *text, size_t size,
                     struct diags *diags)
{
    struct document *document = lb_xcalloc(1, sizeof *document);
    struct builder builder = { .document = document, .diags = diags };
    bool ok;

    document->name = lb_xstrdup(name);
    ok = builder_init(&builder, text, size) && build(&builder);
    builder_uninit(&builder);
    if (!ok) {
        document_destroy(document);
        return NULL;
    }
    return document;
}

struct document *
document_read_record(const char *name, const char *text, size_t size,
                     struct diags *diags)
{
    struct document *document = lb_xcalloc(1, sizeof *document);

    document->name = lb_xstrdup(name);
    document->root = document_json_read(document->name, text, size,
                                        &document->arena);
    if (!document->root) {
        document_destroy(document);
        document = document_read_memory(name, text, size, diags);
    }
    return document;
}

struct document *
document_read_file(const char *file_name, struct diags *diags)
{
    const char *name = strcmp(file_name, "-") ? file_name : "<stdin>";
    struct document *document;
    char *text;
    size_t size;

    if (!input_read(file_name, name, DOCUMENT_MAX_SIZE, &text, &size,
                    diags)) {
        return NULL;
    }
    document = document_read_memory(name, text, size, diags);
    free(text);
    return document;
}

void
document_destroy(struct document *document)
{
    if (document) {
        arena_uninit(&document->arena);
        free(document->name);
        free(document);
    }
}

const char *
document_name(const struct document *document)
{
    return document->name;
}

const struct node *
document_root(const struct document *document)
{
    return document->root;
}

const struct node *
node_get(const struct node *node, const char *key)
{
    if (node->type == NODE_MAPPING) {
        for (size_t i = 0; i < node->n_pairs; i++) {
            if (!strcmp(node->pairs[i].key->scalar, key)) {
                return node->pairs[i].value;
            }
        }
    }
    return NULL;
}

const char *
node_type_name(const struct node *node)
{
    return (node->type == NODE_MAPPING ? "a mapping"
            : node->type == NODE_SEQUENCE ? "a list"
            : "text");
}
