/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "lbgen/status-watch.h"

#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "lbgen/connect.h"
#include "lib/health.h"
#include "lib/summary.h"
#include "lib/traffic.h"

/* Between two frames, in milliseconds. */
#define INTERVAL 1000

/* Columns of a bar at least and at most. */
#define BAR_MIN 8
#define BAR_MAX 40

/* Columns of a line without its two bars. */
#define FIXED_COLUMNS 62

#define ENTER "\033[?1049h\033[?25l"    /* Another screen, no cursor. */
#define LEAVE "\033[?25h\033[?1049l"
#define HOME "\033[H"
#define END_OF_LINE "\033[K\n"
#define END_OF_SCREEN "\033[J"

/* What was counted for one server the last time. */
struct count {
    uint16_t pool, member;
    uint64_t bytes;
    uint64_t connections;
};

/* What is shown. */
struct view {
    const char *pool;           /* NULL for all. */
    int width, height;
    struct count *counts;       /* Of the last frame. */
    size_t n_counts;
    int64_t when;               /* Milliseconds. */
};

static volatile sig_atomic_t resized;
static volatile sig_atomic_t interrupted;

static void
handle_signal(int signal)
{
    if (signal == SIGWINCH) {
        resized = 1;
    } else {
        interrupted = 1;
    }
}

static int64_t
now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000) + now.tv_nsec / 1000000;
}

static void
measure(struct view *view)
{
    struct winsize size;

    view->width = 80;
    view->height = 24;
    if (!ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) && size.ws_col
        && size.ws_row) {
        view->width = size.ws_col;
        view->height = size.ws_row;
    }
}

/* A bar of 'width' columns for a part from 0 to 1. */
static void
put_bar(FILE *out, double part, int width)
{
    int n = part <= 0 ? 0 : part >= 1 ? width : (int) (part * width + 0.5);

    for (int i = 0; i < width; i++) {
        putc(i < n ? '#' : '.', out);
    }
}

/* "12.3M", in five columns at most. */
static void
put_rate(FILE *out, double rate)
{
    static const char units[] = " kMGT";
    size_t i = 0;

    while (rate >= 999.5 && i < sizeof units - 2) {
        rate /= 1000;
        i++;
    }
    fprintf(out, rate >= 100 || !i ? " %4.0f%c" : " %4.1f%c", rate, units[i]);
}

static const struct count *
find_count(const struct view *view, uint16_t pool, uint16_t member)
{
    for (size_t i = 0; i < view->n_counts; i++) {
        if (view->counts[i].pool == pool
            && view->counts[i].member == member) {
            return &view->counts[i];
        }
    }
    return NULL;
}

/* Growth a second, 0 if it cannot be known. */
static double
growth(uint64_t old, uint64_t new, int64_t ms)
{
    return ms > 0 && new >= old ? (new - old) * 1000.0 / ms : 0;
}

static const char *
describe_state(const struct server *server)
{
    enum server_state state = server_effective_state(server);

    return (state != SERVER_READY ? server_state_name(state)
            : server->health.state == HEALTH_UNKNOWN ? "ready"
            : health_state_name(server->health.state));
}

/* One pool of a frame. */
struct pool_view {
    const struct assignment *a;
    const struct traffic *traffic;
    double *loads;              /* Bytes a second. */
    double *connections;        /* New ones a second. */
    double max_load;
};

static void
pool_view_init(const struct view *view, const struct assignment *a,
               const struct traffic *traffic, int64_t ms,
               struct pool_view *pool)
{
    size_t n = a->pool->n_servers;

    pool->a = a;
    pool->traffic = traffic;
    pool->loads = lb_xcalloc(n, sizeof *pool->loads);
    pool->connections = lb_xcalloc(n, sizeof *pool->connections);
    pool->max_load = 1;
    for (size_t i = 0; i < n; i++) {
        const struct count *old = find_count(view, a->id, a->members[i]);

        if (old) {
            pool->loads[i] = growth(
                old->bytes, traffic[i].bytes + traffic[i].reply_bytes, ms);
            pool->connections[i] = growth(old->connections,
                                          traffic[i].connections, ms);
        }
        if (pool->loads[i] > pool->max_load) {
            pool->max_load = pool->loads[i];
        }
    }
}

static void
put_server(const struct view *view, const struct pool_view *pool, size_t i,
           FILE *out)
{
    const struct server *server = &pool->a->pool->servers[i];
    size_t n_slots = assignment_n_slots(pool->a, i);
    double share = (double) n_slots / pool->a->pool->n_slots;
    int bar = (view->width - FIXED_COLUMNS) / 2;
    char text[HEALTH_STRLEN];

    bar = bar < BAR_MIN ? BAR_MIN : bar > BAR_MAX ? BAR_MAX : bar;
    fprintf(out, "  %-16.16s %-8s %5"PRIu32" ", server->name,
            describe_state(server), server_effective_weight(server));
    put_bar(out, share, bar);
    fprintf(out, " %6.2f%% ", 100 * share);
    put_bar(out, pool->loads[i] / pool->max_load, bar);
    put_rate(out, pool->loads[i]);
    fputs("B/s", out);
    if (pool->traffic[i].counts_connections) {
        put_rate(out, pool->connections[i]);
        fputs("/s", out);
    }
    if (server->health.error) {
        fprintf(out, "\n    %s", health_format(server, time(NULL), text));
    }
    putc('\n', out);
}

/* Writes one pool and remembers its counts in 'counts'.  Returns how many
 * there are. */
static size_t
put_pool(const struct view *view, const struct pool_view *pool,
         struct count *counts, FILE *out)
{
    const struct assignment *a = pool->a;
    char vip[PROPERTY_STRLEN];

    pool_properties[0].format(a->pool, vip, sizeof vip);
    fprintf(out, "\n%s  %s  %s%s\n", a->pool->name, vip,
            a->pool->policy->name, health_panics(a->pool) ? "  PANIC" : "");
    for (size_t i = 0; i < a->pool->n_servers; i++) {
        const struct traffic *t = &pool->traffic[i];

        put_server(view, pool, i, out);
        counts[i] = (struct count) {
            .pool = a->id, .member = a->members[i],
            .bytes = t->bytes + t->reply_bytes,
            .connections = t->connections,
        };
    }
    return a->pool->n_servers;
}

/* Writes all there is to see, however much the screen has room for. */
static void
put_bridge(struct view *view, const struct bridge *bridge, const char *name,
           FILE *out)
{
    const struct assignments *all = &bridge->assignments;
    struct traffic **traffic = traffic_collect(bridge);
    int64_t when = now_ms();
    struct count *counts;
    size_t n = 0;

    for (size_t i = 0; i < all->n_pools; i++) {
        n += all->pools[i].pool->n_servers;
    }
    counts = lb_xcalloc(n + 1, sizeof *counts);
    n = 0;
    fprintf(out, "lbgen: bridge %s, %zu pools; q ends\n", name,
            all->n_pools);
    for (size_t i = 0; i < all->n_pools; i++) {
        struct pool_view pool;

        if (view->pool && strcmp(view->pool, all->pools[i].pool->name)) {
            continue;
        }
        pool_view_init(view, &all->pools[i], traffic[i], when - view->when,
                       &pool);
        n += put_pool(view, &pool, &counts[n], out);
        free(pool.loads);
        free(pool.connections);
    }
    traffic_free(traffic, bridge);
    free(view->counts);
    view->counts = counts;
    view->n_counts = n;
    view->when = when;
}

/* Shows 'text', as much as there is room for, in one go: nothing is erased
 * first, so nothing flickers. */
static void
show(const struct view *view, const char *text)
{
    char *frame = NULL;
    size_t size;
    FILE *out = open_memstream(&frame, &size);
    int left = view->height - 1;

    if (!out) {
        abort();
    }
    fputs(HOME, out);
    for (; *text && left; left--) {
        int length = strcspn(text, "\n");

        fprintf(out, "%.*s" END_OF_LINE, length < view->width ? length
                : view->width - 1, text);
        text += length + (text[length] == '\n');
    }
    fputs(END_OF_SCREEN, out);
    fclose(out);
    fwrite(frame, 1, size, stdout);
    fflush(stdout);
    free(frame);
}

/* One frame.  False if the bridge cannot be read. */
static bool
draw(const struct command_context *context, struct view *view,
     struct session *session)
{
    struct bridge *bridge = bridge_read(session, context->diags);
    char *text = NULL;
    size_t size;
    FILE *out;

    if (!bridge) {
        return false;
    } else if (view->pool
               && !assignments_find(&bridge->assignments, view->pool)) {
        diag_error(context->diags, NULL, "bridge \"%s\" has no pool \"%s\"",
                   session_bridge(session), view->pool);
        bridge_destroy(bridge);
        return false;
    }
    out = open_memstream(&text, &size);
    if (!out) {
        abort();
    }
    put_bridge(view, bridge, session_bridge(session), out);
    fclose(out);
    show(view, text);
    free(text);
    bridge_destroy(bridge);
    return true;
}

/* Waits for the next frame.  False if the user has seen enough. */
static bool
pause_or_quit(void)
{
    struct pollfd in = { .fd = STDIN_FILENO, .events = POLLIN };
    int64_t end = now_ms() + INTERVAL;
    char key;

    while (!interrupted && !resized && now_ms() < end) {
        if (poll(&in, 1, end - now_ms()) > 0
            && (read(STDIN_FILENO, &key, 1) != 1 || key == 'q')) {
            return false;
        }
    }
    resized = 0;
    return !interrupted;
}

static bool
watch(const struct command_context *context, struct session *session,
      const char *pool)
{
    struct view view = { .pool = pool };
    bool ok;

    do {
        measure(&view);
        ok = draw(context, &view, session);
    } while (ok && pause_or_quit());
    free(view.counts);
    return ok;
}

int
status_watch(const struct command_context *context, const char *pool)
{
    struct sigaction action = { .sa_handler = handle_signal };
    struct session *session;
    struct termios old, raw;
    bool ok;

    if (!isatty(STDOUT_FILENO) || tcgetattr(STDIN_FILENO, &old)) {
        diag_error(context->diags, NULL, "--watch needs a terminal");
        return STATUS_FAILED;
    }
    session = connect_session(context, NULL);
    if (!session) {
        return STATUS_FAILED;
    }
    sigaction(SIGWINCH, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    raw = old;
    raw.c_lflag &= ~(ICANON | ECHO);
    tcsetattr(STDIN_FILENO, TCSANOW, &raw);
    fputs(ENTER, stdout);
    ok = watch(context, session, pool);
    fputs(LEAVE, stdout);
    fflush(stdout);
    tcsetattr(STDIN_FILENO, TCSANOW, &old);
    session_close(session);
    return ok ? STATUS_OK : STATUS_FAILED;
}
