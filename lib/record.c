/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "lib/record.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/found.h"
#include "lib/health.h"
#include "lib/leaving.h"
#include "lib/override.h"
#include "lib/refreshed.h"
#include "lib/slots.h"

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                             "abcdefghijklmnopqrstuvwxyz"
                             "0123456789+/";

/* Number of characters for one slot. */
static size_t
slot_width(size_t n_servers)
{
    return n_servers <= RECORD_NARROW ? 1 : 2;
}

/* Writes a table of slots of 'pool'. */
static void
format_slots(const struct pool *pool, const uint16_t *slots, FILE *stream)
{
    size_t width = slot_width(pool->n_servers);

    putc('"', stream);
    for (size_t i = 0; i < pool->n_slots; i++) {
        uint16_t slot = slots[i];

        for (size_t shift = 6 * width; shift; shift -= 6) {
            putc(slot == SLOT_NONE ? '-' : digits[slot >> (shift - 6) & 63],
                 stream);
        }
    }
    putc('"', stream);
}

/* Writes the tables of later tiers by number. */
static void
format_spares(const struct assignment *a, FILE *stream)
{
    const char *separator = ",\"spares\":{";

    for (size_t i = 0; a->spares && i < a->pool->n_tiers; i++) {
        if (a->spares[i]) {
            fprintf(stream, "%s\"%zu\":", separator, i);
            format_slots(a->pool, a->spares[i], stream);
            separator = ",";
        }
    }
    if (*separator && !separator[1]) {
        putc('}', stream);
    }
}

char *
record_format(const struct assignment *a)
{
    char *text;
    size_t size;
    FILE *stream = open_memstream(&text, &size);

    if (!stream) {
        abort();
    }
    fprintf(stream, "{\"lbgen\":%d,\"id\":%"PRIu16",\"members\":[",
            RECORD_VERSION, a->id);
    for (size_t i = 0; i < a->pool->n_servers; i++) {
        fprintf(stream, "%s%"PRIu16, i ? "," : "", a->members[i]);
    }
    fputs("],\"slots\":", stream);
    format_slots(a->pool, a->slots, stream);
    if (a->homes) {
        fputs(",\"homes\":", stream);
        format_slots(a->pool, a->homes, stream);
    }
    format_spares(a, stream);
    fputs(",\"overrides\":", stream);
    override_write(a->pool, stream);
    fputs(",\"found\":", stream);
    found_write(a->pool, stream);
    if (health_exists(a->pool)) {
        fputs(",\"health\":", stream);
        health_write(a->pool, stream);
    }
    if (a->n_leaving) {
        fputs(",\"leaving\":", stream);
        leaving_write(a, stream);
    }
    fputs(",\"pool\":", stream);
    pool_write(a->pool, stream);
    /* At the end, because it changes most: most of the flows that the record
     * is spread over stay as they are. */
    if (refreshed_exists(a->pool)) {
        fputs(",\"refreshed\":", stream);
        refreshed_write(a->pool, stream);
    }
    fputs("}", stream);
    fclose(stream);
    return text;
}

char *
record_format_settings(const struct settings *settings)
{
    char *text;
    size_t size;
    FILE *stream = open_memstream(&text, &size);

    if (!stream) {
        abort();
    }
    fprintf(stream, "{\"lbgen\":%d,\"settings\":", RECORD_VERSION);
    settings_write(settings, stream);
    fputs("}", stream);
    fclose(stream);
    return text;
}

/* Reads a number from 1 to 'max' out of 'node', which may be NULL. */
static bool
parse_number(const struct node *node, unsigned long max, unsigned long *value)
{
    char *end;

    if (!node || node->type != NODE_SCALAR) {
        return false;
    }
    *value = strtoul(node->scalar, &end, 10);
    return end != node->scalar && !*end && *value >= 1 && *value <= max;
}

static bool
parse_members(const struct node *node, struct assignment *a)
{
    if (!node || node->type != NODE_SEQUENCE
        || node->n_items != a->pool->n_servers) {
        return false;
    }
    a->members = lb_xcalloc(a->pool->n_servers, sizeof *a->members);
    for (size_t i = 0; i < node->n_items; i++) {
        unsigned long id;

        if (!parse_number(node->items[i], UINT16_MAX, &id)) {
            return false;
        }
        a->members[i] = id;
    }
    return true;
}

/* Reads one slot of 'width' characters from 's'. */
static bool
parse_slot(const char *s, size_t width, size_t n_servers, uint16_t *slot)
{
    size_t index = 0;

    if (*s == '-') {
        *slot = SLOT_NONE;
        return true;
    }
    for (size_t i = 0; i < width; i++) {
        const char *digit = strchr(digits, s[i]);

        if (!digit || !*digit) {
            return false;
        }
        index = index << 6 | (digit - digits);
    }
    *slot = index;
    return index < n_servers;
}

/* Reads a table of slots of 'pool', for the caller to free, or NULL. */
static uint16_t *
parse_slots(const struct node *node, const struct pool *pool)
{
    size_t width = slot_width(pool->n_servers);
    uint16_t *slots;

    if (!node || node->type != NODE_SCALAR
        || strlen(node->scalar) != width * pool->n_slots) {
        return NULL;
    }
    slots = lb_xcalloc(pool->n_slots, sizeof *slots);
    for (size_t i = 0; i < pool->n_slots; i++) {
        if (!parse_slot(&node->scalar[i * width], width, pool->n_servers,
                        &slots[i])) {
            free(slots);
            return NULL;
        }
    }
    return slots;
}

/* 'node' is NULL for none. */
static bool
parse_spares(const struct node *node, struct assignment *a)
{
    size_t n_tiers = a->pool->n_tiers;

    if (n_tiers > 1) {
        a->spares = lb_xcalloc(n_tiers, sizeof *a->spares);
    }
    for (size_t i = 0; node && i < node->n_pairs; i++) {
        unsigned long tier;

        if (!parse_number(node->pairs[i].key, n_tiers - 1, &tier)
            || a->spares[tier]) {
            return false;
        }
        a->spares[tier] = parse_slots(node->pairs[i].value, a->pool);
        if (!a->spares[tier]) {
            return false;
        }
    }
    return true;
}

static bool
parse_tables(const struct node *root, struct assignment *a)
{
    const struct node *homes = node_get(root, "homes");

    a->slots = parse_slots(node_get(root, "slots"), a->pool);
    a->homes = homes ? parse_slots(homes, a->pool) : NULL;
    return (a->slots && (a->homes || !homes)
            && parse_spares(node_get(root, "spares"), a));
}

/* Reads the text and checks that it is a record of a version that we know.
 * What is wrong with one in particular is of no use to anybody, so the
 * messages are dropped. */
static enum record_result
parse_document(const char *text, size_t size, struct document **document)
{
    struct diags *diags = diags_create();
    enum record_result result = RECORD_DAMAGED;
    unsigned long version;

    *document = document_read_record("record", text, size, diags);
    if (*document && parse_number(node_get(document_root(*document), "lbgen"),
                                  UINT16_MAX, &version)) {
        result = version > RECORD_VERSION ? RECORD_NEWER : RECORD_OK;
    }
    if (result != RECORD_OK) {
        document_destroy(*document);
        *document = NULL;
    }
    diags_destroy(diags);
    return result;
}

/* Reads what follows the version. */
static bool
parse_record(const struct node *root, struct record *record)
{
    struct assignment *a = &record->assignment;
    const struct node *pool = node_get(root, "pool");
    struct diags *diags = diags_create();
    unsigned long id;

    a->pool = record->pool = pool ? pool_read(pool, diags) : NULL;
    diags_destroy(diags);
    if (a->pool && !node_get(pool, "watch")) {
        /* By a lbgen that could not watch. */
        record->pool->watch = WATCH_NONE;
    }
    if (a->pool && parse_number(node_get(root, "id"), UINT16_MAX, &id)
        && parse_members(node_get(root, "members"), a)
        && parse_tables(root, a)
        && override_read(node_get(root, "overrides"), record->pool)
        && health_read(node_get(root, "health"), record->pool)
        && found_read(node_get(root, "found"), record->pool)
        && refreshed_read(node_get(root, "refreshed"), record->pool)
        && leaving_read(node_get(root, "leaving"), a)) {
        a->id = id;
        return true;
    }
    return false;
}

enum record_result
record_parse(const char *text, size_t size, struct record *record)
{
    enum record_result result;

    memset(record, 0, sizeof *record);
    result = parse_document(text, size, &record->document);
    if (result == RECORD_OK
        && !parse_record(document_root(record->document), record)) {
        record_uninit(record);
        result = RECORD_DAMAGED;
    }
    return result;
}

enum record_result
record_parse_settings(const char *text, size_t size,
                      struct settings *settings)
{
    struct document *document;
    enum record_result result = parse_document(text, size, &document);

    if (result == RECORD_OK) {
        const struct node *node = node_get(document_root(document),
                                           "settings");
        struct diags *diags = diags_create();

        if (!node || !settings_read(node, settings, diags)) {
            result = RECORD_DAMAGED;
        }
        diags_destroy(diags);
        document_destroy(document);
    }
    return result;
}

void
record_uninit(struct record *record)
{
    free(record->assignment.members);
    free(record->assignment.slots);
    free(record->assignment.homes);
    if (record->pool) {
        assignment_free_spares(&record->assignment);
    }
    leaving_uninit(&record->assignment);
    pool_destroy(record->pool);
    document_destroy(record->document);
    memset(record, 0, sizeof *record);
}

bool
record_copy(const struct record *record, struct record *copy)
{
    char *text = record_format(&record->assignment);
    bool ok = record_parse(text, strlen(text), copy) == RECORD_OK;

    free(text);
    return ok;
}
