/* SPDX-License-Identifier: Apache-2.0 */

/* Slot tables and the hash they are made of, for test_slots.py. */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/slots.h"
#include "lib/util.h"
#include "policies/hash.h"
#include "tests/lbtest.h"

/* A question: one pool, and the table that is installed, if any. */
struct slot_case {
    size_t n_slots;
    size_t n;
    struct slot_server *servers; /* Names owned. */
    size_t n_sets;
    struct slot_set *sets;      /* Likewise. */
    bool has_installed;
    uint16_t installed[SLOTS_MAX];
    bool has_homes;
    uint16_t homes[SLOTS_MAX];
};

static unsigned long
read_number(void)
{
    unsigned long value;

    if (scanf("%lu", &value) != 1) {
        fprintf(stderr, "lbtest: number expected\n");
        exit(EXIT_FAILURE);
    }
    return value;
}

/* Reads a name, for the caller to free. */
static char *
read_name(void)
{
    char word[64];

    if (scanf("%63s", word) != 1) {
        exit(EXIT_FAILURE);
    }
    return lb_xstrdup(word);
}

/* Reads "N_SETS { NAME SHARE PARENT }..." and each server's set. */
static void
read_sets(struct slot_case *c)
{
    c->n_sets = read_number();
    c->sets = lb_xcalloc(c->n_sets, sizeof *c->sets);
    for (size_t i = 0; i < c->n_sets; i++) {
        c->sets[i].name = read_name();
        c->sets[i].share = (uint32_t) read_number();
        c->sets[i].parent = read_number();
    }
    for (size_t i = 0; i < c->n; i++) {
        c->servers[i].set = read_number();
    }
}

/* Reads "N_SLOTS N_SERVERS { NAME SHARE }... none" or "... table", which goes
 * before one number per slot, -1 for none, or "... homes", which goes before
 * two tables, the second one of homes; "sets" and what read_sets() reads may
 * stand before that.  False at end of file. */
static bool
slot_case_read(struct slot_case *c)
{
    char word[64];

    if (scanf("%zu", &c->n_slots) != 1) {
        return false;
    }
    c->n_sets = 0;
    c->sets = NULL;
    c->n = read_number();
    c->servers = lb_xcalloc(c->n + 1, sizeof *c->servers);
    for (size_t i = 0; i < c->n; i++) {
        c->servers[i].name = read_name();
        c->servers[i].share = (uint32_t) read_number();
    }
    if (scanf("%63s", word) != 1 || c->n_slots > SLOTS_MAX) {
        exit(EXIT_FAILURE);
    }
    if (!strcmp(word, "sets")) {
        read_sets(c);
        if (scanf("%63s", word) != 1) {
            exit(EXIT_FAILURE);
        }
    }
    c->has_homes = !strcmp(word, "homes");
    c->has_installed = c->has_homes || !strcmp(word, "table");
    for (size_t s = 0; c->has_installed && s < c->n_slots; s++) {
        c->installed[s] = (uint16_t) read_number();
    }
    for (size_t s = 0; c->has_homes && s < c->n_slots; s++) {
        c->homes[s] = (uint16_t) read_number();
    }
    return true;
}

static void
slot_case_uninit(struct slot_case *c)
{
    for (size_t i = 0; i < c->n; i++) {
        free((char *) c->servers[i].name);
    }
    free(c->servers);
    for (size_t i = 0; i < c->n_sets; i++) {
        free((char *) c->sets[i].name);
    }
    free(c->sets);
}

static void
apportion(const struct slot_case *c, uint16_t *quotas)
{
    const struct slot_demand demand = {
        .servers = c->servers, .n = c->n, .sets = c->sets, .n_sets = c->n_sets,
    };

    slots_apportion_homes(&demand, c->has_installed ? c->installed : NULL,
                          c->has_homes ? c->homes : NULL, c->n_slots, quotas);
}

static void
print_numbers(const uint16_t *numbers, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        printf("%s%d", i ? " " : "", numbers[i] == SLOT_NONE ? -1
                                                              : numbers[i]);
    }
    putchar('\n');
}

static void
print_homes(const struct slot_case *c, const uint16_t *quotas,
            const uint16_t *slots)
{
    uint16_t homes[SLOTS_MAX];

    slots_find_homes(quotas, c->installed, c->homes, slots, c->n_slots, homes);
    print_numbers(homes, c->n_slots);
}

/* Prints two lines for each case on standard input, quotas and slots; a third
 * one with homes if it has them. */
int
lbtest_slots(int argc LB_UNUSED, char *argv[] LB_UNUSED)
{
    struct slot_case c;

    while (slot_case_read(&c)) {
        const uint16_t *installed = c.has_installed ? c.installed : NULL;
        uint16_t *quotas = lb_xcalloc(c.n + 1, sizeof *quotas);
        uint16_t slots[SLOTS_MAX];

        apportion(&c, quotas);
        slots_assign(c.servers, c.n, quotas, installed,
                     c.has_homes ? c.homes : NULL, c.n_slots, slots);
        print_numbers(quotas, c.n);
        print_numbers(slots, c.n_slots);
        if (c.has_homes) {
            print_homes(&c, quotas, slots);
        }
        free(quotas);
        slot_case_uninit(&c);
    }
    return 0;
}

/* Prints the number of microseconds that the tables of each case on standard
 * input take, the mean of "slots-time REPEATS". */
int
lbtest_slots_time(int argc, char *argv[])
{
    int repeats = argc > 1 ? atoi(argv[1]) : 100;
    struct slot_case c;

    while (slot_case_read(&c)) {
        const uint16_t *installed = c.has_installed ? c.installed : NULL;
        uint16_t *quotas = lb_xcalloc(c.n + 1, sizeof *quotas);
        uint16_t slots[SLOTS_MAX];
        clock_t start = clock();

        for (int i = 0; i < repeats; i++) {
            apportion(&c, quotas);
            slots_assign(c.servers, c.n, quotas, installed, NULL, c.n_slots,
                         slots);
        }
        printf("%.1f\n",
               (double) (clock() - start) / CLOCKS_PER_SEC * 1e6 / repeats);
        free(quotas);
        slot_case_uninit(&c);
    }
    return 0;
}

/* Prints how many of the slots differ between the two tables on standard
 * input, each given as in slot_case_read(). */
int
lbtest_slots_moved(int argc LB_UNUSED, char *argv[] LB_UNUSED)
{
    struct slot_case a, b;

    if (!slot_case_read(&a) || !slot_case_read(&b)) {
        return EXIT_FAILURE;
    }
    printf("%zu\n", slots_moved(a.installed, b.installed, a.n_slots));
    slot_case_uninit(&a);
    slot_case_uninit(&b);
    return 0;
}

/* "hash STRING [N...]": prints the hash of STRING, then that mixed with N and
 * so on. */
int
lbtest_hash(int argc, char *argv[])
{
    uint64_t h = hash_string(argc > 1 ? argv[1] : "");

    printf("%" PRIu64 "\n", h);
    for (int i = 2; i < argc; i++) {
        h = hash_mix(h, strtoull(argv[i], NULL, 0));
        printf("%" PRIu64 "\n", h);
    }
    return 0;
}

/* "hash-mix H X": prints the number X mixed into the hash H. */
int
lbtest_hash_mix(int argc, char *argv[])
{
    if (argc != 3) {
        return EXIT_FAILURE;
    }
    printf("%" PRIu64 "\n", hash_mix(strtoull(argv[1], NULL, 0),
                                     strtoull(argv[2], NULL, 0)));
    return 0;
}
