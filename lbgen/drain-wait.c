/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "lbgen/drain-wait.h"

#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "lib/conntrack.h"
#include "lib/session-target.h"

/* How often to look, in milliseconds. */
#define INTERVAL 500

static bool
is_awaited(const struct awaited *awaited, const struct connection *connection)
{
    if (connection_is_over(connection)) {
        return false;
    }
    for (size_t i = 0; i < awaited->n; i++) {
        if (connection_member(connection) == awaited->members[i]) {
            return true;
        }
    }
    return false;
}

/* Counts the connections that are left.  False after queueing an error. */
static bool
count_connections(struct session *session, const struct awaited *awaited,
                  size_t *n, struct diags *diags)
{
    struct connection_list list;
    char *why;

    if (!connection_list_read(session, awaited->zone, &list, &why)) {
        diag_error(diags, NULL, "the server is drained, but its connections "
                   "cannot be counted: %s", why);
        free(why);
        return false;
    }
    *n = 0;
    for (size_t i = 0; i < list.n; i++) {
        *n += is_awaited(awaited, &list.connections[i]);
    }
    connection_list_uninit(&list);
    return true;
}

static void
show_progress(const char *what, size_t n)
{
    if (isatty(STDERR_FILENO)) {
        fprintf(stderr, "\r%s: %zu connection%s left\033[K", what, n,
                n == 1 ? "" : "s");
    }
}

static void
sleep_interval(void)
{
    struct timespec interval = { .tv_nsec = INTERVAL * 1000000L };

    nanosleep(&interval, NULL);
}

int
drain_wait(const struct command_context *context, struct session *session,
           const struct awaited *awaited, const char *what)
{
    long long int deadline = session_now() + context->timeout * 1000LL;
    size_t n;

    for (;;) {
        if (!count_connections(session, awaited, &n, context->diags)) {
            return STATUS_FAILED;
        }
        show_progress(what, n);
        if (!n || (context->timeout_given && session_now() >= deadline)) {
            break;
        }
        sleep_interval();
    }
    if (isatty(STDERR_FILENO)) {
        putc('\n', stderr);
    }
    if (n) {
        diag_error(context->diags, NULL, "%s still has %zu connection%s after "
                   "%d seconds", what, n, n == 1 ? "" : "s",
                   context->timeout);
    }
    return n ? STATUS_FAILED : STATUS_OK;
}
