/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "lib/discover.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/discover-probe.h"
#include "lib/found.h"

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

/* A server to be found.  Pools may share it: then it is asked for once. */
struct wanted {
    struct server *server;
    size_t question;            /* Index in 'questions' below. */
};

/* One run. */
struct discovery {
    struct session *session;
    const struct bridge *bridge;
    const char *bridge_name;
    bool allow_missing;
    struct diags *diags;

    struct wanted *wanted;      /* By address, then in file order. */
    size_t n_wanted;
    size_t allocated_wanted;
    struct question *questions; /* By address. */
    size_t n_questions;
};

static void
collect_wanted(struct discovery *d, struct model *model,
               const struct server *only)
{
    for (size_t i = 0; i < model->n_pools; i++) {
        struct pool *pool = model->pools[i];

        for (size_t j = 0; j < pool->n_servers; j++) {
            struct server *server = &pool->servers[j];

            if ((only ? server == only : server_leaves_out(server))
                && ips_find(&server->ips, FAMILY_V4)) {
                d->wanted = lb_grow(d->wanted, d->n_wanted,
                                    &d->allocated_wanted, sizeof *d->wanted);
                d->wanted[d->n_wanted].question = d->n_wanted;
                d->wanted[d->n_wanted++].server = server;
            }
        }
    }
}

/* 'question' is the place in the file here. */
static int
compare_wanted(const void *a_, const void *b_)
{
    const struct wanted *a = a_;
    const struct wanted *b = b_;
    int cmp = memcmp(&a->server->ips.ip[0], &b->server->ips.ip[0], sizeof a->server->ips.ip[0]);

    return cmp ? cmp : a->question < b->question ? -1 : 1;
}

/* Makes one question for each address.  A server is asked at the interface
 * that the file gives, be it in another pool.  False after queueing errors. */
static bool
make_questions(struct discovery *d)
{
    struct question *q = NULL;
    bool ok = true;

    d->questions = lb_xcalloc(d->n_wanted, sizeof *d->questions);
    qsort(d->wanted, d->n_wanted, sizeof *d->wanted, compare_wanted);
    for (size_t i = 0; i < d->n_wanted; i++) {
        const struct server *server = d->wanted[i].server;

        if (!q || !ip_equal(&q->ip, &server->ips.ip[0])) {
            q = &d->questions[d->n_questions++];
            q->ip = server->ips.ip[0];
            q->port = PROBE_ALL_PORTS;
        }
        if (server->interface) {
            q->port = ports_find(&d->bridge->ports, server->interface);
            if (q->port == PORT_NONE) {
                diag_error(d->diags, &server->loc, "server \"%s\": bridge "
                           "\"%s\" has no port %s", server->name,
                           d->bridge_name, server->interface);
                ok = false;
            }
        }
        d->wanted[i].question = q - d->questions;
    }
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

/* The answers to 'question': the first of them, and how many there are. */
static const struct answer *
find_answers(const struct probe *probe, const struct question *question,
             size_t *n)
{
    size_t lo = 0;
    size_t hi = probe->n_answers;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;

        if (memcmp(&probe->answers[mid].ip, &question->ip,
                   sizeof question->ip) < 0) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    for (hi = lo; (hi < probe->n_answers
                   && ip_equal(&probe->answers[hi].ip, &question->ip)); hi++) {
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
               ip_format(&server->ips.ip[0], ip), format_answer(d, answer, who));
}

static void
report_conflict(const struct discovery *d, const struct server *server,
                const struct answer *a, const struct answer *b)
{
    char ip[IP_STRLEN], who_a[WHO_STRLEN], who_b[WHO_STRLEN];

    diag_error(d->diags, &server->loc, "server \"%s\": %s has two answers, "
               "from %s and from %s; take the address away from one, or give "
               "mac and interface", server->name, ip_format(&server->ips.ip[0], ip),
               format_answer(d, a, who_a), format_answer(d, b, who_b));
}

/* An installed server of the address of 'server' that is where the file says,
 * as far as it says anything, or NULL. */
static const struct server *
find_known(const struct discovery *d, const struct server *server)
{
    for (size_t i = 0; i < d->bridge->n_records; i++) {
        const struct pool *pool = d->bridge->records[i].pool;

        for (size_t j = 0; j < pool->n_servers; j++) {
            const struct server *old = &pool->servers[j];

            if (ip_equal(&old->ips.ip[0], &server->ips.ip[0]) && server_is_located(old)
                && (!server->has_mac
                    || mac_equal(&server->mac, server_mac(old)))
                && (!server->interface
                    || !strcmp(server->interface, server_interface(old)))
                && ports_find(&d->bridge->ports,
                              server_interface(old)) != PORT_NONE) {
                return old;
            }
        }
    }
    return NULL;
}

/* There is no answer for 'server'.  Nobody expects one of a server in
 * maint. */
static bool
settle_silent(struct discovery *d, struct server *server)
{
    const struct server *known = find_known(d, server);
    bool is_maint;
    char ip[IP_STRLEN], mac[MAC_STRLEN];

    server->missing = false;
    is_maint = server_effective_state(server) == SERVER_MAINT;
    ip_format(&server->ips.ip[0], ip);
    if (known) {
        found_set(server, server_mac(known), server_interface(known));
        if (!is_maint) {
            diag_warning(d->diags, &server->loc, "server \"%s\": %s does not "
                         "answer ARP on bridge \"%s\"; taken to be where it "
                         "was, %s on port %s", server->name, ip,
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
                     "answer ARP on bridge \"%s\"; it is in maint until an "
                     "apply finds it", server->name, ip, d->bridge_name);
        return true;
    }
    diag_error(d->diags, &server->loc, "server \"%s\": %s does not answer ARP "
               "on bridge \"%s\"; is it up? give its mac and interface, or "
               "--allow-missing", server->name, ip, d->bridge_name);
    return false;
}

/* Decides what the 'n' 'answers' mean for 'server'.  False after an error. */
static bool
settle(struct discovery *d, struct server *server,
       const struct answer *answers, size_t n)
{
    const struct answer *right = NULL;
    char *interface;

    for (size_t i = 0; i < n; i++) {
        if (!contradicts(d, server, &answers[i])) {
            if (right) {
                report_conflict(d, server, right, &answers[i]);
                return false;
            }
            right = &answers[i];
        }
    }
    if (!n) {
        return settle_silent(d, server);
    } else if (!right) {
        report_contradiction(d, server, &answers[0]);
        return false;
    }
    interface = ports_name(&d->bridge->ports, right->port);
    found_set(server, &right->mac, interface);
    free(interface);
    return true;
}

static bool
settle_all(struct discovery *d, const struct probe *probe)
{
    bool ok = true;

    for (size_t i = 0; i < d->n_wanted; i++) {
        const struct wanted *wanted = &d->wanted[i];
        const struct answer *answers;
        size_t n;

        answers = find_answers(probe, &d->questions[wanted->question], &n);
        ok = settle(d, wanted->server, answers, n) && ok;
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

    collect_wanted(&d, model, only);
    if (d.n_wanted) {
        ok = make_questions(&d) && ask(&d, model);
    }
    free(d.wanted);
    free(d.questions);
    return ok;
}
