/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "lbgen/exposition.h"

#include <inttypes.h>
#include <stdlib.h>
#include <time.h>

#include "lib/check.h"
#include "lib/health.h"
#include "lib/summary.h"
#include "lib/traffic.h"

/* A server, as seen by one side or the other. */
struct subject {
    const struct pool *pool;
    const struct server *server;

    /* What the bridge knows. */
    const struct traffic *traffic;
    size_t n_slots;
    double asked;

    /* What the monitor knows. */
    const struct monitor *monitor;
    struct checker_stats stats;
};

/* A metric that each server has. */
struct series {
    const char *name;
    const char *type;
    const char *help;
    double (*value)(const struct subject *);    /* Negative for none. */
};

static double
get_weight(const struct subject *s)
{
    return server_operator_weight(s->server);
}

static double
get_effective_weight(const struct subject *s)
{
    return server_effective_weight(s->server);
}

static double
get_ready(const struct subject *s)
{
    return server_effective_state(s->server) == SERVER_READY;
}

static double
get_up(const struct subject *s)
{
    return !s->server->health.out;
}

static double
get_asked(const struct subject *s)
{
    return s->asked;
}

static double
get_share(const struct subject *s)
{
    return (double) s->n_slots / s->pool->n_slots;
}

static double
get_slots(const struct subject *s)
{
    return s->n_slots;
}

static double
get_connections(const struct subject *s)
{
    return (s->traffic->counts_connections
            ? (double) s->traffic->connections : -1);
}

static double
get_packets(const struct subject *s)
{
    return s->traffic->packets;
}

static double
get_bytes(const struct subject *s)
{
    return s->traffic->bytes;
}

static double
get_reply_packets(const struct subject *s)
{
    return s->traffic->reply_packets;
}

static double
get_reply_bytes(const struct subject *s)
{
    return s->traffic->reply_bytes;
}

static const struct series bridge_series[] = {
    { "lbgen_server_weight", "gauge", "Weight, by the file or an operator.",
      get_weight },
    { "lbgen_server_effective_weight", "gauge", "Weight that counts now.",
      get_effective_weight },
    { "lbgen_server_ready", "gauge", "1 if the file and the operator let it "
      "take connections.", get_ready },
    { "lbgen_server_up", "gauge", "0 if its health takes it out.", get_up },
    { "lbgen_server_asked_ratio", "gauge", "Share that its weight asks for.",
      get_asked },
    { "lbgen_server_share_ratio", "gauge", "Share that its slots give it.",
      get_share },
    { "lbgen_server_slots", "gauge", "Slots that it has.", get_slots },
    { "lbgen_server_connections_total", "counter", "New connections.",
      get_connections },
    { "lbgen_server_packets_total", "counter", "Packets to the server.",
      get_packets },
    { "lbgen_server_bytes_total", "counter", "Bytes to the server.",
      get_bytes },
    { "lbgen_server_reply_packets_total", "counter",
      "Packets from the server.", get_reply_packets },
    { "lbgen_server_reply_bytes_total", "counter", "Bytes from the server.",
      get_reply_bytes },
    { NULL, NULL, NULL, NULL }
};

static double
get_checks(const struct subject *s)
{
    return s->stats.n_checks;
}

static double
get_check_failures(const struct subject *s)
{
    return s->stats.n_failed;
}

static double
get_check_errors(const struct subject *s)
{
    return s->stats.n_unable;
}

static double
get_check_duration(const struct subject *s)
{
    return s->stats.n_checks ? s->stats.took / 1000.0 : -1;
}

static double
get_check_success(const struct subject *s)
{
    return s->stats.ok;
}

static const struct series check_series[] = {
    { "lbgen_check_total", "counter", "Checks of the server.", get_checks },
    { "lbgen_check_failures_total", "counter", "Checks that failed.",
      get_check_failures },
    { "lbgen_check_errors_total", "counter", "Checks that this host could not "
      "make.", get_check_errors },
    { "lbgen_check_duration_seconds", "gauge", "Duration of the last one.",
      get_check_duration },
    { "lbgen_check_success", "gauge", "1 if the last one succeeded.",
      get_check_success },
    { NULL, NULL, NULL, NULL }
};

static void
write_head(const char *name, const char *type, const char *help, FILE *out)
{
    fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void
write_series(const struct series *series, const struct subject *subjects,
               size_t n, FILE *out)
{
    for (const struct series *f = series; f->name; f++) {
        write_head(f->name, f->type, f->help, out);
        for (size_t i = 0; i < n; i++) {
            double value = f->value(&subjects[i]);

            if (value >= 0) {
                fprintf(out, "%s{pool=\"%s\",server=\"%s\"} %.15g\n", f->name,
                        subjects[i].pool->name, subjects[i].server->name,
                        value);
            }
        }
    }
}

/* Adds the servers of 'a' to 'subjects'.  Returns their number. */
static size_t
add_pool(const struct assignment *a, const struct traffic *traffic,
         struct subject *subjects)
{
    double *asked = lb_xcalloc(a->pool->n_servers, sizeof *asked);

    pool_asked_shares(a->pool, asked);
    for (size_t i = 0; i < a->pool->n_servers; i++) {
        subjects[i] = (struct subject) {
            .pool = a->pool, .server = &a->pool->servers[i],
            .traffic = &traffic[i], .asked = asked[i],
            .n_slots = assignment_n_slots(a, i),
        };
    }
    free(asked);
    return a->pool->n_servers;
}

void
exposition_write_bridge(const struct bridge *bridge, FILE *out)
{
    const struct assignments *all = &bridge->assignments;
    struct traffic **traffic = traffic_collect(bridge);
    struct subject *subjects;
    size_t n = 0;

    for (size_t i = 0; i < all->n_pools; i++) {
        n += all->pools[i].pool->n_servers;
    }
    subjects = lb_xcalloc(n + 1, sizeof *subjects);
    n = 0;
    for (size_t i = 0; i < all->n_pools; i++) {
        n += add_pool(&all->pools[i], traffic[i], &subjects[n]);
    }
    write_series(bridge_series, subjects, n, out);
    write_head("lbgen_pool_panic", "gauge", "1 if so many servers are down "
               "that all count as up.", out);
    for (size_t i = 0; i < all->n_pools; i++) {
        fprintf(out, "lbgen_pool_panic{pool=\"%s\"} %d\n",
                all->pools[i].pool->name, health_panics(all->pools[i].pool));
    }
    free(subjects);
    traffic_free(traffic, bridge);
}

/* Those servers that are checked. */
static void
write_checks(const struct monitor *m, FILE *out)
{
    size_t n = 0;
    size_t allocated = 0;
    struct subject *subjects = NULL;

    for (size_t i = 0; i < m->model->n_pools; i++) {
        const struct pool *pool = m->model->pools[i];

        for (size_t j = 0; j < pool->n_servers; j++) {
            struct subject s = { .pool = pool, .server = &pool->servers[j],
                                 .monitor = m };

            if (checker_get_stats(m->checker, pool, s.server, &s.stats)) {
                subjects = lb_grow(subjects, n, &allocated, sizeof *subjects);
                subjects[n++] = s;
            }
        }
    }
    write_series(check_series, subjects, n, out);
    free(subjects);
}

/* A metric that there is one of. */
struct single {
    const char *name;
    const char *type;
    const char *help;
    double value;
};

void
exposition_write_monitor(const struct monitor *m, FILE *out)
{
    const struct monitor_counters *c = &m->counters;
    const struct single singles[] = {
        { "lbgen_switch_connected", "gauge", "1 if the switch is there.",
          watch_is_up(m->watch) },
        { "lbgen_checks", "gauge", "Different checks that are carried out.",
          checker_n_items(m->checker) },
        { "lbgen_health_transitions_total", "counter",
          "Changes of servers' health.", c->transitions },
        { "lbgen_applies_total", "counter", "Updates that changed the bridge.",
          c->applies },
        { "lbgen_apply_failures_total", "counter", "Updates that failed.",
          c->failed_applies },
        { "lbgen_apply_duration_seconds", "gauge", "Duration of the last "
          "update.", c->apply_ms / 1000.0 },
        { "lbgen_repairs_total", "counter", "Updates that put back what "
          "others had changed, or a restart of the switch.", c->repairs },
        { "lbgen_moved_slots_total", "counter", "Slots that went to another "
          "server.", c->moved_slots },
        { "lbgen_cut_connections_total", "counter", "Connections of dead "
          "servers that were cut.", c->cut_connections },
        { "lbgen_refreshes_total", "counter", "Rounds of weights.",
          c->refreshes },
        { "lbgen_refresh_failures_total", "counter", "Rounds that failed.",
          c->failed_refreshes },
        { "lbgen_reloads_total", "counter", "Changes of the file that are in "
          "force.", c->reloads },
        { "lbgen_reload_failures_total", "counter", "Changes of the file that "
          "were refused.", c->failed_reloads },
        { "lbgen_start_time_seconds", "gauge", "When the monitor began, since "
          "the epoch.", m->started },
    };

    write_checks(m, out);
    for (size_t i = 0; i < LB_ARRAY_SIZE(singles); i++) {
        write_head(singles[i].name, singles[i].type, singles[i].help, out);
        fprintf(out, "%s %.15g\n", singles[i].name, singles[i].value);
    }
}
