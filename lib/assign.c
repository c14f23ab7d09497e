/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "lib/assign.h"

#include <stdlib.h>
#include <string.h>

#include "lib/demand.h"
#include "lib/leaving.h"
#include "lib/tiers.h"
#include "lib/turns.h"
#include "policies/hash.h"

/* Ids are 1 to UINT16_MAX. */
#define N_IDS (UINT16_MAX + 1)

/* Which ids have an owner. */
struct id_set {
    bool used[N_IDS];
};

static uint16_t
first_id(uint64_t hash)
{
    return 1 + hash % UINT16_MAX;
}

uint16_t
assignment_first_id(const char *name)
{
    return first_id(hash_string(name));
}

/* The first free id from the one that 'hash' points to, upward.  There are
 * more ids than the model allows pools and than a bridge can do with servers,
 * so one is free; if not, ids are shared. */
static uint16_t
id_allocate(struct id_set *ids, uint64_t hash)
{
    uint32_t id = first_id(hash);

    for (size_t i = 0; i < UINT16_MAX && ids->used[id]; i++) {
        id = id == UINT16_MAX ? 1 : id + 1;
    }
    ids->used[id] = true;
    return id;
}

const struct assignment *
assignments_find(const struct assignments *assignments, const char *name)
{
    for (size_t i = 0; i < assignments->n_pools; i++) {
        if (!strcmp(assignments->pools[i].pool->name, name)) {
            return &assignments->pools[i];
        }
    }
    return NULL;
}

struct assignment *
assignments_find_mutable(struct assignments *assignments, const char *name)
{
    const struct assignment *a = assignments_find(assignments, name);

    return a ? &assignments->pools[a - assignments->pools] : NULL;
}

void
assignments_index(const struct assignments *assignments, struct strmap *index)
{
    for (size_t i = 0; i < assignments->n_pools; i++) {
        const struct assignment *a = &assignments->pools[i];

        strmap_add(index, a->pool->name)->value = a;
    }
}

void
assignments_uninit(struct assignments *assignments)
{
    for (size_t i = 0; i < assignments->n_pools; i++) {
        free(assignments->pools[i].members);
        free(assignments->pools[i].slots);
        free(assignments->pools[i].homes);
        assignment_free_spares(&assignments->pools[i]);
        leaving_uninit(&assignments->pools[i]);
    }
    free(assignments->pools);
    assignments->pools = NULL;
    assignments->n_pools = 0;
}

/* Whether two servers have an address in common, and none of one family
 * apart. */
static bool
ips_go_together(const struct ips *a, const struct ips *b)
{
    size_t n_common = 0;

    for (size_t i = 0; i < a->n; i++) {
        const struct ip *other = ips_find(b, ip_family(&a->ip[i]));

        if (other && !ip_equal(other, &a->ip[i])) {
            return false;
        }
        n_common += other != NULL;
    }
    return n_common > 0;
}

/* Whether connections of one go on with the other. */
static bool
is_same_server(const struct server *a, const struct server *b)
{
    return (!strcmp(a->name, b->name) && a->port == b->port
            && ips_go_together(&a->ips, &b->ips));
}

/* The member id that connections of 'server' of another version of the pool
 * 'old' have, or 0 if there is no such server. */
static uint16_t
find_same_server(const struct assignment *old, const struct server *server)
{
    size_t i = pool_find_server(old->pool, server->name);

    if (i != SIZE_MAX && is_same_server(&old->pool->servers[i], server)) {
        return old->members[i];
    }
    for (i = 0; i < old->n_leaving; i++) {
        if (is_same_server(&old->leaving[i].server, server)) {
            return old->leaving[i].member;
        }
    }
    return 0;
}

/* Hash of what makes a server the same one to its connections. */
static uint64_t
member_hash(const struct pool *pool, const struct server *server)
{
    const uint8_t *addr = server->ips.ip[0].addr.s6_addr;
    uint64_t h = hash_mix(hash_string(pool->name), hash_string(server->name));

    for (size_t i = 0; i < 16; i++) {
        h = hash_mix(h, addr[i]);
    }
    return hash_mix(h, server->port);
}

/* Takes over the ids that 'old' has. */
static void
keep_ids(struct assignment *new, const struct assignment *old)
{
    new->id = old->id;
    for (size_t i = 0; i < new->pool->n_servers; i++) {
        new->members[i] = find_same_server(old, &new->pool->servers[i]);
    }
}

static void
mark_used(const struct assignments *installed, struct id_set *pool_ids,
          struct id_set *member_ids)
{
    for (size_t i = 0; i < installed->n_pools; i++) {
        const struct assignment *a = &installed->pools[i];

        pool_ids->used[a->id] = true;
        for (size_t j = 0; j < a->pool->n_servers; j++) {
            member_ids->used[a->members[j]] = true;
        }
        for (size_t j = 0; j < a->n_leaving; j++) {
            member_ids->used[a->leaving[j].member] = true;
        }
    }
}

static void
allocate_ids(struct assignment *new, struct id_set *pool_ids,
             struct id_set *member_ids)
{
    if (!new->id) {
        new->id = id_allocate(pool_ids, hash_string(new->pool->name));
    }
    for (size_t i = 0; i < new->pool->n_servers; i++) {
        if (!new->members[i]) {
            new->members[i] = id_allocate(
                member_ids, member_hash(new->pool, &new->pool->servers[i]));
        }
    }
}

/* Returns who owns the slots of 'table' of 'old', as indexes into the servers
 * of 'pool', or NULL if there is no table, or none of that size.  The caller
 * frees it. */
static uint16_t *
translate_slots(const struct pool *pool, const struct assignment *old,
                const uint16_t *table)
{
    uint16_t *owners;
    uint16_t *index;

    if (!table || old->pool->n_slots != pool->n_slots) {
        return NULL;
    }

    index = lb_xcalloc(old->pool->n_servers, sizeof *index);
    for (size_t i = 0; i < old->pool->n_servers; i++) {
        size_t j = pool_find_server(pool, old->pool->servers[i].name);

        index[i] = j == SIZE_MAX ? SLOT_NONE : j;
    }
    owners = lb_xcalloc(pool->n_slots, sizeof *owners);
    for (size_t i = 0; i < pool->n_slots; i++) {
        owners[i] = table[i] == SLOT_NONE ? SLOT_NONE : index[table[i]];
    }
    free(index);
    return owners;
}

uint16_t *
assignment_owners(const struct pool *pool, const struct assignment *old)
{
    return translate_slots(pool, old, old ? old->slots : NULL);
}

/* The table of 'old', which may be NULL, that servers of 'tier' of 'pool' are
 * in; NULL if there is none. */
static const uint16_t *
find_old_table(const struct assignment *old, const struct pool *pool,
               size_t tier)
{
    for (size_t i = 0; old && i < pool->n_servers; i++) {
        if (pool->servers[i].tier == tier) {
            size_t j = pool_find_server(old->pool, pool->servers[i].name);
            const uint16_t *table = (j == SIZE_MAX ? NULL
                                     : assignment_table(
                                         old, old->pool->servers[j].tier));

            if (table) {
                return table;
            }
        }
    }
    return NULL;
}

/* Returns 'homes', or NULL if all of them are SLOT_NONE. */
static uint16_t *
drop_no_homes(uint16_t *homes, size_t n_slots)
{
    for (size_t s = 0; s < n_slots; s++) {
        if (homes[s] != SLOT_NONE) {
            return homes;
        }
    }
    free(homes);
    return NULL;
}

/* Returns the table of 'tier', which stays as close to that of 'old' as it
 * can, and stores in '*new_homes', unless NULL, whose slots they were. */
static uint16_t *
make_table(const struct pool *pool, size_t tier, const struct assignment *old,
           uint16_t **new_homes)
{
    size_t n = pool->n_servers;
    uint16_t *homes = translate_slots(pool, old, new_homes && old ? old->homes
                                      : NULL);
    uint16_t *table = lb_xcalloc(pool->n_slots, sizeof *table);
    uint16_t *quotas = lb_xcalloc(n, sizeof *quotas);
    uint16_t *owners = translate_slots(pool, old,
                                       find_old_table(old, pool, tier));
    struct pool_demand demand;

    pool_demand_init_tier(pool, tier, &demand);
    slots_apportion_homes(&demand.slots, owners, homes, pool->n_slots, quotas);
    slots_assign(demand.servers, n, quotas, owners, homes, pool->n_slots,
                 table);
    pool_demand_uninit(&demand);
    if (new_homes) {
        *new_homes = lb_xcalloc(pool->n_slots, sizeof **new_homes);
        slots_find_homes(quotas, owners, homes, table, pool->n_slots,
                         *new_homes);
        *new_homes = drop_no_homes(*new_homes, pool->n_slots);
    }

    free(homes);
    free(owners);
    free(quotas);
    return table;
}

static void
assign_slots(struct assignment *new, const struct assignment *old)
{
    const struct pool *pool = new->pool;
    size_t first = tier_first(pool);

    new->slots = make_table(pool, first, old, &new->homes);
    if (pool->n_tiers > 1) {
        new->spares = lb_xcalloc(pool->n_tiers, sizeof *new->spares);
    }
    for (size_t tier = first + 1; tier < pool->n_tiers; tier++) {
        if (tier_n_taking(pool, tier, NULL) > 1) {
            new->spares[tier] = make_table(pool, tier, old, NULL);
        }
    }
}

const uint16_t *
assignment_table(const struct assignment *a, size_t tier)
{
    return (tier == tier_first(a->pool) ? a->slots
            : a->spares ? a->spares[tier] : NULL);
}

void
assignment_free_spares(struct assignment *a)
{
    for (size_t i = 0; a->spares && i < a->pool->n_tiers; i++) {
        free(a->spares[i]);
    }
    free(a->spares);
}

void
assignments_compute(const struct model *model,
                    const struct assignments *installed,
                    struct assignments *assignments)
{
    struct id_set *pool_ids = lb_xcalloc(1, sizeof *pool_ids);
    struct id_set *member_ids = lb_xcalloc(1, sizeof *member_ids);
    struct strmap index = { NULL, 0, 0 };

    assignments_index(installed, &index);
    assignments->n_pools = model->n_pools;
    assignments->pools = lb_xcalloc(model->n_pools,
                                    sizeof *assignments->pools);
    mark_used(installed, pool_ids, member_ids);
    for (size_t i = 0; i < model->n_pools; i++) {
        struct assignment *new = &assignments->pools[i];
        const struct assignment *old;

        new->pool = model->pools[i];
        new->members = lb_xcalloc(new->pool->n_servers, sizeof *new->members);
        old = strmap_get(&index, new->pool->name);
        if (old) {
            keep_ids(new, old);
        }
        assign_slots(new, old);
    }
    for (size_t i = 0; i < model->n_pools; i++) {
        allocate_ids(&assignments->pools[i], pool_ids, member_ids);
    }
    strmap_uninit(&index);
    free(member_ids);
    free(pool_ids);
}

size_t
assignment_find_member(const struct assignment *a, uint16_t member)
{
    for (size_t i = 0; i < a->pool->n_servers; i++) {
        if (a->members[i] == member) {
            return i;
        }
    }
    return SIZE_MAX;
}

static bool
goes_by_turn(const struct assignment *a)
{
    return pool_selection(a->pool) == POLICY_BY_TURN;
}

/* The turns of server 'index', or all if that is SIZE_MAX. */
static size_t
count_turns(const struct assignment *a, size_t index)
{
    uint16_t *quotas = lb_xcalloc(a->pool->n_servers, sizeof *quotas);
    size_t n = turns_apportion(a->pool, quotas);

    if (index != SIZE_MAX) {
        n = quotas[index];
    }
    free(quotas);
    return n;
}

size_t
assignment_n_slots(const struct assignment *a, size_t index)
{
    size_t n = 0;

    if (goes_by_turn(a)) {
        return count_turns(a, index);
    }
    for (size_t i = 0; i < a->pool->n_slots; i++) {
        n += a->slots[i] == index;
    }
    return n;
}

void
assignment_count_slots(const struct assignment *a, uint16_t *counts)
{
    if (goes_by_turn(a)) {
        turns_apportion(a->pool, counts);
        return;
    }
    memset(counts, 0, a->pool->n_servers * sizeof *counts);
    for (size_t i = 0; i < a->pool->n_slots; i++) {
        if (a->slots[i] != SLOT_NONE) {
            counts[a->slots[i]]++;
        }
    }
}

size_t
assignment_size(const struct assignment *a)
{
    return goes_by_turn(a) ? count_turns(a, SIZE_MAX) : a->pool->n_slots;
}

const char *
assignment_unit(const struct assignment *a)
{
    return goes_by_turn(a) ? "turns" : "slots";
}

size_t
assignment_moved(const struct assignment *old, const struct assignment *new)
{
    uint16_t *owners;
    size_t n_moved = new->pool->n_slots;

    if (goes_by_turn(new)) {
        return 0;
    }
    owners = assignment_owners(new->pool, old);
    if (owners) {
        n_moved = slots_moved(owners, new->slots, new->pool->n_slots);
        free(owners);
    }
    return n_moved;
}
