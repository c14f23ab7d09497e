/* SPDX-License-Identifier: Apache-2.0 */

#include "lib/strmap.h"

#include <stdlib.h>
#include <string.h>

#include "lib/util.h"
#include "policies/hash.h"

/* Open addressing with linear probing, at most half full.  Returns the place
 * of 'key', free or not; 'map' must not be without entries. */
static struct strmap_entry *
find_place(const struct strmap *map, const char *key)
{
    size_t i = hash_string(key) & (map->size - 1);

    while (map->entries[i].key && strcmp(map->entries[i].key, key)) {
        i = (i + 1) & (map->size - 1);
    }
    return &map->entries[i];
}

static void
grow(struct strmap *map)
{
    struct strmap old = *map;

    map->size = old.size ? 2 * old.size : 16;
    map->entries = lb_xcalloc(map->size, sizeof *map->entries);
    for (size_t i = 0; i < old.size; i++) {
        if (old.entries[i].key) {
            *find_place(map, old.entries[i].key) = old.entries[i];
        }
    }
    free(old.entries);
}

struct strmap_entry *
strmap_add(struct strmap *map, const char *key)
{
    struct strmap_entry *entry;

    if (2 * map->n >= map->size) {
        grow(map);
    }
    entry = find_place(map, key);
    if (!entry->key) {
        entry->key = key;
        map->n++;
    }
    return entry;
}

const void *
strmap_get(const struct strmap *map, const char *key)
{
    return map->size ? find_place(map, key)->value : NULL;
}

void
strmap_uninit(struct strmap *map)
{
    free(map->entries);
    *map = (struct strmap) { NULL, 0, 0 };
}
