/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "lib/explain.h"

#include <inttypes.h>

#include "lib/tiers.h"

/* Explanations where the switch goes by what it remembers. */

static const char *
server_name(const struct explanation *e, size_t index)
{
    return e->assignment->pool->servers[index].name;
}

/* Who is next, if that is known. */
static void
answer_next(struct explanation *e, const struct reach *reach,
            const struct learned *learned)
{
    size_t meant;
    size_t next = learned_next(learned, e->assignment, reach, &meant);

    if (next == SIZE_MAX) {
        explain_add_note(e, "so many of those whose turn would be next are "
                         "down that a hash chooses among the others");
        return;
    }
    e->answer = EXPLAIN_SERVER;
    e->server = next;
    e->is_next = true;
    if (next == meant) {
        explain_add_note(e, "the next new connection goes to server %s, "
                         "whoever the client is: it is its turn",
                         server_name(e, next));
    } else {
        explain_add_note(e, "it is the turn of server %s, but that is down: "
                         "the next new connection goes to server %s, whoever "
                         "the client is", server_name(e, meant),
                         server_name(e, next));
    }
}

void
explain_by_turn(struct explanation *e, const struct reach *reach,
                const struct learned *learned)
{
    const struct assignment *a = e->assignment;
    size_t n_sharing = 0;

    for (size_t i = 0; i < a->pool->n_servers; i++) {
        if (!reach_is_down(reach, a, i)) {
            e->n_slots[i] = assignment_n_slots(a, i);
        }
        if (e->n_slots[i]) {
            e->server = i;
            n_sharing++;
        }
    }
    if (n_sharing == 1) {
        e->answer = EXPLAIN_SERVER;
        return;
    }
    e->answer = EXPLAIN_ANY;
    explain_add_note(e, "servers take turns, so that which one it is depends "
                     "on who else comes before");
    if (learned) {
        answer_next(e, reach, learned);
    }
}

/* The switch knows the client. */
static void
answer_remembered(struct explanation *e, const struct learned_client *client,
                  size_t server)
{
    e->answer = EXPLAIN_SERVER;
    e->server = server;
    e->has_pick = false;
    e->is_next = false;
    e->remembered = client;
    if (client->idle_age < 0 || client->idle_age > client->idle_timeout) {
        explain_add_note(e, "the switch remembers the client, for %"PRIu32" s "
                         "so far, and until no packet of it has come for "
                         "%"PRIu16" s", client->duration,
                         client->idle_timeout);
    } else {
        explain_add_note(e, "the switch remembers the client, for %"PRIu32" s "
                         "so far, and forgets it after %"PRIu16" s without a "
                         "packet of it: in %d s, unless one comes",
                         client->duration, client->idle_timeout,
                         client->idle_timeout - client->idle_age);
    }
}

void
explain_by_affinity(struct explanation *e, const struct reach *reach,
                    const struct learned *learned)
{
    const struct assignment *a = e->assignment;
    const struct learned_client *client;
    size_t server;

    if (a->pool->affinity.by == AFFINITY_NONE) {
        return;
    } else if (!learned) {
        e->answer = EXPLAIN_ANY;
        e->has_pick = false;
        explain_add_note(e, "a client that the switch remembers goes to the "
                         "server that it has; --live shows what the switch "
                         "does");
        return;
    }
    client = learned_find(learned, a, &e->packet.tuple.src);
    server = client ? explain_find_member(a, client->member) : SIZE_MAX;
    if (server == SIZE_MAX || !server_takes(a->pool, server)) {
        explain_add_note(e, "the switch does not remember the client; it "
                         "stays with the server that it gets");
    } else if (reach_is_down(reach, a, server)) {
        explain_add_note(e, "the client was with server %s, which is down; it "
                         "stays with the server that it gets",
                         server_name(e, server));
    } else {
        answer_remembered(e, client, server);
    }
}
