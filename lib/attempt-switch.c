/* SPDX-License-Identifier: Apache-2.0 */

/* Checks "from: switch": the server answers what the switch sends it, the way
 * that users' packets go.
 *
 * A server that has not been found yet has no port: then it is looked for, by
 * ARP or neighbour discovery at every port, and who answers is found. */

#include <config.h>

#include "lib/attempt.h"

#include "lib/found.h"
#include "lib/packet-out.h"
#include "lib/path.h"
#include "lib/ports.h"
#include "lib/prober.h"

/* How often to look for the sign of life of a switch, and when it is one of a
 * switch that stood still, in milliseconds. */
#define PING_PAUSE 5
#define PING_SLOW 50

struct switch_attempt {
    struct attempt up;
    struct inquiry inquiry;
    bool asked;
    uint64_t ping;
    int64_t pinged;             /* When, or 0. */
    bool had_grace;
};

static void
switch_stop(struct attempt *attempt)
{
    struct switch_attempt *s = (struct switch_attempt *) attempt;

    if (s->asked) {
        prober_forget(attempt->all->prober, &s->inquiry);
    }
}

static void
switch_answered(void *s_, enum inquiry_result result)
{
    struct switch_attempt *s = s_;

    if (s->inquiry.port == PACKET_OUT_ALL_PORTS) {
        attempt_end(&s->up, "it answers, and has yet to be found");
        s->up.all->found(s->up.all->aux);
    } else if (result == INQUIRY_REFUSED) {
        attempt_end(&s->up, "Connection refused");
    } else {
        attempt_end(&s->up, NULL);
    }
}

/* Whether 'server' may be behind any port. */
static bool
is_looked_for(const struct server *server)
{
    return server->missing && server_leaves_out(server);
}

/* Fills in whom to ask and how. */
static void
make_inquiry(const struct attempt_target *target, struct inquiry *inquiry)
{
    const struct check *check = target->check;
    const struct pool *pool = target->pool;
    const struct server *server = target->server;
    struct probe_ends *ends = &inquiry->ends;

    ends->src_mac = check_source_mac(check, pool);
    ends->dst = target->ip;
    inquiry->port = target->switch_port;
    inquiry->vlan = path_server_vlan(pool, server);
    if (is_looked_for(server)) {
        ends->kind = PROBE_NEIGHBOR;
        ends->dst = path_next_hop(server)->ip[0];
        inquiry->port = PACKET_OUT_ALL_PORTS;
        return;
    }
    ends->kind = (check->type == CHECK_TCP ? PROBE_TCP
                  : check->type == CHECK_ICMP ? PROBE_ECHO : PROBE_NEIGHBOR);
    ends->dst_mac = *server_mac(server);
    if (check_has_source(check)) {
        ends->src = *check_source(check, pool, server);
        ends->src_port = target->source_port;
        ends->dst_port = target->port;
    }
}

/* A switch that stands still carries no question and no answer: it is asked
 * whether it does.  If that takes it long, the time of the server begins when
 * it has answered, but only once: some are always slow. */
static int64_t
switch_wait(struct attempt *attempt)
{
    struct switch_attempt *s = (struct switch_attempt *) attempt;
    const struct prober *prober = attempt->all->prober;

    if (s->had_grace) {
        return 0;
    } else if (!s->pinged) {
        s->pinged = loop_now();
        s->ping = prober->ping(prober->aux);
        return PING_PAUSE;
    } else if (!prober->has_answered(prober->aux, s->ping)) {
        return PING_PAUSE;
    } else if (loop_now() - s->pinged < PING_SLOW) {
        return 0;
    }
    s->had_grace = true;
    return attempt->target.check->timeout;
}

/* Why the server cannot be asked, or NULL. */
static const char *
find_obstacle(const struct attempt *attempt)
{
    const struct attempt_target *target = &attempt->target;

    if (is_looked_for(target->server)) {
        return NULL;
    } else if (target->server->missing) {
        return "the switch has no such port";
    } else if (!attempt->all->prober || target->switch_port == PORT_NONE
               || !server_is_located(target->server)) {
        return "nobody knows which port of the switch it is behind";
    }
    return NULL;
}

static void
switch_start(struct attempt *attempt)
{
    struct switch_attempt *s = (struct switch_attempt *) attempt;
    const struct attempt_target *target = &attempt->target;

    const char *obstacle = find_obstacle(attempt);

    if (obstacle) {
        attempt_end(attempt, "%s", obstacle);
        return;
    }
    make_inquiry(target, &s->inquiry);
    s->inquiry.answered = switch_answered;
    s->inquiry.aux = s;
    s->asked = true;
    if (!prober_ask(attempt->all->prober, &s->inquiry)) {
        attempt_end(attempt, "the switch does not take what is sent to it");
    }
}

const struct attempt_class attempt_switch = {
    .size = sizeof(struct switch_attempt),
    .start = switch_start,
    .wait = switch_wait,
    .stop = switch_stop,
};
