/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "lib/compile-pool.h"

#include <stdlib.h>
#include <string.h>

#include "lib/actions.h"
#include "lib/record.h"

/* Emits 'text' in as many flows as it takes, under the key 'id'. */
static void
emit_text(struct compiler *c, const char *text, uint16_t id,
          enum cookie_kind kind, const struct source_loc *loc)
{
    size_t size = strlen(text);
    size_t n_chunks = (size + RECORD_CHUNK - 1) / RECORD_CHUNK;

    for (size_t i = 0; i < n_chunks; i++) {
        size_t ofs = i * RECORD_CHUNK;
        size_t n = size - ofs < RECORD_CHUNK ? size - ofs : RECORD_CHUNK;

        match_set_reg(&c->match, RECORD_REG_ID, id);
        match_set_reg(&c->match, RECORD_REG_CHUNK, i);
        act_note(&c->acts, text + ofs, n);
        compiler_emit(c, compiler_table(c, TABLE_RECORD), RECORD_PRIORITY,
                      cookie_make(kind, id, i), loc);
    }
}

void
compile_record(struct compiler *c, const struct assignment *a)
{
    char *text = record_format(a);

    emit_text(c, text, a->id, COOKIE_RECORD, &a->pool->loc);
    free(text);
}

void
compile_record_settings(struct compiler *c)
{
    char *text = record_format_settings(c->settings);

    emit_text(c, text, 0, COOKIE_SETTINGS, NULL);
    free(text);
}
