/* SPDX-License-Identifier: Apache-2.0 */

/* Reading and writing files, and the small things that this is made of. */

#include "lib/turns.h"
#include "tests/lbtest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/document-json.h"
#include "lib/document.h"
#include "lib/input.h"
#include "lib/model.h"

/* Prints messages to standard error and returns the exit status. */
static int
finish(struct diags *diags)
{
    int status = diags_n_errors(diags) ? EXIT_FAILURE : EXIT_SUCCESS;

    diags_flush(diags, stderr);
    diags_destroy(diags);
    return status;
}

static void
print_node(const struct node *node)
{
    switch (node->type) {
    case NODE_SCALAR:
        printf(node->plain ? "%s" : "\"%s\"", node->scalar);
        break;
    case NODE_SEQUENCE:
        putchar('[');
        for (size_t i = 0; i < node->n_items; i++) {
            fputs(i ? ", " : "", stdout);
            print_node(node->items[i]);
        }
        putchar(']');
        break;
    case NODE_MAPPING:
        putchar('{');
        for (size_t i = 0; i < node->n_pairs; i++) {
            fputs(i ? ", " : "", stdout);
            print_node(node->pairs[i].key);
            fputs(": ", stdout);
            print_node(node->pairs[i].value);
        }
        putchar('}');
        break;
    default:
        abort();
    }
    printf("@%d:%d", node->loc.line, node->loc.column);
}

/* document FILE: prints the tree, each node with its place. */
int
lbtest_document(int argc LB_UNUSED, char *argv[])
{
    struct diags *diags = diags_create();
    struct document *document = document_read_file(argv[1], diags);

    if (document) {
        print_node(document_root(document));
        putchar('\n');
    }
    document_destroy(document);
    return finish(diags);
}

/* document-json < TEXT: prints the tree as "document" does, or nothing if the
 * text is left to the reader of YAML. */
int
lbtest_document_json(int argc LB_UNUSED, char *argv[] LB_UNUSED)
{
    struct arena arena = { NULL, 0, 0 };
    struct diags *diags = diags_create();
    const struct node *root;
    char *text;
    size_t size;

    if (input_read("-", "<stdin>", DOCUMENT_MAX_SIZE, &text, &size, diags)) {
        root = document_json_read("<stdin>", text, size, &arena);
        if (root) {
            print_node(root);
            putchar('\n');
        }
        free(text);
    }
    arena_uninit(&arena);
    return finish(diags);
}

/* model-write FILE: prints the settings and each pool, one line each. */
int
lbtest_model_write(int argc LB_UNUSED, char *argv[])
{
    struct diags *diags = diags_create();
    struct document *document = document_read_file(argv[1], diags);
    struct model *model = document ? model_read(document, diags) : NULL;

    if (model) {
        settings_write(&model->settings, stdout);
        putchar('\n');
        for (size_t i = 0; i < model->n_pools; i++) {
            pool_write(model->pools[i], stdout);
            putchar('\n');
        }
    }
    model_destroy(model);
    document_destroy(document);
    return finish(diags);
}

/* Reads what model-write prints, from standard input, and prints it again:
 * what 'rewrite' makes of each line. */
static int
rewrite_lines(void (*rewrite)(const struct node *, struct diags *))
{
    struct diags *diags = diags_create();
    char *line = NULL;
    size_t size = 0;
    ssize_t n;

    while ((n = getline(&line, &size, stdin)) > 0) {
        struct document *document = document_read_memory("line", line, n,
                                                         diags);

        if (document) {
            rewrite(document_root(document), diags);
        }
        document_destroy(document);
    }
    free(line);
    return finish(diags);
}

static void
rewrite_pool(const struct node *node, struct diags *diags)
{
    struct pool *pool = pool_read(node, diags);

    if (pool) {
        pool_write(pool, stdout);
        putchar('\n');
    }
    pool_destroy(pool);
}

static void
rewrite_settings(const struct node *node, struct diags *diags)
{
    struct settings settings;

    if (settings_read(node, &settings, diags)) {
        settings_write(&settings, stdout);
        putchar('\n');
    }
}

static void
print_turns(const struct node *node, struct diags *diags)
{
    struct pool *pool = pool_read(node, diags);
    struct turns turns;

    if (pool) {
        turns_compute(pool, &turns);
        for (size_t i = 0; i < turns.n; i++) {
            printf("%s%s", i ? " " : "", pool->servers[turns.servers[i]].name);
        }
        putchar('\n');
        turns_uninit(&turns);
    }
    pool_destroy(pool);
}

/* Prints the turns of the pools on standard input, one a line. */
int
lbtest_turns(int argc LB_UNUSED, char *argv[] LB_UNUSED)
{
    return rewrite_lines(print_turns);
}

int
lbtest_pool_rewrite(int argc LB_UNUSED, char *argv[] LB_UNUSED)
{
    return rewrite_lines(rewrite_pool);
}

int
lbtest_settings_rewrite(int argc LB_UNUSED, char *argv[] LB_UNUSED)
{
    return rewrite_lines(rewrite_settings);
}

/* ip TEXT...: for each, prints the address and the MAC derived from it. */
int
lbtest_ip(int argc, char *argv[])
{
    for (int i = 1; i < argc; i++) {
        char text[IP_STRLEN], mac_text[MAC_STRLEN];
        struct mac mac;
        struct ip ip;

        if (ip_from_string(argv[i], &ip)) {
            mac = ip_derive_mac(&ip);
            printf("%s %s %s\n", ip_is_v4(&ip) ? "v4" : "v6",
                   ip_format(&ip, text), mac_format(&mac, mac_text));
        } else {
            puts("invalid");
        }
    }
    return EXIT_SUCCESS;
}

/* mac TEXT...: prints each. */
int
lbtest_mac(int argc, char *argv[])
{
    for (int i = 1; i < argc; i++) {
        char text[MAC_STRLEN];
        struct mac mac;

        puts(mac_from_string(argv[i], &mac) ? mac_format(&mac, text)
             : "invalid");
    }
    return EXIT_SUCCESS;
}

/* edit-distance A B [A B]... */
int
lbtest_edit_distance(int argc, char *argv[])
{
    for (int i = 1; i + 1 < argc; i += 2) {
        printf("%zu\n", lb_edit_distance(argv[i], argv[i + 1]));
    }
    return EXIT_SUCCESS;
}

/* nearest TEXT CANDIDATE... */
int
lbtest_nearest(int argc LB_UNUSED, char *argv[])
{
    const char *nearest = lb_nearest(argv[1], (const char *const *) argv + 2);

    puts(nearest ? nearest : "(none)");
    return EXIT_SUCCESS;
}

/* diags: prints messages queued in an order that is not that of the file. */
int
lbtest_diags(int argc LB_UNUSED, char *argv[] LB_UNUSED)
{
    struct diags *diags = diags_create();
    struct source_loc loc = { "b.yaml", 3, 1 };

    diag_error(diags, &loc, "third");
    loc = (struct source_loc) { "b.yaml", 2, 7 };
    diag_warning(diags, &loc, "second \x1b[31m\xc2\x9b \xc3\xa9");
    loc.line = 9;
    diag_note(diags, &loc, "note on the second");
    diag_note(diags, NULL, "another");
    loc = (struct source_loc) { "b.yaml", 2, 3 };
    diag_error(diags, &loc, "first");
    diag_error(diags, NULL, "no file");
    loc = (struct source_loc) { "a.yaml", 0, 0 };
    diag_warning(diags, &loc, "as a whole");
    diags_flush(diags, stdout);
    puts("--");
    diags_flush(diags, stdout);

    for (int i = 0; i < DIAGS_MAX_ERRORS + 2; i++) {
        loc.line = i + 1;
        diag_error(diags, &loc, "%d", i);
        diag_note(diags, &loc, "on %d", i);
    }
    diags_flush(diags, stdout);
    printf("%zu %zu\n", diags_n_errors(diags), diags_n_warnings(diags));
    diags_destroy(diags);
    return EXIT_SUCCESS;
}
