/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "lib/conntrack.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openflow/openflow-common.h>
#include <openvswitch/ofp-ct.h>
#include <openvswitch/ofpbuf.h>

#include "lib/conntrack-internal.h"
#include "lib/path.h"
#include "lib/util.h"

/* How connections are cut
 * =======================
 *
 * A flush that names client, VIP and ports takes out the one connection that
 * has them.  One that leaves out the client has the switch look at all
 * connections, and it misses some: the userspace datapath walks through a hash
 * table that shrinks as it takes them out, and a third to a half of those that
 * it should take out is left after each pass.
 *
 * So where connections can be seen, each is cut by its own name, and then they
 * are looked at again.  Where they cannot be seen, the pass without client is
 * repeated so often that what is left of even a million is less than one.
 *
 * A connection whose server does not see the client has a twin in a zone of
 * its own, from the client to the server.  It goes as well: it would take its
 * time to end, and a client that comes by the same port again would get what
 * the old one had.  Where connections cannot be seen it stays: by server and port
 * alone, it cannot be told from those of other pools. */

/* Times to look for connections that are to be cut.  Usually the second finds
 * none. */
#define MAX_ROUNDS 5

/* Passes of a flush without client.  Each leaves half of the connections or
 * less, and 2^20 is a million. */
#define BLIND_PASSES 20

/* Flows that the datapath has cached may send new connections to the old
 * server until ovs-vswitchd has gone through all of them, which it does twice
 * a second at the least.  So there is a second look after that.  Where
 * ovs-vswitchd cannot be asked to say when it is done, it is after so many
 * milliseconds. */
#define BLIND_PAUSE_MS 1000

/* Messages to send before waiting for the switch to have done them. */
#define BATCH 1000

/* Room for what format_ports() makes. */
#define PORTS_STRLEN 64

struct conntrack_target
conntrack_target(const struct pool *pool, const struct ip *vip,
                 const struct server *server, uint16_t member)
{
    struct conntrack_target target = {
        .vlan = pool->path.vlan,
        .protocol = pool->protocol,
        .vip = *vip,
        .ports = pool->ports,
        .any_server = !server,
    };

    if (server) {
        target.server = *ips_find(&server->ips, ip_family(vip));
        target.server_port = server->port;
        target.member = member;
    }
    return target;
}

size_t
conntrack_targets(const struct pool *pool, const struct server *server,
                  uint16_t member, struct conntrack_target targets[N_FAMILIES])
{
    size_t n = 0;

    for (size_t i = 0; i < pool->vips.n; i++) {
        const struct ip *vip = &pool->vips.ip[i];

        /* One that is leaving may be older than a VIP. */
        if (ips_find(&server->ips, ip_family(vip))) {
            targets[n++] = conntrack_target(pool, vip, server, member);
        }
    }
    return n;
}

bool
conntrack_target_matches(const struct conntrack_target *t,
                         const struct connection *c)
{
    uint16_t member = connection_member(c);

    if ((t->protocol != PROTOCOL_ANY && c->protocol != t->protocol)
        || !port_set_has(&t->ports, c->vip_port)
        || !member || !ip_equal(&c->vip, &t->vip)) {
        return false;
    }
    return (t->any_server
            || ((!t->member || t->member == member)
                && (!t->server_port || c->server_port == t->server_port)
                && ip_equal(&c->server, &t->server)));
}

/* A message that flushes what 'match' says in 'zone'.  Without a zone, or
 * without the VIP, it would flush connections of others, in the end all of the
 * host's. */
static struct ofpbuf *
encode_flush(const struct ofp_ct_match *match, uint16_t zone)
{
    struct ip vip = { match->tuple_orig.dst };

    assert(zone && (!ip_is_v4(&vip) || ip_v4(&vip)));
    return ofp_ct_match_encode(match, &zone, OFP15_VERSION);
}

/* Flushes one connection. */
static struct ofpbuf *
encode_flush_connection(const struct connection *c, uint16_t zone)
{
    struct ofp_ct_match match = {
        .ip_proto = c->protocol,
        .tuple_orig.src = c->client.addr,
        .tuple_orig.dst = c->vip.addr,
        .tuple_orig.src_port = htons(c->client_port),
        .tuple_orig.dst_port = htons(c->vip_port),
    };

    if (c->protocol == IPPROTO_ICMP || c->protocol == IPPROTO_ICMPV6) {
        match.tuple_orig.icmp_id = htons(c->icmp_id);
        match.tuple_orig.icmp_type = c->icmp_type;
        match.tuple_orig.icmp_code = 0;
    }
    return encode_flush(&match, zone);
}

/* Flushes all connections that 'target' means, as far as one pass does. */
static struct ofpbuf *
encode_flush_target(const struct conntrack_target *target, uint16_t zone)
{
    struct ofp_ct_match match = {
        .ip_proto = target->protocol,
        .tuple_orig.dst = target->vip.addr,
        .tuple_orig.dst_port = htons(port_set_single(&target->ports)),
    };

    if (!target->any_server) {
        match.tuple_reply.src = target->server.addr;
        match.tuple_reply.src_port = htons(target->server_port);
    }
    return encode_flush(&match, zone);
}

/* Waits until no flow that the datapath has cached is older than this call.
 * The round that ovs-vswitchd is in may have begun before, so it takes
 * two. */
static void
wait_for_datapath(struct conntrack *ct)
{
    const char *const no_args[] = { NULL };

    for (int i = 0; i < 2; i++) {
        char *reply;

        unixctl_call(ct->unixctl, "revalidator/wait", no_args, &reply);
        free(reply);
    }
}

/* Lists the connections that are meant, after waiting for the datapath if
 * 'wait' is true. */
static bool
list_targets(struct session *session, uint16_t zone,
             const struct conntrack_target *targets, size_t n, bool wait,
             struct connection_list *found, char **why)
{
    struct conntrack ct;
    size_t n_found = 0;
    bool ok;

    if (!conntrack_open(session, &ct, why)) {
        return false;
    }
    if (wait) {
        wait_for_datapath(&ct);
    }
    ok = conntrack_dump(&ct, zone, found, why);
    conntrack_close(&ct);
    for (size_t i = 0; ok && i < found->n; i++) {
        const struct connection *c = &found->connections[i];
        size_t j = 0;

        while (j < n && !conntrack_target_matches(&targets[j], c)) {
            j++;
        }
        if (j < n) {
            found->connections[n_found++] = *c;
        }
    }
    found->n = n_found;
    return ok;
}

/* By what a connection and its twin have in common, which is what it is to the
 * server. */
static int
compare_to_server(const struct connection *a, const struct ip *server,
                  uint16_t server_port, const struct connection *b)
{
    int result = memcmp(&a->client, &b->client, sizeof a->client);

    result = result ? result : memcmp(&a->server, server, sizeof *server);
    return (result ? result
            : a->client_port != b->client_port
            ? (a->client_port < b->client_port ? -1 : 1)
            : a->server_port != server_port
            ? (a->server_port < server_port ? -1 : 1)
            : a->protocol - b->protocol);
}

static int
compare_connections(const void *a_, const void *b_)
{
    const struct connection *a = a_, *b = b_;

    return compare_to_server(a, &b->server, b->server_port, b);
}

/* 'found' is a connection, and 'twin' perhaps its twin: there, the server is
 * what the client has sent to. */
static int
compare_twin(const void *twin_, const void *found_)
{
    const struct connection *twin = twin_, *found = found_;

    return -compare_to_server(found, &twin->vip, twin->vip_port, twin);
}

/* Lists the twins of 'found', which gets sorted. */
static bool
list_twins(struct session *session, uint16_t zone,
           struct connection_list *found, struct connection_list *twins,
           char **why)
{
    size_t n = 0;

    if (!connection_list_read(session, zone, twins, why)) {
        return false;
    }
    if (found->n) {
        qsort(found->connections, found->n, sizeof *found->connections,
              compare_connections);
    }
    for (size_t i = 0; i < twins->n && found->n; i++) {
        if (bsearch(&twins->connections[i], found->connections, found->n,
                    sizeof *found->connections, compare_twin)) {
            twins->connections[n++] = twins->connections[i];
        }
    }
    twins->n = n;
    return true;
}

/* Flushes each of 'found' by OpenFlow. */
static bool
flush_found(struct session *session, uint16_t zone,
            const struct connection_list *found, int *refusal,
            struct diags *diags)
{
    struct ofpbuf *messages[BATCH];
    size_t n = 0;

    *refusal = 0;
    for (size_t i = 0; i < found->n && !*refusal; i++) {
        messages[n++] = encode_flush_connection(&found->connections[i], zone);
        if (n == BATCH || i == found->n - 1) {
            if (!session_send_messages(session, messages, n, refusal,
                                       diags)) {
                return false;
            }
            n = 0;
        }
    }
    return true;
}

/* What tells the connections of a protocol between two addresses apart, as
 * the control socket has it. */
static const char *
format_ports(const struct connection *c, char buf[PORTS_STRLEN])
{
    if (c->protocol == IPPROTO_ICMP || c->protocol == IPPROTO_ICMPV6) {
        snprintf(buf, PORTS_STRLEN, "icmp_id=%d,icmp_type=%d,icmp_code=0",
                 c->icmp_id, c->icmp_type);
    } else {
        snprintf(buf, PORTS_STRLEN, "ct_tp_src=%d,ct_tp_dst=%d",
                 c->client_port, c->vip_port);
    }
    return buf;
}

/* Flushes one connection over the control socket. */
static bool
control_flush(struct conntrack *ct, uint16_t zone, const struct connection *c,
              char **why)
{
    const char *family = ip_is_v4(&c->vip) ? "nw" : "ipv6";
    char src[IP_STRLEN], dst[IP_STRLEN], ports[PORTS_STRLEN];
    char *tuple = lb_xasprintf("ct_%s_src=%s,ct_%s_dst=%s,ct_nw_proto=%d,%s",
                               family, ip_format(&c->client, src),
                               family, ip_format(&c->vip, dst),
                               c->protocol, format_ports(c, ports));
    char *zone_arg = lb_xasprintf("zone=%d", zone);
    const char *const args[] = { ct->datapath, zone_arg, tuple, NULL };
    char *reply;

    /* Open vSwitch 3.1 cannot be told the datapath here, and earlier ones need
     * it only if there are several. */
    bool ok = unixctl_call(ct->unixctl, "dpctl/flush-conntrack",
                           &args[ct->n_datapaths == 1], &reply);

    if (ok) {
        free(reply);
    } else {
        *why = reply;
    }
    free(zone_arg);
    free(tuple);
    return ok;
}

bool
conntrack_control_flush(const struct session *session, uint16_t zone,
                        const struct connection_list *found, char **why)
{
    struct conntrack ct;
    bool ok;

    assert(zone);
    if (!conntrack_open(session, &ct, why)) {
        return false;
    }
    ok = true;
    for (size_t i = 0; ok && i < found->n; i++) {
        ok = control_flush(&ct, zone, &found->connections[i], why);
    }
    conntrack_close(&ct);
    return ok;
}

static void
warn_refused(const struct session *session, struct diags *diags)
{
    diag_warning(diags, NULL, "bridge \"%s\" cannot cut connections, which "
                 "takes Open vSwitch 3.1: those of servers that are gone get "
                 "no more packets, and their clients wait until they give up",
                 session_bridge(session));
}

/* Cuts connections that cannot be seen. */
static bool
cut_blindly(struct session *session, uint16_t zone,
            const struct conntrack_target *targets, size_t n,
            struct diags *diags)
{
    const struct timespec pause = { .tv_nsec = BLIND_PAUSE_MS * 1000000L };
    struct ofpbuf **messages = lb_xcalloc(n, sizeof *messages);
    int refusal = 0;
    bool ok = true;

    for (int pass = 0; pass < 2 * BLIND_PASSES && ok && !refusal; pass++) {
        if (pass == BLIND_PASSES) {
            nanosleep(&pause, NULL);
        }
        for (size_t i = 0; i < n; i++) {
            messages[i] = encode_flush_target(&targets[i], zone);
        }
        ok = session_send_messages(session, messages, n, &refusal, diags);
    }
    free(messages);
    if (ok && refusal) {
        warn_refused(session, diags);
    }
    return ok;
}

/* Flushes 'found' in one way or the other.  Stores in '*done' whether there is
 * a way. */
static bool
flush_somehow(struct session *session, uint16_t zone,
              const struct connection_list *found, bool *done,
              struct diags *diags)
{
    int refusal;
    char *why;

    if (!flush_found(session, zone, found, &refusal, diags)) {
        return false;
    }
    *done = true;
    if (refusal
        && !conntrack_control_flush(session, zone, found, &why)) {
        warn_refused(session, diags);
        free(why);
        *done = false;
    }
    return true;
}

/* Flushes 'found' in 'zone', then their twins: the other way round, packets
 * would bring those back. */
static bool
flush_with_twins(struct session *session, uint16_t zone,
                 struct connection_list *found, bool *done,
                 struct diags *diags)
{
    uint16_t twin_zone = path_zone_for_snat(zone);
    struct connection_list twins;
    bool ok = flush_somehow(session, zone, found, done, diags);
    char *why;

    if (!ok || !*done) {
        return ok;
    } else if (!list_twins(session, twin_zone, found, &twins, &why)) {
        free(why);              /* The next look at 'zone' says so as well. */
        return true;
    } else if (twins.n) {
        ok = flush_somehow(session, twin_zone, &twins, done, diags);
    }
    connection_list_uninit(&twins);
    return ok;
}

/* As conntrack_cut(), with all targets in 'zone' itself; there are some. */
static bool
cut_in_zone(struct session *session, uint16_t zone,
            const struct conntrack_target *targets, size_t n,
            struct conntrack_result *result, struct diags *diags)
{
    bool can = true;
    bool ok = true;

    memset(result, 0, sizeof *result);
    for (int round = 0; round < MAX_ROUNDS && ok && can; round++) {
        struct connection_list found;
        char *why;

        if (!list_targets(session, zone, targets, n, round == 1, &found,
                          &why)) {
            free(why);
            result->counted = false;
            return cut_blindly(session, zone, targets, n, diags);
        }
        result->counted = true;
        result->n_cut += found.n;
        result->n_left = found.n;
        if (found.n) {
            ok = flush_with_twins(session, zone, &found, &can, diags);
        }
        connection_list_uninit(&found);
        if (round && !result->n_left) {
            return ok;
        }
    }
    result->n_cut -= result->n_left;
    if (ok && can) {
        diag_warning(diags, NULL, "bridge \"%s\" still has %zu connections "
                     "that should be cut", session_bridge(session),
                     result->n_left);
    }
    return ok;
}

static int
compare_vlans(const void *a_, const void *b_)
{
    const struct conntrack_target *a = a_;
    const struct conntrack_target *b = b_;

    return a->vlan < b->vlan ? -1 : a->vlan > b->vlan;
}

bool
conntrack_cut(struct session *session, uint16_t zone,
              const struct conntrack_target *targets, size_t n,
              struct conntrack_result *result, struct diags *diags)
{
    struct conntrack_target *sorted = lb_xcalloc(n, sizeof *sorted);
    bool ok = true;
    size_t end;

    *result = (struct conntrack_result) { .counted = true };
    if (n) {
        memcpy(sorted, targets, n * sizeof *sorted);
        qsort(sorted, n, sizeof *sorted, compare_vlans);
    }
    for (size_t i = 0; i < n && ok; i = end) {
        struct conntrack_result part;

        for (end = i; end < n && sorted[end].vlan == sorted[i].vlan; end++) {
            continue;
        }
        ok = cut_in_zone(session, path_vlan_zone(zone, sorted[i].vlan),
                         &sorted[i], end - i, &part, diags);
        result->counted = result->counted && part.counted;
        result->n_cut += part.n_cut;
        result->n_left += part.n_left;
    }
    free(sorted);
    return ok;
}
