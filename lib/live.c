/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "lib/live.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openvswitch/dynamic-string.h>

#include "lib/layout.h"

/* Returns the line at '*p' without its indent, stores the sizes of both, and
 * moves '*p' to the next line. */
static const char *
next_line(const char **p, size_t *indent, size_t *length)
{
    const char *line = *p + strspn(*p, " \t");

    *indent = line - *p;
    *length = strcspn(line, "\n");
    *p = line + *length + (line[*length] == '\n');
    return line;
}

static bool
starts_with(const char *s, const char *prefix)
{
    return !strncmp(s, prefix, strlen(prefix));
}

/* Datapaths begin a line, "netdev@ovs-netdev: ...".  Their bridges follow with
 * an indent, "br0:", and the ports of those, "p0 1/2: (dpdk: ...)".  A
 * datapath of any type but "system" is in ovs-vswitchd. */
void
live_parse_datapath(const char *text, const char *bridge,
                    struct explain_facts *facts)
{
    enum explain_datapath datapath = EXPLAIN_DATAPATH_UNKNOWN;
    bool is_ours = false;

    while (*text) {
        size_t indent, length;
        const char *line = next_line(&text, &indent, &length);

        if (!indent) {
            datapath = (starts_with(line, "system@") ? EXPLAIN_DATAPATH_KERNEL
                        : EXPLAIN_DATAPATH_USERSPACE);
        } else if (length && line[length - 1] == ':') {
            is_ours = (length == strlen(bridge) + 1
                       && starts_with(line, bridge));
            if (is_ours) {
                facts->datapath = datapath;
            }
        } else if (is_ours && !facts->nic_port
                   && memmem(line, length, ": (dpdk:", 8)) {
            facts->nic_port = lb_xmemdup0(line, strcspn(line, " "));
        }
    }
}

/* Asks for "bond/hash", which hashes a MAC for any caller and says the lowest
 * 8 bits: a way to see which hash function it is.  That BASES answers fit by
 * chance is out of the question. */
static void
ask_hash(struct live *live)
{
    enum { BASES = 4 };
    bool fits[2] = { true, true };

    for (uint32_t basis = 1; basis <= BASES; basis++) {
        char basis_arg[16];
        const char *const args[] = {
            "02:00:00:00:00:01", "0", basis_arg, NULL
        };
        char *reply;
        unsigned long hash;

        snprintf(basis_arg, sizeof basis_arg, "%"PRIu32, basis);
        if (!unixctl_call(live->unixctl, "bond/hash", args, &reply)) {
            free(reply);
            return;
        }
        hash = strtoul(reply, NULL, 10);
        free(reply);
        for (int build = 0; build < 2; build++) {
            fits[build] &= (ovs_hash_uint64(build, UINT64_C(0x020000000001),
                                            basis) & 0xff) == hash;
        }
    }
    live->facts.hash = (fits[0] || fits[1] ? EXPLAIN_HASH_KNOWN
                        : EXPLAIN_HASH_FOREIGN);
    live->facts.build = fits[1] ? OVS_HASH_CRC32C : OVS_HASH_MURMUR;
}

bool
live_open(const struct session *session, struct live *live, char **why)
{
    const char *const no_args[] = { NULL };
    char *directory, *text;
    bool ok = false;

    memset(live, 0, sizeof *live);
    if (!session_find_local(session, &directory, &live->bridge)) {
        *why = lb_xasprintf("bridge \"%s\" is reached by OpenFlow alone",
                            session_bridge(session));
        return false;
    }
    live->unixctl = unixctl_open(directory, session_timeout(session), why);
    free(directory);
    if (live->unixctl) {
        ok = unixctl_call(live->unixctl, "dpif/show", no_args, &text);
        if (ok) {
            live_parse_datapath(text, live->bridge, &live->facts);
            ask_hash(live);
            free(text);
        } else {
            *why = text;
        }
    }
    if (!ok) {
        live_close(live);
    }
    return ok;
}

void
live_close(struct live *live)
{
    if (live->unixctl) {
        unixctl_close(live->unixctl);
    }
    free(live->bridge);
    free(live->facts.nic_port);
    memset(live, 0, sizeof *live);
}

/* The packet in the syntax of ovs-ofctl(8).  The caller frees it. */
static char *
format_flow(const struct explanation *e)
{
    const struct ovs_tuple *tuple = &e->packet.tuple;
    const struct pool *pool = e->assignment->pool;
    /* Of all protocols, that of most connections. */
    const char *protocol = protocol_name(tuple->protocol ? tuple->protocol
                                         : PROTOCOL_TCP);
    bool v4 = ip_is_v4(&tuple->dst);
    char src[IP_STRLEN], dst[IP_STRLEN], mac[MAC_STRLEN];
    struct ds s = DS_EMPTY_INITIALIZER;

    if (e->has_pick && e->group->method == PICK_BY_DP_HASH) {
        /* 0 would mean "not hashed yet". */
        ds_put_format(&s, "dp_hash=0x%"PRIx32",",
                      e->pick.hash ? e->pick.hash
                                   : (uint32_t) e->group->n_slots);
    }
    ds_put_format(&s, "%s%s,dl_dst=%s,%s=%s,%s=%s,nw_ttl=64", protocol,
                  v4 ? "" : "6", mac_format(&pool->vip_mac, mac),
                  v4 ? "nw_src" : "ipv6_src", ip_format(&tuple->src, src),
                  v4 ? "nw_dst" : "ipv6_dst", ip_format(&tuple->dst, dst));
    if (pool->path.vlan != VLAN_ANY && pool->path.vlan != VLAN_NONE) {
        ds_put_format(&s, ",vlan_tci=0x%x", 0x1000 | pool->path.vlan);
    }
    if (e->packet.has_src_port) {
        ds_put_format(&s, ",%s_src=%"PRIu16, protocol, tuple->src_port);
    }
    ds_put_format(&s, ",%s_dst=%"PRIu16, protocol, tuple->dst_port);
    return ds_steal_cstr(&s);
}

/* Takes from the trace 'text' the bucket of our group and the server. */
static void
parse_trace(const char *text, const struct explanation *e,
            struct live_trace *trace)
{
    static const char using[] = "-> using bucket ";
    static const char cookie_is[] = "cookie 0x";
    struct ds kept = DS_EMPTY_INITIALIZER;
    char group[32];
    bool in_group = false;

    snprintf(group, sizeof group, "group:%"PRIu32"\n",
             e->group_id);
    while (*text) {
        const char *begin = text;
        size_t indent, length;
        const char *line = next_line(&text, &indent, &length);
        const char *cookie = memmem(line, length, cookie_is,
                                    strlen(cookie_is));

        if (starts_with(line, "-> bucket ")
            && memmem(line, length, ": score ", 8)) {
            continue;
        }
        ds_put_buffer(&kept, begin, text - begin);
        if (starts_with(line, "group:")) {
            in_group = starts_with(line, group);
        } else if (in_group && starts_with(line, using)) {
            trace->has_bucket = true;
            trace->bucket = strtoul(line + strlen(using), NULL, 10);
        } else if (cookie) {
            uint64_t value = strtoull(cookie + strlen("cookie "), NULL, 16);

            if ((value & COOKIE_MASK) == COOKIE_MAGIC
                && cookie_kind(value) == COOKIE_SERVER
                && cookie_pool(value) == e->assignment->id) {
                trace->member = cookie_member(value);
            }
        }
    }
    trace->text = ds_steal_cstr(&kept);
}

bool
live_trace(struct live *live, const struct explanation *e,
            struct live_trace *trace, char **why)
{
    char *flow = format_flow(e);
    const char *const args[] = {
        live->bridge, flow, "--ct-next", "trk,new", NULL
    };
    char *text;
    bool ok = unixctl_call(live->unixctl, "ofproto/trace", args, &text);

    memset(trace, 0, sizeof *trace);
    if (ok) {
        trace->flow = flow;
        parse_trace(text, e, trace);
        free(text);
    } else {
        free(flow);
        *why = text;
    }
    return ok;
}

void
live_trace_uninit(struct live_trace *trace)
{
    free(trace->flow);
    free(trace->text);
}

bool
live_trace_agrees(const struct live_trace *trace,
                   const struct explanation *e)
{
    bool meets_group = (!e->is_resident && !e->remembered && e->group
                        && e->group->id);

    if (e->answer != EXPLAIN_SERVER || (meets_group && !trace->has_bucket)
        || e->assignment->members[e->server] != trace->member) {
        return false;
    }
    return (!e->has_pick || e->group->is_flows
            || explain_bucket(e)->id == trace->bucket);
}
