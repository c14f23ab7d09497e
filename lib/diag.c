/* SPDX-License-Identifier: Apache-2.0 */

#include "lib/diag.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* One message. */
struct diag {
    enum diag_level level;
    size_t file;                /* Index in 'files', or NO_FILE. */
    int line;
    int column;
    char *text;
    size_t seq;                 /* Place in the queue. */
};

#define NO_FILE SIZE_MAX

/* Messages in the order in which they came. */
struct diags {
    struct diag *queue;
    size_t n;
    size_t allocated;

    char **files;               /* Each name once, as first met. */
    size_t n_files;
    size_t files_allocated;

    size_t n_errors;            /* Ever, those beyond the limit as well. */
    size_t n_warnings;
    size_t n_kept[2];           /* In the queue, by level. */
    size_t n_surplus[2];        /* Not in the queue, by level. */
    bool drop_notes;            /* The message before was beyond the limit. */
};

struct diags *
diags_create(void)
{
    return lb_xcalloc(1, sizeof(struct diags));
}

static void
diags_clear(struct diags *diags)
{
    for (size_t i = 0; i < diags->n; i++) {
        free(diags->queue[i].text);
    }
    for (size_t i = 0; i < diags->n_files; i++) {
        free(diags->files[i]);
    }
    free(diags->queue);
    free(diags->files);
}

void
diags_destroy(struct diags *diags)
{
    if (diags) {
        diags_clear(diags);
        free(diags);
    }
}

static size_t
intern_file(struct diags *diags, const char *file)
{
    size_t i;

    if (!file) {
        return NO_FILE;
    }
    for (i = 0; i < diags->n_files; i++) {
        if (!strcmp(diags->files[i], file)) {
            return i;
        }
    }
    diags->files = lb_grow(diags->files, i, &diags->files_allocated,
                           sizeof *diags->files);
    diags->files[diags->n_files++] = lb_xstrdup(file);
    return i;
}

/* Length of the control character at 's', 0 if there is none.  Messages quote
 * text of unknown origin, which must not drive the user's terminal. */
static size_t
control_length(const char *s)
{
    const unsigned char *u = (const unsigned char *) s;

    if (u[0] < 0x20 || u[0] == 0x7f) {
        return 1;
    }
    return u[0] == 0xc2 && u[1] >= 0x80 && u[1] <= 0x9f ? 2 : 0;
}

/* Returns a copy of 's' with control characters written as "\x1b". */
static char *
escape_controls(const char *s)
{
    char *escaped = lb_xmalloc(4 * strlen(s) + 1);
    char *p = escaped;

    while (*s) {
        size_t n = control_length(s);

        if (!n) {
            *p++ = *s++;
        }
        for (; n > 0; n--) {
            p += sprintf(p, "\\x%02x", (unsigned char) *s++);
        }
    }
    *p = '\0';
    return escaped;
}

/* True if the message that is about to be queued still has a place. */
static bool
has_room(struct diags *diags, enum diag_level level)
{
    if (level != DIAG_NOTE) {
        diags->drop_notes = diags->n_kept[level] >= DIAGS_MAX_ERRORS;
        if (diags->drop_notes) {
            diags->n_surplus[level]++;
        } else {
            diags->n_kept[level]++;
        }
    }
    return !diags->drop_notes;
}

static void LB_PRINTF(4, 0)
diag_add(struct diags *diags, enum diag_level level,
         const struct source_loc *loc, const char *format, va_list args)
{
    struct diag *diag;
    char *text;

    if (!has_room(diags, level)) {
        return;
    }
    if (vasprintf(&text, format, args) < 0) {
        text = lb_xstrdup(format);
    }

    diags->queue = lb_grow(diags->queue, diags->n, &diags->allocated,
                           sizeof *diags->queue);
    diag = &diags->queue[diags->n];
    diag->level = level;
    diag->file = intern_file(diags, loc ? loc->file : NULL);
    diag->line = loc ? loc->line : 0;
    diag->column = loc ? loc->column : 0;
    diag->text = escape_controls(text);
    diag->seq = diags->n++;
    free(text);
}

void
diag_error(struct diags *diags, const struct source_loc *loc,
           const char *format, ...)
{
    va_list args;

    diags->n_errors++;
    va_start(args, format);
    diag_add(diags, DIAG_ERROR, loc, format, args);
    va_end(args);
}

void
diag_warning(struct diags *diags, const struct source_loc *loc,
             const char *format, ...)
{
    va_list args;

    diags->n_warnings++;
    va_start(args, format);
    diag_add(diags, DIAG_WARNING, loc, format, args);
    va_end(args);
}

void
diag_note(struct diags *diags, const struct source_loc *loc,
          const char *format, ...)
{
    va_list args;

    va_start(args, format);
    diag_add(diags, DIAG_NOTE, loc, format, args);
    va_end(args);
}

size_t
diags_n_errors(const struct diags *diags)
{
    return diags->n_errors;
}

size_t
diags_n_warnings(const struct diags *diags)
{
    return diags->n_warnings;
}

const char *
diag_quote(const char *s, char buf[DIAG_QUOTE_SIZE])
{
    static const char dots[] = "...";
    int n = strlen(s);
    bool cut = n > DIAG_QUOTE_SIZE - 3;

    if (cut) {
        n = DIAG_QUOTE_SIZE - 3 - strlen(dots);

        /* Not in the middle of a UTF-8 character. */
        while (n > 0 && (s[n] & 0xc0) == 0x80) {
            n--;
        }
    }
    snprintf(buf, DIAG_QUOTE_SIZE, "\"%.*s%s\"", n, s, cut ? dots : "");
    return buf;
}

static void
diag_print(const struct diags *diags, const struct diag *diag, FILE *stream)
{
    static const char *const names[] = {
        [DIAG_ERROR] = "error",
        [DIAG_WARNING] = "warning",
        [DIAG_NOTE] = "note",
    };

    if (diag->file == NO_FILE) {
        fputs("lbgen: ", stream);
        if (diag->level != DIAG_ERROR) {
            fprintf(stream, "%s: ", names[diag->level]);
        }
    } else {
        fprintf(stream, "%s:", diags->files[diag->file]);
        if (diag->line) {
            fprintf(stream, "%d:%d:", diag->line, diag->column);
        }
        fprintf(stream, " %s: ", names[diag->level]);
    }
    fprintf(stream, "%s\n", diag->text);
}

static int
compare_places(const void *a_, const void *b_)
{
    const struct diag *a = *(const struct diag *const *) a_;
    const struct diag *b = *(const struct diag *const *) b_;

    if (a->file != b->file) {
        return a->file < b->file ? -1 : 1;
    }
    if (a->line != b->line) {
        return a->line < b->line ? -1 : 1;
    }
    if (a->column != b->column) {
        return a->column < b->column ? -1 : 1;
    }
    return a->seq < b->seq ? -1 : 1;
}

/* True if the two messages, NULL for none, say the same about the same
 * place.  A mistake that aliases multiply is one mistake to the user. */
static bool
is_same(const struct diag *a, const struct diag *b)
{
    return (a && b && a->level == b->level && a->file == b->file
            && a->line && a->line == b->line && a->column == b->column
            && !strcmp(a->text, b->text));
}

/* Prints in file order, whatever the order in which mistakes were found, but
 * notes stay with the message that they explain. */
static void
print_sorted(const struct diags *diags, FILE *stream)
{
    const struct diag **heads;
    const struct diag *end;
    size_t n_heads = 0;

    if (!diags->n) {
        return;
    }
    heads = lb_xcalloc(diags->n, sizeof *heads);
    end = diags->queue + diags->n;
    for (size_t i = 0; i < diags->n; i++) {
        if (i == 0 || diags->queue[i].level != DIAG_NOTE) {
            heads[n_heads++] = &diags->queue[i];
        }
    }
    qsort(heads, n_heads, sizeof *heads, compare_places);
    for (size_t i = 0; i < n_heads; i++) {
        const struct diag *diag = heads[i];

        if (is_same(diag, i ? heads[i - 1] : NULL)) {
            continue;
        }
        do {
            diag_print(diags, diag++, stream);
        } while (diag < end && diag->level == DIAG_NOTE);
    }
    free(heads);
}

static void
print_surplus(size_t n, const char *what, FILE *stream)
{
    if (n) {
        fprintf(stream, "lbgen: and %zu more %s%s\n",
                n, what, n == 1 ? "" : "s");
    }
}

void
diags_flush(struct diags *diags, FILE *stream)
{
    print_sorted(diags, stream);
    print_surplus(diags->n_surplus[DIAG_ERROR], "error", stream);
    print_surplus(diags->n_surplus[DIAG_WARNING], "warning", stream);

    diags_clear(diags);
    *diags = (struct diags) {
        .n_errors = diags->n_errors,
        .n_warnings = diags->n_warnings,
    };
}
