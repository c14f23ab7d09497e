/* SPDX-License-Identifier: Apache-2.0 */

/* The monitor makes the bridge right: the job, and what comes of it.
 *
 * The child writes lines, "KEY VALUE", where the value may be JSON:
 *
 *     begun -             it has the bridge for itself
 *     changes N           flows and groups that it changed
 *     moved N             slots that went to another server
 *     table ENTRY BASE    where lbgen's tables are
 *     message TEXT        for the log
 *     health {...}        of all servers, by pool
 *     found {...}         where servers were found, likewise
 *     ports {...}         which port of OpenFlow that is, likewise
 *     committed -         all of that holds
 *     cut N               connections that it cut then, and more messages */

#include <config.h>

#include "lbgen/monitor.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lbgen/connect.h"
#include "lbgen/notify.h"
#include "lib/check.h"
#include "lib/discover.h"
#include "lib/found.h"
#include "lib/health.h"
#include "lib/override.h"
#include "lib/refreshed.h"

/* How often work is begun again if other lbgens are faster. */
#define OVERTAKEN_MAX 5

/* A job that takes longer hangs, in milliseconds: the time-outs of the session
 * and the wait for the lock are well below. */
#define JOB_LIMIT 120000

/* Pauses after a failure, in milliseconds, while the switch is there. */
#define RETRY_MIN 100
#define RETRY_MAX 5000

/* A child, and what it said so far.  There is one at most that has not
 * committed yet: 'm->sync'. */
struct sync {
    struct sync *next;          /* In 'm->tails', those that have. */
    struct monitor *m;
    struct job job;
    int64_t began;
    size_t changes, moved;
    bool has_settings;
    struct settings settings;
    char *messages;
    char *health;               /* JSON. */
    char *found;
    char *ports;
    bool committed;
};

/* In the child. */

/* Begins the slow start of servers that come back. */
static void
note_returns(const struct assignments *installed, struct model *model,
             int64_t now)
{
    for (size_t i = 0; i < model->n_pools; i++) {
        struct pool *pool = model->pools[i];
        const struct assignment *a = assignments_find(installed, pool->name);

        for (size_t j = 0; a && j < pool->n_servers; j++) {
            struct server *server = &pool->servers[j];
            size_t k = pool_find_server(a->pool, server->name);

            if (k != SIZE_MAX && a->pool->servers[k].health.out
                && !server->health.out) {
                refreshed_came_back(pool, server, now);
            }
        }
    }
}

/* Puts on the monitor's model all that is on the bridge and not in the file.
 * What the operator overrides is noted only where the file is news. */
static void
take_layers(const struct monitor *m, const struct bridge *bridge,
            struct diags *diags)
{
    bool is_news = m->current & (REASON_START | REASON_FILE);
    struct diags *quiet = diags_create();
    int64_t now = time(NULL);

    override_carry(&bridge->assignments, m->model, now,
                   is_news ? diags : quiet);
    refreshed_carry(&bridge->assignments, m->model);
    health_adopt(&bridge->assignments, m->model, now);
    note_returns(&bridge->assignments, m->model, now);
    diags_destroy(quiet);
}

/* Whether a server is missing that the file says the port of, and that is
 * there. */
static bool
has_port_come(const struct monitor *m, const struct bridge *bridge)
{
    for (size_t i = 0; i < m->model->n_pools; i++) {
        const struct pool *pool = m->model->pools[i];

        for (size_t j = 0; j < pool->n_servers; j++) {
            const struct server *server = &pool->servers[j];

            if (server->missing && server->interface
                && ports_has(&bridge->ports, server->interface)) {
                return true;
            }
        }
    }
    return false;
}

/* Whether to look for servers that are missing, and nothing urgent has to wait
 * for that: they may be behind other ports than they were. */
static bool
is_time_to_look(const struct monitor *m, const struct bridge *bridge)
{
    return (!(m->current & (REASON_DEATH | REASON_RETURN))
            && (m->current & REASON_ROUTINE || has_port_come(m, bridge)));
}

/* What there is to say of those that do not answer was said before. */
static void
look_for_missing(const struct monitor *m, struct session *session,
                 struct bridge *bridge)
{
    struct diags *quiet = diags_create();

    discover(session, bridge, m->model, NULL, true, quiet);
    diags_destroy(quiet);
}

static bool
find_servers(const struct monitor *m, struct session *session,
             struct bridge *bridge, struct diags *diags)
{
    bool all = discover_known(session, bridge, m->model, diags);

    if (m->current & (REASON_START | REASON_FILE | REASON_FOUND)
        || (!all && m->current & REASON_SWITCH)) {
        return discover(session, bridge, m->model, NULL, true, diags);
    } else if (!all && is_time_to_look(m, bridge)) {
        look_for_missing(m, session, bridge);
    }
    return true;
}

static void
write_layers(const struct model *model, const char *key,
             void (*write)(const struct pool *, FILE *), FILE *out)
{
    fprintf(out, "%s {", key);
    for (size_t i = 0; i < model->n_pools; i++) {
        fprintf(out, "%s\"%s\":", i ? "," : "", model->pools[i]->name);
        write(model->pools[i], out);
    }
    fputs("}\n", out);
}

/* Which ports servers are behind that the switch checks. */
static void
write_ports(const struct model *model, const struct ports *ports, FILE *out)
{
    fputs("ports {", out);
    for (size_t i = 0; i < model->n_pools; i++) {
        const struct pool *pool = model->pools[i];
        const char *comma = "";

        fprintf(out, "%s\"%s\":{", i ? "," : "", pool->name);
        for (size_t j = 0; j < pool->n_servers; j++) {
            const struct server *server = &pool->servers[j];
            const struct check *check = server_check(pool, server);

            if (check && check->from == CHECK_FROM_SWITCH
                && server_is_located(server)) {
                fprintf(out, "%s\"%s\":%"PRIu16, comma, server->name,
                        ports_find(ports, server_interface(server)));
                comma = ",";
            }
        }
        fputs("}", out);
    }
    fputs("}\n", out);
}

static void
write_result(const struct monitor *m, const struct update *update, FILE *out)
{
    size_t moved = 0;

    for (size_t i = 0; i < update->assignments.n_pools; i++) {
        const struct assignment *new = &update->assignments.pools[i];

        moved += assignment_moved(assignments_find(
                                      &update->bridge->assignments,
                                      new->pool->name), new);
    }
    fprintf(out, "changes %zu\nmoved %zu\ntable %d %d\n",
            update->changes.n, moved, m->model->settings.entry_table,
            m->model->settings.table_base);
    write_layers(m->model, "health", health_write, out);
    write_layers(m->model, "found", found_write, out);
    write_ports(m->model, &update->bridge->ports, out);
}

/* Passes on what there is to say. */
static void
write_messages(struct diags *diags, FILE *out)
{
    char *text = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&text, &size);
    char *line, *save = NULL;

    if (!stream) {
        abort();
    }
    diags_flush(diags, stream);
    fclose(stream);
    for (line = strtok_r(text, "\n", &save); line;
         line = strtok_r(NULL, "\n", &save)) {
        fprintf(out, "message %s\n", line);
    }
    free(text);
}

/* Cuts connections of the dead.  That takes its time, and the next death must
 * not wait for it: the bridge is right already.  If it is not, because others
 * interfere, the dead are out of it all the same, and the next try would take
 * them for dead before. */
static void
cut_connections(struct session *session, struct update *update, FILE *out,
                struct diags *diags)
{
    if (update_cut(session, update, diags) && update->cut.n_cut) {
        fprintf(out, "cut %zu\n", update->cut.n_cut);
    }
}

/* One try.  UPDATE_OVERTAKEN if it has to be made again. */
static enum update_result
try_sync(const struct monitor *m, struct session *session, FILE *out,
         struct diags *diags)
{
    struct bridge *bridge = bridge_read(session, diags);
    enum update_result result = UPDATE_FAILED;
    struct update update;

    if (!bridge) {
        return UPDATE_FAILED;
    }
    take_layers(m, bridge, diags);
    if (find_servers(m, session, bridge, diags)
        && update_prepare(session, bridge, m->model, &update, diags)) {
        result = update_send(session, &update, diags);
        if (result == UPDATE_DONE) {
            result = update_check(session, &update, diags);
        }
        if (result == UPDATE_DONE) {
            write_result(m, &update, out);
            write_messages(diags, out);
            fputs("committed -\n", out);
            fflush(out);
            session_unlock(session);
        }
        cut_connections(session, &update, out, diags);
        update_uninit(&update);
    }
    bridge_destroy(bridge);
    return result;
}

static int
sync_work(void *sync, FILE *out)
{
    const struct monitor *m = ((struct sync *) sync)->m;
    struct diags *diags = diags_create();
    struct session *session = session_open(&m->options, diags);
    enum update_result result = session ? UPDATE_OVERTAKEN : UPDATE_FAILED;

    fputs("begun -\n", out);
    fflush(out);
    for (int i = 0; i < OVERTAKEN_MAX && result == UPDATE_OVERTAKEN; i++) {
        result = try_sync(m, session, out, diags);
    }
    if (result == UPDATE_OVERTAKEN) {
        diag_error(diags, NULL, "bridge \"%s\" is being changed by others all "
                   "the time", m->bridge);
    }
    session_close(session);
    write_messages(diags, out);
    diags_destroy(diags);
    return result != UPDATE_DONE;
}

/* In the parent. */

static void
append_line(char **text, const char *line)
{
    char *longer = (*text ? lb_xasprintf("%s\n%s", *text, line)
                    : lb_xstrdup(line));

    free(*text);
    *text = longer;
}

static void sync_committed(struct sync *);

static void
sync_line(void *s_, char *line)
{
    struct sync *s = s_;
    char *space = strchr(line, ' ');
    char *value = space ? space + 1 : line;

    if (space) {
        *space = '\0';
    }
    if (!strcmp(line, "begun")) {
        s->began = loop_now();
    } else if (!strcmp(line, "changes")) {
        s->changes = strtoul(value, NULL, 10);
    } else if (!strcmp(line, "moved")) {
        s->moved = strtoul(value, NULL, 10);
    } else if (!strcmp(line, "cut")) {
        s->m->counters.cut_connections += strtoul(value, NULL, 10);
        log_line(LOG_LEVEL_INFO, "connections cut: bridge=%s n=%s",
                 s->m->bridge, value);
    } else if (!strcmp(line, "table")) {
        s->has_settings = sscanf(value, "%"SCNu8" %"SCNu8,
                                 &s->settings.entry_table,
                                 &s->settings.table_base) == 2;
    } else if (!strcmp(line, "health")) {
        append_line(&s->health, value);
    } else if (!strcmp(line, "found")) {
        append_line(&s->found, value);
    } else if (!strcmp(line, "ports")) {
        append_line(&s->ports, value);
    } else if (!strcmp(line, "message")) {
        append_line(&s->messages, value);
    } else if (!strcmp(line, "committed")) {
        sync_committed(s);
    }
}

/* Takes over what the bridge knew of servers that the monitor knew nothing
 * of. */
static void
adopt_server(struct monitor *m, struct pool *pool, struct server *server,
             const struct node *node)
{
    if (node && server->health.state == HEALTH_UNKNOWN
        && health_read_server(node, &server->health)) {
        checker_adopt(m->checker, pool, server);
    }
}

/* Calls 'take' for each pool that the JSON 'text' is about. */
static void
for_each_pool(struct monitor *m, const char *text,
              void (*take)(struct monitor *, struct pool *,
                           const struct node *))
{
    struct diags *diags = diags_create();
    struct document *document = document_read_memory("result", text,
                                                     strlen(text), diags);

    for (size_t i = 0; document && i < m->model->n_pools; i++) {
        struct pool *pool = m->model->pools[i];
        const struct node *node = node_get(document_root(document),
                                           pool->name);

        if (node && node->type == NODE_MAPPING) {
            take(m, pool, node);
        }
    }
    document_destroy(document);
    diags_destroy(diags);
}

static void
take_health(struct monitor *m, struct pool *pool, const struct node *node)
{
    for (size_t i = 0; i < pool->n_servers; i++) {
        struct server *server = &pool->servers[i];

        adopt_server(m, pool, server, node_get(node, server->name));
    }
    health_settle(pool);
}

static void
take_found(struct monitor *m LB_UNUSED, struct pool *pool,
           const struct node *node)
{
    found_read(node, pool);
}

static void
take_ports(struct monitor *m, struct pool *pool, const struct node *node)
{
    for (size_t i = 0; i < pool->n_servers; i++) {
        const struct server *server = &pool->servers[i];
        const struct node *port = node_get(node, server->name);

        if (port && port->type == NODE_SCALAR) {
            checker_set_port(m->checker, pool, server,
                             strtoul(port->scalar, NULL, 10));
        }
    }
}

/* What an update was for. */
static const char *
name_reasons(unsigned int reasons)
{
    return (reasons & REASON_START ? "started"
            : reasons & REASON_SWITCH ? "the switch is back"
            : reasons & REASON_FILE ? "the file has changed"
            : reasons & (REASON_DEATH | REASON_RETURN) ? "health has changed"
            : reasons & REASON_FOUND ? "a server was found"
            : "somebody else changed it");
}

/* Whether the update was to mend what was lost. */
static bool
is_repair(const struct monitor *m)
{
    return (m->synced
            && !(m->current & (REASON_START | REASON_DEATH | REASON_RETURN
                               | REASON_FILE | REASON_FOUND)));
}

/* Drift that comes again and again is not fought at any price. */
static void
count_repair(struct monitor *m)
{
    int64_t now = loop_now();

    m->counters.repairs++;
    m->calm = (now - m->last_repair > 2 * RETRY_MAX ? RETRY_MIN
               : m->calm < RETRY_MAX ? 2 * m->calm : RETRY_MAX);
    m->last_repair = now;
}

static void
report_done(struct monitor *m, const struct sync *r)
{
    int64_t took = loop_now() - r->began;

    m->counters.apply_ms = took;
    if (r->changes) {
        m->counters.applies++;
        m->counters.moved_slots += r->moved;
        if (is_repair(m)) {
            count_repair(m);
        }
        log_line(LOG_LEVEL_NOTICE, "bridge updated: bridge=%s reason=\"%s\" "
                 "changes=%zu moved_slots=%zu ms=%"PRId64, m->bridge,
                 name_reasons(m->current), r->changes, r->moved, took);
    } else if (m->current & (REASON_START | REASON_SWITCH | REASON_FILE)) {
        log_line(LOG_LEVEL_INFO, "bridge is right: bridge=%s reason=\"%s\" "
                 "ms=%"PRId64, m->bridge, name_reasons(m->current), took);
    }
}

static void
log_messages(char *messages, bool ok)
{
    char *line, *save = NULL;

    for (line = strtok_r(messages, "\n", &save); line;
         line = strtok_r(NULL, "\n", &save)) {
        if (!strncmp(line, "lbgen: ", 7)) {
            line += 7;
        }
        log_line(ok ? LOG_LEVEL_WARNING : LOG_LEVEL_ERROR, "%s", line);
    }
}

/* Logs what the job had to say so far, unless it says the same all the
 * time. */
static void
report_messages(struct sync *s, bool ok)
{
    struct monitor *m = s->m;

    if (!m->complaint || !s->messages || strcmp(s->messages, m->complaint)) {
        free(m->complaint);
        m->complaint = s->messages ? lb_xstrdup(s->messages) : NULL;
        if (s->messages) {
            log_messages(s->messages, ok);
        }
    }
    free(s->messages);
    s->messages = NULL;
}

/* The bridge is right; the child may still have to cut connections. */
static void
sync_committed(struct sync *s)
{
    struct monitor *m = s->m;

    s->committed = true;
    m->sync = NULL;
    s->next = m->tails;
    m->tails = s;
    report_messages(s, true);
    report_done(m, s);
    if (s->has_settings) {
        watch_set_tables(m->watch, &s->settings);
    }
    if (s->health) {
        for_each_pool(m, s->health, take_health);
    }
    if (s->found) {
        for_each_pool(m, s->found, take_found);
    }
    if (s->ports) {
        for_each_pool(m, s->ports, take_ports);
    }
    m->retry = 0;
    m->synced = true;
    notify("STATUS=keeps bridge %s as %s says", m->bridge, m->file_name);
    checker_start(m->checker);
    if (m->reasons) {
        monitor_want(m, 0);
    }
}

/* Tries again later what did not work. */
static void
sync_failed(struct sync *s)
{
    struct monitor *m = s->m;

    m->sync = NULL;
    report_messages(s, false);
    m->counters.failed_applies++;
    m->reasons |= m->current;
    for (size_t i = 0; i < m->model->n_pools; i++) {
        m->model->pools[i]->panicked = false;
    }
    m->retry = (!m->retry ? RETRY_MIN
                : m->retry < RETRY_MAX ? 2 * m->retry : RETRY_MAX);
    notify("STATUS=cannot update bridge %s", m->bridge);
    monitor_want(m, 0);
}

static void
sync_free(struct sync *s)
{
    free(s->messages);
    free(s->health);
    free(s->found);
    free(s->ports);
    free(s);
}

static void
sync_done(void *s_, bool ok LB_UNUSED, int64_t took LB_UNUSED)
{
    struct sync *s = s_;

    if (s->committed) {
        struct sync **p = &s->m->tails;

        while (*p != s) {
            p = &(*p)->next;
        }
        *p = s->next;
        if (s->messages) {
            log_messages(s->messages, true);
        }
        if (s->m->reasons) {
            monitor_want(s->m, 0);
        }
    } else {
        sync_failed(s);
    }
    sync_free(s);
}

void
monitor_sync(struct monitor *m, unsigned int reasons)
{
    static const struct job_class class = {
        .work = sync_work,
        .line = sync_line,
        .done = sync_done,
        .limit = JOB_LIMIT,
    };
    struct sync *s = lb_xcalloc(1, sizeof *s);

    s->m = m;
    m->sync = s;
    m->current = reasons;
    for (size_t i = 0; i < m->model->n_pools; i++) {
        m->model->pools[i]->panicked = health_panics(m->model->pools[i]);
    }
    job_start(&s->job, m->loop, &class, s);
}

void
monitor_sync_abandon(struct monitor *m)
{
    if (m->sync) {
        m->sync->next = m->tails;
        m->tails = m->sync;
        m->sync = NULL;
    }
    while (m->tails) {
        struct sync *s = m->tails;

        m->tails = s->next;
        job_abandon(&s->job);
        sync_free(s);
    }
}
