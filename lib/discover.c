/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "lib/discover.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/discover-ports.h"
#include "lib/discover-probe.h"
#include "lib/found.h"
#include "lib/path.h"

/* When a server that has not answered is asked again, in milliseconds from the
 * start.  The first time is soon: until the datapath has heard of the flow for
 * answers, a cached flow may take an answer away. */
static const int ask_again[] = { 100, 250, 600 };

/* Milliseconds between looks for answers: doubles from the first to the
 * last. */
#define PAUSE_MIN 1
#define PAUSE_MAX 25

/* How long others that claim an address are waited for after the last
 * answer. */
#define GRACE 20

/* A server to be found. */
struct wanted {
    struct server *server;
    uint16_t vlan;              /* As in "struct question". */
    size_t questions[N_FAMILIES];   /* Indexes in 'questions' below, one for
                                     * each of the server's addresses. */
};

/* An address of a server to be found, or of the router before it.  Pools may
 * share it: then it is asked for once. */
struct sought {
    const struct ip *ip;
    uint16_t vlan;
    const struct server *server;
    size_t *question;           /* In "struct wanted". */
};

/* One run. */
struct discovery {
    struct session *session;
    const struct bridge *bridge;
    const char *bridge_name;
    bool allow_missing;
    struct diags *diags;

    struct wanted *wanted;      /* In file order. */
    size_t n_wanted;
    size_t allocated_wanted;
    struct question *questions; /* By address. */
    size_t n_questions;
};

/* The VLAN that 'server' of 'pool' is asked in, 0 for untagged. */
static uint16_t
ask_in_vlan(const struct pool *pool, const struct server *server)
{
    uint16_t vlan = path_server_vlan(pool, server);

    return vlan == VLAN_ANY || vlan == VLAN_NONE ? 0 : vlan;
}

/* Whether 'server' is to be asked for. */
static bool
is_wanted(const struct discovery *d, const struct server *server)
{
    return (server_leaves_out(server)
            && !(server->missing && server->interface
                 && !ports_has(&d->bridge->ports, server->interface)));
}

static void
collect_wanted(struct discovery *d, struct model *model,
               const struct server *only)
{
    for (size_t i = 0; i < model->n_pools; i++) {
        struct pool *pool = model->pools[i];

        for (size_t j = 0; j < pool->n_servers; j++) {
            struct server *server = &pool->servers[j];

            if ((!only || server == only) && is_wanted(d, server)) {
                d->wanted = lb_grow(d->wanted, d->n_wanted,
                                    &d->allocated_wanted, sizeof *d->wanted);
                d->wanted[d->n_wanted].vlan = ask_in_vlan(pool, server);
                d->wanted[d->n_wanted++].server = server;
            }
        }
    }
}

/* By address, then in file order. */
static int
compare_sought(const void *a_, const void *b_)
{
    const struct sought *a = a_;
    const struct sought *b = b_;
    int cmp = probe_compare(a->ip, a->vlan, b->ip, b->vlan);

    return cmp ? cmp : a->question < b->question ? -1 : 1;
}

/* Lists the addresses of all servers to be found, sorted.  The caller frees
 * the list. */
static struct sought *
list_sought(struct discovery *d, size_t *n)
{
    struct sought *list = lb_xcalloc(d->n_wanted * N_FAMILIES, sizeof *list);

    *n = 0;
    for (size_t i = 0; i < d->n_wanted; i++) {
        struct wanted *wanted = &d->wanted[i];

        const struct ips *ips = path_next_hop(wanted->server);

        for (size_t j = 0; j < ips->n; j++) {
            list[(*n)++] = (struct sought) {
                .ip = &ips->ip[j],
                .vlan = wanted->vlan,
                .server = wanted->server,
                .question = &wanted->questions[j],
            };
        }
    }
    qsort(list, *n, sizeof *list, compare_sought);
    return list;
}

/* The port to ask for 'server' at, as the file gives it.  False after queueing
 * an error. */
static bool
find_port(const struct discovery *d, const struct server *server,
          uint16_t *port)
{
    *port = ports_find(&d->bridge->ports, server->interface);
    if (*port == PORT_NONE) {
        diag_error(d->diags, &server->loc, "server \"%s\": bridge \"%s\" has "
                   "no port %s", server->name, d->bridge_name,
                   server->interface);
    }
    return *port != PORT_NONE;
}

/* Makes one question for each address.  A server is asked at the interface
 * that the file gives, be it in another pool.  False after queueing errors. */
static bool
make_questions(struct discovery *d)
{
    size_t n;
    struct sought *list = list_sought(d, &n);
    struct question *q = NULL;
    bool ok = true;

    d->questions = lb_xcalloc(n, sizeof *d->questions);
    for (size_t i = 0; i < n; i++) {
        if (!q || probe_compare(&q->ip, q->vlan, list[i].ip, list[i].vlan)) {
            q = &d->questions[d->n_questions++];
            q->ip = *list[i].ip;
            q->vlan = list[i].vlan;
            q->port = PROBE_ALL_PORTS;
        }
        if (list[i].server->interface) {
            ok = find_port(d, list[i].server, &q->port) && ok;
        }
        *list[i].question = q - d->questions;
    }
    free(list);
    return ok;
}

/* Milliseconds of a clock that only goes forward. */
static long long int
now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

static void
pause_ms(int ms)
{
    struct timespec pause = { .tv_nsec = ms * 1000000L };

    nanosleep(&pause, NULL);
}

static int
compare_to_question(const struct answer *answer,
                    const struct question *question)
{
    return probe_compare(&answer->ip, answer->vlan, &question->ip,
                         question->vlan);
}

/* The answers to 'question': the first of them, and how many there are. */
static const struct answer *
find_answers(const struct probe *probe, const struct question *question,
             size_t *n)
{
    size_t lo = 0;
    size_t hi = probe->n_answers;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;

        if (compare_to_question(&probe->answers[mid], question) < 0) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    for (hi = lo; (hi < probe->n_answers
                   && !compare_to_question(&probe->answers[hi], question));
         hi++) {
        continue;
    }
    *n = hi - lo;
    return probe->answers ? &probe->answers[lo] : NULL;
}

/* Marks what has been answered.  Returns true if everything is. */
static bool
mark_answered(struct discovery *d, const struct probe *probe)
{
    bool all = true;

    for (size_t i = 0; i < d->n_questions; i++) {
        size_t n;

        find_answers(probe, &d->questions[i], &n);
        d->questions[i].answered = n > 0;
        all = all && n;
    }
    return all;
}

/* Reads answers until there is one to each question or patience has run
 * out. */
static bool
await_answers(struct discovery *d, struct probe *probe)
{
    long long int start = now_ms();
    size_t n_asked = 0;
    int pause = PAUSE_MIN;

    for (;;) {
        long long int elapsed;

        pause_ms(pause);
        pause = pause * 2 < PAUSE_MAX ? pause * 2 : PAUSE_MAX;
        if (!probe_read(probe, d->diags)) {
            return false;
        }
        elapsed = now_ms() - start;
        if (mark_answered(d, probe)) {
            pause_ms(GRACE);
            return probe_read(probe, d->diags);
        } else if (elapsed >= DISCOVER_PATIENCE) {
            return true;
        } else if (n_asked < LB_ARRAY_SIZE(ask_again)
                   && elapsed >= ask_again[n_asked]) {
            n_asked++;
            if (!probe_repeat(probe, d->questions, d->n_questions,
                              d->diags)) {
                return false;
            }
        }
    }
}

/* True if 'answer' is not what the file gives for 'server'. */
static bool
contradicts(const struct discovery *d, const struct server *server,
            const struct answer *answer)
{
    return ((server->has_mac && !mac_equal(&server->mac, &answer->mac))
            || (server->interface
                && ports_find(&d->bridge->ports, server->interface)
                != answer->port));
}

/* Says who answers for 'server', "MAC on port NAME", for a message. */
#define WHO_STRLEN 64
static const char *
format_answer(const struct discovery *d, const struct answer *answer,
              char buf[WHO_STRLEN])
{
    char *port = ports_name(&d->bridge->ports, answer->port);
    char mac[MAC_STRLEN];

    snprintf(buf, WHO_STRLEN, "%s on port %s", mac_format(&answer->mac, mac),
             port);
    free(port);
    return buf;
}

/* Queues the error for 'server', to whose question 'answer' is not what the
 * file says. */
static void
report_contradiction(const struct discovery *d, const struct server *server,
                     const struct answer *answer)
{
    char ip[IP_STRLEN], mac[MAC_STRLEN], who[WHO_STRLEN];

    diag_error(d->diags, &server->loc, "server \"%s\": the file gives %s %s, "
               "but %s answers from %s", server->name,
               server->has_mac ? "mac" : "interface",
               (server->has_mac ? mac_format(&server->mac, mac)
                : server->interface),
               ip_format(&answer->ip, ip), format_answer(d, answer, who));
}

static void
report_conflict(const struct discovery *d, const struct server *server,
                const struct answer *a, const struct answer *b)
{
    char ip[IP_STRLEN], who_a[WHO_STRLEN], who_b[WHO_STRLEN];

    diag_error(d->diags, &server->loc, "server \"%s\": %s has two answers, "
               "from %s and from %s; take the address away from one, or give "
               "mac and interface", server->name, ip_format(&a->ip, ip),
               format_answer(d, a, who_a), format_answer(d, b, who_b));
}

/* An installed server of the address of 'server' that is where the file says,
 * as far as it says anything, or NULL. */
static const struct server *
find_known(const struct discovery *d, const struct server *server,
           uint16_t vlan)
{
    for (size_t i = 0; i < d->bridge->n_records; i++) {
        const struct pool *pool = d->bridge->records[i].pool;

        for (size_t j = 0; j < pool->n_servers; j++) {
            const struct server *old = &pool->servers[j];

            if (found_agrees(old, server) && ask_in_vlan(pool, old) == vlan
                && ports_has(&d->bridge->ports, server_interface(old))) {
                return old;
            }
        }
    }
    return NULL;
}

/* What 'ip' is asked for by, for messages. */
static const char *
asked_by(const struct ip *ip)
{
    return ip_is_v4(ip) ? "ARP" : "neighbour discovery";
}

/* There is no answer for 'server'.  Nobody expects one of a server in
 * maint. */
static bool
settle_silent(struct discovery *d, struct server *server, uint16_t vlan)
{
    const struct server *known = find_known(d, server, vlan);
    char ip[IP_STRLEN], mac[MAC_STRLEN];
    const char *by;
    bool is_maint;

    server->missing = false;
    is_maint = server_effective_state(server) == SERVER_MAINT;
    ip_format(&path_next_hop(server)->ip[0], ip);
    by = asked_by(&path_next_hop(server)->ip[0]);
    if (known) {
        found_set(server, server_mac(known), server_interface(known));
        if (!is_maint) {
            diag_warning(d->diags, &server->loc, "server \"%s\": %s does not "
                         "answer %s on bridge \"%s\"; taken to be where it "
                         "was, %s on port %s", server->name, ip, by,
                         d->bridge_name, mac_format(server_mac(server), mac),
                         server_interface(server));
        }
        return true;
    }
    found_set_missing(server);
    if (is_maint) {
        return true;
    } else if (d->allow_missing) {
        diag_warning(d->diags, &server->loc, "server \"%s\": %s does not "
                     "answer %s on bridge \"%s\"; it is in maint until an "
                     "apply finds it", server->name, ip, by, d->bridge_name);
        return true;
    }
    diag_error(d->diags, &server->loc, "server \"%s\": %s does not answer %s "
               "on bridge \"%s\"; is it up? give its mac and interface, or "
               "--allow-missing", server->name, ip, by, d->bridge_name);
    return false;
}

/* Stores in '*right' the answer to 'question' that is the one of 'server', or
 * NULL if there is no answer.  False after an error. */
static bool
find_right(const struct discovery *d, const struct probe *probe,
           const struct server *server, const struct question *question,
           const struct answer **right)
{
    size_t n;
    const struct answer *answers = find_answers(probe, question, &n);

    *right = NULL;
    for (size_t i = 0; i < n; i++) {
        if (!contradicts(d, server, &answers[i])) {
            if (*right) {
                report_conflict(d, server, *right, &answers[i]);
                return false;
            }
            *right = &answers[i];
        }
    }
    if (n && !*right) {
        report_contradiction(d, server, &answers[0]);
        return false;
    }
    return true;
}

/* Queues the error for 'server', whose two addresses are in two places. */
static void
report_two_places(const struct discovery *d, const struct server *server,
                  const struct answer *a, const struct answer *b)
{
    char ip_a[IP_STRLEN], ip_b[IP_STRLEN];
    char who_a[WHO_STRLEN], who_b[WHO_STRLEN];

    diag_error(d->diags, &server->loc, "server \"%s\": %s answers from %s, "
               "and %s from %s; a server is one host behind one port",
               server->name, ip_format(&a->ip, ip_a),
               format_answer(d, a, who_a), ip_format(&b->ip, ip_b),
               format_answer(d, b, who_b));
}

/* One address of 'server' does not answer, and 'answer' is that of the other
 * one.  Nobody expects any of a server in maint. */
static void
warn_half(const struct discovery *d, const struct server *server,
          const struct ip *silent, const struct answer *answer)
{
    char ip[IP_STRLEN], other[IP_STRLEN];

    if (server_effective_state(server) != SERVER_MAINT) {
        diag_warning(d->diags, &server->loc, "server \"%s\": %s does not "
                     "answer %s on bridge \"%s\"; taken to be where %s is",
                     server->name, ip_format(silent, ip), asked_by(silent),
                     d->bridge_name, ip_format(&answer->ip, other));
    }
}

/* Decides what the answers mean for a server.  False after an error. */
static bool
settle(struct discovery *d, const struct probe *probe,
       const struct wanted *wanted)
{
    struct server *server = wanted->server;
    const struct ips *ips = path_next_hop(server);
    const struct answer *found = NULL;
    const struct ip *silent = NULL;
    char *interface;

    for (size_t i = 0; i < ips->n; i++) {
        const struct answer *right;

        if (!find_right(d, probe, server,
                        &d->questions[wanted->questions[i]], &right)) {
            return false;
        } else if (!right) {
            silent = &ips->ip[i];
        } else if (found && (found->port != right->port
                             || !mac_equal(&found->mac, &right->mac))) {
            report_two_places(d, server, found, right);
            return false;
        } else {
            found = right;
        }
    }
    if (!found) {
        return settle_silent(d, server, wanted->vlan);
    }
    interface = ports_name(&d->bridge->ports, found->port);
    found_set(server, &found->mac, interface);
    free(interface);
    if (silent) {
        warn_half(d, server, silent, found);
    }
    return true;
}

static bool
settle_all(struct discovery *d, const struct probe *probe)
{
    bool ok = true;

    for (size_t i = 0; i < d->n_wanted; i++) {
        ok = settle(d, probe, &d->wanted[i]) && ok;
    }
    return ok;
}

static bool
ask(struct discovery *d, const struct model *model)
{
    struct probe probe;
    bool ok = (probe_start(&probe, d->session, model->settings.table_base,
                           d->questions, d->n_questions, d->diags)
               && await_answers(d, &probe));
    bool settled = ok && settle_all(d, &probe);

    return probe_stop(&probe, d->diags) && settled;
}

bool
discover(struct session *session, const struct bridge *bridge,
         struct model *model, const struct server *only, bool allow_missing,
         struct diags *diags)
{
    struct discovery d = {
        .session = session,
        .bridge = bridge,
        .bridge_name = session_bridge(session),
        .allow_missing = allow_missing,
        .diags = diags,
    };
    bool ok = true;

    discover_lost_ports(&(struct port_look) {
                            bridge, d.bridge_name, allow_missing, diags,
                        }, model, only);
    collect_wanted(&d, model, only);
    if (d.n_wanted) {
        ok = make_questions(&d) && ask(&d, model);
    }
    free(d.wanted);
    free(d.questions);
    return ok;
}

bool
discover_known(struct session *session, const struct bridge *bridge,
               struct model *model, struct diags *diags)
{
    struct discovery d = { .bridge = bridge };
    bool all = true;

    discover_lost_ports(&(struct port_look) {
                            bridge, session_bridge(session), true, diags,
                        }, model, NULL);
    collect_wanted(&d, model, NULL);
    for (size_t i = 0; i < d.n_wanted; i++) {
        struct server *server = d.wanted[i].server;
        const struct server *known = find_known(&d, server,
                                                d.wanted[i].vlan);

        if (known) {
            found_set(server, server_mac(known), server_interface(known));
        } else if (!server_is_located(server)
                   || !ports_has(&bridge->ports,
                                 server_interface(server))) {
            found_set_missing(server);
            all = false;
        }
    }
    free(d.wanted);
    return all;
}
