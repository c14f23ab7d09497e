/* SPDX-License-Identifier: Apache-2.0 */

/* States from results of checks, and what is kept of them. */

#include "tests/lbtest.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "lib/checker.h"
#include "lib/health-track.h"
#include "lib/health.h"

/* In place of the C library's: whoever closes a descriptor before it is
 * removed leaves it to epoll for as long as a child has a copy, and epoll
 * tells of it by a pointer to memory that was freed. */
int
epoll_ctl(int epoll, int op, int fd, struct epoll_event *event)
{
    int result = syscall(SYS_epoll_ctl, epoll, op, fd, event);

    if (result && op == EPOLL_CTL_DEL) {
        perror("descriptor closed before it was removed from epoll");
        abort();
    }
    return result;
}

/* health-track STATE INTERVAL[/FAST] RISE FALL RESULT...: begins in STATE and
 * takes in results, one each INTERVAL or FAST ms: "+" and "-" in a row, or "wN"
 * for a pause of N ms.  Prints the time and the new state for each change. */
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
    check.fast_interval = strchr(argv[2], '/') ? atoi(strchr(argv[2], '/') + 1)
                                               : 0;
    check.rise = atoi(argv[3]);
    check.fall = atoi(argv[4]);
    health_track_init(&track, (!strcmp(argv[1], "starting") ? HEALTH_STARTING
                               : !strcmp(argv[1], "up") ? HEALTH_UP
                               : !strcmp(argv[1], "down") ? HEALTH_DOWN
                               : HEALTH_UNKNOWN), 0, INT64_MIN);
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
            now += check_pace(&check, health_track_is_turning(&track));
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
    printf("%"PRId64"\n", check_next(check.interval, atoll(argv[2]),
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

static void
stop_run(void *stop)
{
    *(bool *) stop = true;
}

static void
print_change(void *start LB_UNUSED, struct pool *pool, struct server *server,
             enum health_state before)
{
    printf("%s/%s %s -> %s\n", pool->name, server->name,
           health_state_name(before),
           health_state_name(server->health.state));
    fflush(stdout);
}

static void
print_unable(void *start LB_UNUSED, struct pool *pool, struct server *server,
             const char *error)
{
    printf("%s/%s cannot be checked: %s\n", pool->name, server->name, error);
    fflush(stdout);
}

/* Largest resident set so far, in kB.  getrusage(2) would count what the
 * process had before execve(2) too, which is all of its parent after vfork(2).
 */
static long
peak_memory(void)
{
    FILE *status = fopen("/proc/self/status", "r");
    char line[256];
    long kb = -1;

    while (status && fgets(line, sizeof line, status)
           && sscanf(line, "VmHWM: %ld kB", &kb) != 1) {
        continue;
    }
    if (status) {
        fclose(status);
    }
    return kb;
}

/* Prints for each server what is known of it: checks, failures, the duration
 * of the last one in milliseconds, and its error. */
static void
print_stats(const struct checker *checker, const struct model *model)
{
    for (size_t i = 0; i < model->n_pools; i++) {
        const struct pool *pool = model->pools[i];

        for (size_t j = 0; j < pool->n_servers; j++) {
            struct checker_stats stats;

            if (checker_get_stats(checker, pool, &pool->servers[j], &stats)) {
                printf("%s/%s %"PRIu64" %"PRIu64" %"PRId64" %s\n",
                       pool->name, pool->servers[j].name, stats.n_checks,
                       stats.n_failed, stats.took, stats.error);
            }
        }
    }
}

/* checker FILE MS: runs the checks of a file for so long.  Prints changes of
 * health and servers that cannot be checked, then what is known of each
 * server, then "N checks, M kB at most, C ms of CPU". */
int
lbtest_checker(int argc, char *argv[])
{
    struct diags *diags = diags_create();
    struct document *document = argc > 2
        ? document_read_file(argv[1], diags) : NULL;
    struct model *model = document ? model_read(document, diags) : NULL;
    const struct checker_listener listener = {
        .changed = print_change, .unable = print_unable
    };
    struct loop_timer timer = { .place = 0 };
    struct checker *checker;
    bool stop = false;
    struct loop *loop;
    clock_t cpu;

    diags_flush(diags, stderr);
    diags_destroy(diags);
    if (!model) {
        return EXIT_FAILURE;
    }
    signal(SIGPIPE, SIG_IGN);
    loop = loop_create();
    checker = checker_create(loop, &listener);
    checker_load(checker, model);
    checker_start(checker);
    cpu = clock();
    loop_timer_set(loop, &timer, loop_now() + atoi(argv[2]), stop_run,
                   &stop);
    while (!stop) {
        loop_run_once(loop);
    }
    print_stats(checker, model);
    printf("%zu checks, %ld kB at most, %ld ms of CPU\n",
           checker_n_items(checker), peak_memory(),
           (long) ((clock() - cpu) * 1000 / CLOCKS_PER_SEC));
    checker_destroy(checker);
    loop_destroy(loop);
    model_destroy(model);
    document_destroy(document);
    return EXIT_SUCCESS;
}
