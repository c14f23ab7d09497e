/* SPDX-License-Identifier: Apache-2.0 */

/* libFuzzer target: any bytes as a file.
 *
 * What is read must also survive being written: the text of a pool reads as
 * the same pool.  Build with "./configure --enable-fuzzer CC=clang", run
 * "tests/fuzz-model -max_len=4096 SCRATCH-DIR tests/fuzz/corpus". */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/document.h"
#include "lib/model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char *
format_pool(const struct pool *pool)
{
    size_t size;
    char *text;
    FILE *stream = open_memstream(&text, &size);

    if (!stream) {
        abort();
    }
    pool_write(pool, stream);
    fclose(stream);
    return text;
}

/* Ends the process unless 'pool' can be written and read again. */
static void
check_round_trip(const struct pool *pool, struct diags *diags)
{
    char *text = format_pool(pool);
    struct document *document = document_read_memory("text", text,
                                                     strlen(text), diags);
    struct pool *again = document ? pool_read(document_root(document), diags)
                                  : NULL;
    char *text_again = again ? format_pool(again) : NULL;

    if (!text_again || strcmp(text, text_again)) {
        abort();
    }
    free(text_again);
    pool_destroy(again);
    document_destroy(document);
    free(text);
}

/* Messages must format as well, wherever they go. */
static void
print_nowhere(struct diags *diags)
{
    static FILE *nowhere;

    if (!nowhere) {
        nowhere = fopen("/dev/null", "w");
    }
    diags_flush(diags, nowhere);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct diags *diags = diags_create();
    struct document *document = document_read_memory(
        "fuzz", (const char *) data, size, diags);
    struct model *model = document ? model_read(document, diags) : NULL;

    if (!model == !diags_n_errors(diags)) {
        abort();
    }
    for (size_t i = 0; model && i < model->n_pools; i++) {
        check_round_trip(model->pools[i], diags);
    }
    print_nowhere(diags);
    model_destroy(model);
    document_destroy(document);
    diags_destroy(diags);
    return 0;
}
