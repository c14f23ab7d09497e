/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "lib/checker.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/attempt.h"
#include "lib/health.h"
#include "lib/path.h"
#include "lib/ports.h"
#include "lib/strmap.h"
#include "policies/hash.h"

/* New servers wait for their first check: it comes soon, in milliseconds. */
#define SOON 50

/* How often to say of a server that it cannot be checked, in milliseconds. */
#define SAY_AGAIN 60000

/* One thing to ask, for all servers that it concerns. */
struct item {
    struct checker *checker;
    char *key;                  /* Equal for equal questions. */
    struct attempt_target target;
    struct watched *first;      /* Whom it concerns. */
    struct attempt *attempt;    /* Under way, or NULL. */
    struct loop_timer timer;    /* For the next one. */
    int64_t began;
    int64_t next;               /* When, before the checker runs: 0 for not
                                 * decided. */
};

/* One server of one pool. */
struct watched {
    struct pool *pool;          /* Borrowed from the model, as the next two. */
    struct server *server;
    const struct check *check;
    struct item *item;
    struct watched *next;       /* Another one that 'item' concerns. */
    struct health_track track;
    bool told;                  /* By a check, not only by the bridge. */
    struct checker_stats stats;
    char error[ATTEMPT_ERROR_SIZE];
    int64_t said_unable;        /* When that was last said, or 0. */
};

/* All of one model. */
struct plan {
    struct watched *watched;
    size_t n_watched;
    struct item *items;
    size_t n_items;
    struct strmap by_name;      /* "POOL/SERVER" to watched. */
    struct strmap by_key;       /* To item. */
    char **names;               /* Keys of 'by_name'. */
};

struct checker {
    struct attempts attempts;
    bool running;
    struct plan plan;
    struct checker_listener listener;
};

struct checker *
checker_create(struct loop *loop, const struct checker_listener *listener)
{
    struct checker *checker = lb_xcalloc(1, sizeof *checker);

    attempts_init(&checker->attempts, loop);
    checker->listener = *listener;
    return checker;
}

/* Writes what checks from the switch differ in: who asks, and where the server
 * is.  What one server has in two files is the same. */
static void
write_way(const struct pool *pool, const struct server *server,
          const struct check *check, FILE *stream)
{
    struct mac mac = check_source_mac(check, pool);
    char text[IP_STRLEN];

    if (check_has_source(check)) {
        fprintf(stream, " %s", ip_format(check_source(check, pool, server),
                                         text));
    }
    fprintf(stream, " %s", mac_format(&mac, text));
    fprintf(stream, " %s %"PRIu16,
            ip_format(&path_next_hop(server)->ip[0], text),
            path_server_vlan(pool, server));
}

/* What makes two questions the same. */
static char *
make_key(const struct pool *pool, const struct server *server,
         const struct check *check)
{
    struct check question = *check;
    char endpoint[ENDPOINT_STRLEN];
    char *text = NULL;
    size_t size;
    FILE *stream = open_memstream(&text, &size);

    if (!stream) {
        abort();
    }
    question.rise = question.fall = 1;
    check_write(&question, stream);
    fprintf(stream, " %s", endpoint_format(check_address(check, pool, server),
                                           check_port(check, server),
                                           endpoint));
    if (check->type == CHECK_EXEC) {
        /* It is told who it is about. */
        fprintf(stream, " %s/%s", pool->name, server->name);
    } else if (check->from == CHECK_FROM_SWITCH) {
        write_way(pool, server, check, stream);
    }
    fclose(stream);
    return text;
}

/* Counts the servers of 'model' that are checked. */
static size_t
count_checked(const struct model *model)
{
    size_t n = 0;

    for (size_t i = 0; i < model->n_pools; i++) {
        const struct pool *pool = model->pools[i];

        for (size_t j = 0; j < pool->n_servers; j++) {
            n += server_check(pool, &pool->servers[j]) != NULL;
        }
    }
    return n;
}

/* The port that answers to 'check' from the switch come to. */
static uint16_t
source_port(const struct model *model, const struct pool *pool,
            const struct server *server, const struct check *check)
{
    if (check->from != CHECK_FROM_SWITCH || !check_has_source(check)) {
        return 0;
    }
    return path_check_port(model, pool->path.vlan,
                           check_source(check, pool, server));
}

/* Begins with the health that the bridge tells, where it may be another
 * process' and so goes by the time of day. */
static void
begin_track(struct watched *w)
{
    const struct health *h = &w->server->health;
    int64_t up_since = INT64_MIN;

    if (h->state == HEALTH_UP && h->flaps) {
        int64_t age = time(NULL) - h->since;

        up_since = loop_now() - (age > 0 ? age : 0) * 1000;
    }
    health_track_init(&w->track, h->state, h->flaps, up_since);
}

/* Adds 'server', which is checked, to 'plan', which has room for it. */
static void
plan_add(struct checker *checker, const struct model *model,
         struct plan *plan, struct pool *pool, struct server *server,
         const struct check *check)
{
    struct watched *w = &plan->watched[plan->n_watched];
    char *key = make_key(pool, server, check);
    struct strmap_entry *entry = strmap_add(&plan->by_key, key);
    const struct item *known = entry->value;
    char *name = lb_xasprintf("%s/%s", pool->name, server->name);

    *w = (struct watched) {
        .pool = pool, .server = server, .check = check,
        .stats = { .ok = true }
    };
    begin_track(w);
    if (!known) {
        struct item *item = &plan->items[plan->n_items++];

        item->checker = checker;
        item->key = key;
        item->target = (struct attempt_target) {
            .check = check,
            .ip = *check_address(check, pool, server),
            .port = check_port(check, server),
            .pool = pool,
            .server = server,
            .source_port = source_port(model, pool, server, check),
            .switch_port = PORT_NONE,
        };
        entry->value = known = item;
    } else {
        free(key);
    }
    w->item = &plan->items[known - plan->items];
    w->next = w->item->first;
    w->item->first = w;
    strmap_add(&plan->by_name, name)->value = w;
    plan->names[plan->n_watched++] = name;
}

static void
plan_init(struct checker *checker, struct model *model, struct plan *plan)
{
    size_t n = count_checked(model);

    memset(plan, 0, sizeof *plan);
    plan->watched = lb_xcalloc(n + 1, sizeof *plan->watched);
    plan->items = lb_xcalloc(n + 1, sizeof *plan->items);
    plan->names = lb_xcalloc(n + 1, sizeof *plan->names);
    for (size_t i = 0; i < model->n_pools; i++) {
        struct pool *pool = model->pools[i];

        for (size_t j = 0; j < pool->n_servers; j++) {
            struct server *server = &pool->servers[j];
            const struct check *check = server_check(pool, server);

            if (check) {
                plan_add(checker, model, plan, pool, server, check);
            }
        }
    }
}

/* Ends attempts that are under way and plans no more of them. */
static void
plan_stop(struct checker *checker, struct plan *plan)
{
    for (size_t i = 0; i < plan->n_items; i++) {
        struct item *item = &plan->items[i];

        attempt_cancel(item->attempt);
        item->attempt = NULL;
        loop_timer_cancel(checker->attempts.loop, &item->timer);
    }
}

static void
plan_uninit(struct checker *checker, struct plan *plan)
{
    plan_stop(checker, plan);
    strmap_uninit(&plan->by_name);
    strmap_uninit(&plan->by_key);
    for (size_t i = 0; i < plan->n_items; i++) {
        free(plan->items[i].key);
    }
    for (size_t i = 0; i < plan->n_watched; i++) {
        free(plan->names[i]);
    }
    free(plan->names);
    free(plan->items);
    free(plan->watched);
}

void
checker_destroy(struct checker *checker)
{
    if (checker) {
        plan_uninit(checker, &checker->plan);
        attempts_uninit(&checker->attempts);
        free(checker);
    }
}

/* Takes in one result for one server. */
static void
take_result(struct checker *checker, struct watched *w, const char *error,
            int64_t took)
{
    enum health_state before = w->track.state;

    w->told = true;
    w->stats.n_checks++;
    w->stats.n_failed += error != NULL;
    w->stats.took = took;
    w->stats.ok = !error;
    if (error) {
        snprintf(w->error, sizeof w->error, "%s", error);
    }
    if (health_track_result(&w->track, w->check, !error, loop_now())) {
        health_set(w->server, w->track.state, error, time(NULL));
        w->server->health.flaps = w->track.flaps;
        health_settle(w->pool);
        checker->listener.changed(checker->listener.aux, w->pool, w->server,
                                  before);
    }
}

/* This host could not check one server. */
static void
take_trouble(struct checker *checker, struct watched *w, const char *error)
{
    int64_t now = loop_now();

    w->stats.n_unable++;
    if (!w->said_unable || now - w->said_unable >= SAY_AGAIN) {
        w->said_unable = now;
        checker->listener.unable(checker->listener.aux, w->pool, w->server,
                                 error);
    }
}

static void begin(void *item);

static void
schedule(struct item *item, int64_t when)
{
    item->next = when;
    if (item->checker->running) {
        loop_timer_set(item->checker->attempts.loop, &item->timer, when, begin,
                       item);
    }
}

static void
finish(void *item_, enum attempt_result result, const char *error,
       int64_t took)
{
    struct item *item = item_;
    bool is_turning = false;

    item->attempt = NULL;
    for (struct watched *w = item->first; w; w = w->next) {
        if (result == ATTEMPT_UNABLE) {
            take_trouble(item->checker, w, error);
        } else {
            take_result(item->checker, w, error, took);
        }
        is_turning = is_turning || health_track_is_turning(&w->track);
    }
    schedule(item, check_next(check_pace(item->target.check, is_turning),
                              item->began, loop_now()));
}

static void
begin(void *item_)
{
    struct item *item = item_;
    int64_t now = loop_now();

    /* Late or not, the next one follows the plan and not the delay, unless
     * that is longer than an interval. */
    item->began = (now - item->next < item->target.check->interval
                   ? item->next : now);
    item->attempt = attempt_start(&item->checker->attempts, &item->target,
                                  finish, item);
}

/* Decides when an item that was not there before is asked first. */
static int64_t
first_time(const struct item *item)
{
    int64_t wait = check_first(item->target.check,
                               hash_string(item->key));

    for (const struct watched *w = item->first; w; w = w->next) {
        if (w->track.state == HEALTH_STARTING) {
            wait %= SOON;
        }
    }
    return loop_now() + wait;
}

/* Goes on in 'plan' where 'old' was. */
static void
inherit(struct plan *plan, const struct plan *old)
{
    for (size_t i = 0; i < plan->n_watched; i++) {
        const struct watched *was = strmap_get(&old->by_name, plan->names[i]);
        struct watched *w = &plan->watched[i];

        if (was) {
            w->track = was->track;
            w->told = was->told;
            w->stats = was->stats;
            memcpy(w->error, was->error, sizeof w->error);
            w->said_unable = was->said_unable;
        }
    }
    for (size_t i = 0; i < plan->n_items; i++) {
        const struct item *was = strmap_get(&old->by_key, plan->items[i].key);

        if (was) {
            plan->items[i].next = was->next;
            plan->items[i].target.switch_port = was->target.switch_port;
        }
    }
}

static void
start_all(struct checker *checker)
{
    for (size_t i = 0; i < checker->plan.n_items; i++) {
        struct item *item = &checker->plan.items[i];

        schedule(item, item->next ? item->next : first_time(item));
    }
}

void
checker_load(struct checker *checker, struct model *model)
{
    struct plan plan;

    plan_init(checker, model, &plan);
    inherit(&plan, &checker->plan);
    plan_uninit(checker, &checker->plan);
    checker->plan = plan;
    if (checker->running) {
        start_all(checker);
    }
}

void
checker_start(struct checker *checker)
{
    if (!checker->running) {
        checker->running = true;
        start_all(checker);
    }
}

void
checker_pause(struct checker *checker)
{
    checker->running = false;
    plan_stop(checker, &checker->plan);
    for (size_t i = 0; i < checker->plan.n_items; i++) {
        checker->plan.items[i].next = 0;
    }
    for (size_t i = 0; i < checker->plan.n_watched; i++) {
        checker->plan.watched[i].track.run = 0;
    }
}

static struct watched *
find_watched(const struct checker *checker, const struct pool *pool,
             const struct server *server)
{
    char name[2 * MODEL_MAX_NAME + 2];
    const struct watched *w;

    snprintf(name, sizeof name, "%s/%s", pool->name, server->name);
    w = strmap_get(&checker->plan.by_name, name);
    return w ? &checker->plan.watched[w - checker->plan.watched] : NULL;
}

void
checker_adopt(struct checker *checker, const struct pool *pool,
              const struct server *server)
{
    struct watched *w = find_watched(checker, pool, server);

    if (w && !w->told) {
        begin_track(w);
        if (server->health.state == HEALTH_STARTING && checker->running
            && !w->item->attempt) {
            schedule(w->item, first_time(w->item));
        }
    }
}

void
checker_set_prober(struct checker *checker, struct prober *prober,
                   void (*found)(void *aux), void *aux)
{
    checker->attempts.prober = prober;
    checker->attempts.found = found;
    checker->attempts.aux = aux;
}

void
checker_set_port(struct checker *checker, const struct pool *pool,
                 const struct server *server, uint16_t port)
{
    struct watched *w = find_watched(checker, pool, server);

    if (w) {
        w->item->target.switch_port = port;
    }
}

bool
checker_get_stats(const struct checker *checker, const struct pool *pool,
                  const struct server *server, struct checker_stats *stats)
{
    const struct watched *w = find_watched(checker, pool, server);

    if (!w) {
        return false;
    }
    *stats = w->stats;
    stats->error = w->error;
    return true;
}

size_t
checker_n_items(const struct checker *checker)
{
    return checker->plan.n_items;
}
