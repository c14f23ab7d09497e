/* SPDX-License-Identifier: Apache-2.0 */

/* States from results of checks, and what is kept of them. */

#include "tests/lbtest.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/health-track.h"
#include "lib/health.h"

/* health-track STATE INTERVAL RISE FALL RESULT...: begins in STATE and takes
 * in results, one each INTERVAL ms: "+" and "-" in a row, or "wN" for a pause
 * of N ms.  Prints the time and the new state for each change. */
int
lbtest_health_track(int argc, char *argv[])
{
    struct check check = { .interval = 0 };
    struct health_track track;
    int64_t now = 1000000;

    if (argc < 6) {
        return EXIT_FAILURE;
    }
    check.interval = atoi(argv[2]);
    check.rise = atoi(argv[3]);
    check.fall = atoi(argv[4]);
    health_track_init(&track, (!strcmp(argv[1], "starting") ? HEALTH_STARTING
                               : !strcmp(argv[1], "up") ? HEALTH_UP
                               : !strcmp(argv[1], "down") ? HEALTH_DOWN
                               : HEALTH_UNKNOWN), 0);
    for (int i = 5; i < argc; i++) {
        if (argv[i][0] == 'w') {
            now += atoi(argv[i] + 1);
            continue;
        }
        for (const char *s = argv[i]; *s; s++) {
            if (health_track_result(&track, &check, *s == '+', now)) {
                printf("%"PRId64" %s %"PRIu16"\n", now - 1000000,
                       health_state_name(track.state), track.flaps);
            }
            now += check.interval;
        }
    }
    return EXIT_SUCCESS;
}

/* check-times INTERVAL BEGAN NOW [SEED]...: when the next check begins, and
 * the first ones of those seeds. */
int
lbtest_check_times(int argc, char *argv[])
{
    struct check check = { .interval = 0 };

    if (argc < 4) {
        return EXIT_FAILURE;
    }
    check.interval = atoi(argv[1]);
    printf("%"PRId64"\n", check_next(&check, atoll(argv[2]),
                                     atoll(argv[3])));
    for (int i = 4; i < argc; i++) {
        printf("%"PRId64"\n", check_first(&check, strtoull(argv[i], NULL,
                                                           10)));
    }
    return EXIT_SUCCESS;
}

/* health-settle FILE NAME=STATE...: reads a file, sets the health of servers
 * of its first pool, and prints for each its effective weight, then what a
 * record would have. */
int
lbtest_health_settle(int argc, char *argv[])
{
    struct diags *diags = diags_create();
    struct document *document = document_read_file(argv[1], diags);
    struct model *model = document ? model_read(document, diags) : NULL;

    for (int i = 2; model && i < argc; i++) {
        struct pool *pool = model->pools[0];
        size_t length = strcspn(argv[i], "=");
        char *name = lb_xmemdup0(argv[i], length);
        size_t j = pool_find_server(pool, name);
        bool down = !strcmp(argv[i] + length, "=down");

        health_set(&pool->servers[j],
                   (down ? HEALTH_DOWN : !strcmp(argv[i] + length, "=up")
                    ? HEALTH_UP : HEALTH_STARTING),
                   down ? "no \"answer\"\n" : NULL, 1700000000);
        free(name);
    }
    if (model) {
        struct pool *pool = model->pools[0];

        health_settle(pool);
        for (size_t i = 0; i < pool->n_servers; i++) {
            printf("%s%"PRIu32, i ? " " : "",
                   server_effective_weight(&pool->servers[i]));
        }
        putchar('\n');
        health_write(pool, stdout);
        putchar('\n');
    }
    diags_flush(diags, stderr);
    model_destroy(model);
    document_destroy(document);
    diags_destroy(diags);
    return EXIT_SUCCESS;
}
