/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "lib/conntrack.h"

#include <stdlib.h>
#include <string.h>

#include "lib/layout.h"

/* What the control socket prints of one connection is
 *
 *     tcp,orig=(src=10.0.1.1,dst=10.0.0.100,sport=40000,dport=80),reply=(src=
 *     10.0.0.1,dst=10.0.1.1,sport=8080,dport=40000),zone=27746,timeout=86399,
 *     mark=1888092164,protoinfo=(state=ESTABLISHED)
 *
 * with more or fewer members in another version or datapath.  So members are
 * found by name, and those that are not known are skipped. */

/* A piece of text within the line. */
struct span {
    const char *s;
    size_t n;
};

/* Takes from '*rest' the next "NAME=VALUE" or "NAME", up to a comma that is
 * not in parentheses.  Parentheses around all of the value are taken off. */
static bool
next_member(struct span *rest, struct span *name, struct span *value)
{
    const char *equals;
    size_t n = 0;
    int depth = 0;

    if (!rest->n) {
        return false;
    }
    while (n < rest->n && (depth || rest->s[n] != ',')) {
        depth += (rest->s[n] == '(') - (rest->s[n] == ')');
        n++;
    }
    equals = memchr(rest->s, '=', n);
    name->s = rest->s;
    name->n = equals ? (size_t) (equals - rest->s) : n;
    value->s = equals ? equals + 1 : rest->s + n;
    value->n = rest->s + n - value->s;
    if (value->n >= 2 && value->s[0] == '('
        && value->s[value->n - 1] == ')') {
        value->s++;
        value->n -= 2;
    }
    n += n < rest->n;
    rest->s += n;
    rest->n -= n;
    return true;
}

static bool
span_is(const struct span *span, const char *s)
{
    return span->n == strlen(s) && !memcmp(span->s, s, span->n);
}

/* Copies as much as has room. */
static void
span_copy(const struct span *span, char *buf, size_t size)
{
    size_t n = span->n < size ? span->n : size - 1;

    memcpy(buf, span->s, n);
    buf[n] = '\0';
}

static bool
span_number(const struct span *span, uint64_t max, uint64_t *number)
{
    *number = 0;
    for (size_t i = 0; i < span->n; i++) {
        if (span->s[i] < '0' || span->s[i] > '9') {
            return false;
        }
        *number = *number * 10 + (span->s[i] - '0');
        if (*number > max) {
            return false;
        }
    }
    return span->n > 0;
}

static bool
span_ip(const struct span *span, struct ip *ip)
{
    char text[IP_STRLEN];

    span_copy(span, text, sizeof text);
    return span->n < sizeof text && ip_from_string(text, ip);
}

/* One direction of a connection. */
struct tuple {
    struct ip src, dst;
    uint16_t sport, dport;      /* 0 for protocols without ports. */
    uint16_t id;                /* Of ICMP. */
    uint8_t type;
};

static bool
parse_port(const struct span *value, uint16_t *port)
{
    uint64_t number;

    if (!span_number(value, UINT16_MAX, &number)) {
        return false;
    }
    *port = number;
    return true;
}

static bool
parse_tuple(struct span rest, struct tuple *tuple)
{
    struct span name, value;
    bool has_src = false, has_dst = false;

    while (next_member(&rest, &name, &value)) {
        bool ok = true;

        if (span_is(&name, "src")) {
            ok = has_src = span_ip(&value, &tuple->src);
        } else if (span_is(&name, "dst")) {
            ok = has_dst = span_ip(&value, &tuple->dst);
        } else if (span_is(&name, "sport")) {
            ok = parse_port(&value, &tuple->sport);
        } else if (span_is(&name, "dport")) {
            ok = parse_port(&value, &tuple->dport);
        } else if (span_is(&name, "id")) {
            ok = parse_port(&value, &tuple->id);
        } else if (span_is(&name, "type")) {
            uint64_t type;

            ok = span_number(&value, UINT8_MAX, &type);
            tuple->type = type;
        }
        if (!ok) {
            return false;
        }
    }
    return has_src && has_dst;
}

static void
parse_protoinfo(struct span rest, struct connection *c)
{
    struct span name, value;

    while (next_member(&rest, &name, &value)) {
        if (span_is(&name, "state")) {
            span_copy(&value, c->state, sizeof c->state);
        }
    }
}

/* Takes in a member that is a number.  Marks are in decimal or, like flags, in
 * hexadecimal with "0x". */
static bool
parse_numbers(const struct span *name, const struct span *value,
              struct connection *c)
{
    uint64_t number = 0;
    bool ok = true;

    if (span_is(name, "zone")) {
        ok = span_number(value, UINT16_MAX, &number);
        c->zone = number;
    } else if (span_is(name, "timeout")) {
        ok = span_number(value, UINT32_MAX, &number);
        c->timeout = number;
    } else if (span_is(name, "mark")) {
        if (value->n > 2 && value->s[1] == 'x') {
            c->mark = strtoul(value->s, NULL, 16);
        } else {
            ok = span_number(value, UINT32_MAX, &number);
            c->mark = number;
        }
    }
    return ok;
}

/* The names that the control socket prints; it has numbers for others. */
static const struct {
    const char *name;
    uint8_t number;
} protocols[] = {
    { "tcp", IPPROTO_TCP }, { "udp", IPPROTO_UDP }, { "sctp", IPPROTO_SCTP },
    { "icmp", IPPROTO_ICMP }, { "icmpv6", IPPROTO_ICMPV6 },
};

static uint8_t
protocol_number(const struct span *name)
{
    uint64_t number;

    for (size_t i = 0; i < LB_ARRAY_SIZE(protocols); i++) {
        if (span_is(name, protocols[i].name)) {
            return protocols[i].number;
        }
    }
    return span_number(name, UINT8_MAX, &number) ? number : 0;
}

const char *
connection_protocol(const struct connection *c)
{
    for (size_t i = 0; i < LB_ARRAY_SIZE(protocols); i++) {
        if (c->protocol == protocols[i].number) {
            return protocols[i].name;
        }
    }
    return "other";
}

bool
connection_parse(const char *line, struct connection *c)
{
    struct span rest = { line, strcspn(line, "\r\n") };
    struct span name, value;
    struct tuple orig = { .sport = 0 }, reply = { .sport = 0 };
    bool has_orig = false, has_reply = false;

    memset(c, 0, sizeof *c);
    c->timeout = -1;
    if (!next_member(&rest, &name, &value)) {
        return false;
    }
    c->protocol = protocol_number(&name);
    while (next_member(&rest, &name, &value)) {
        if (span_is(&name, "orig")) {
            has_orig = parse_tuple(value, &orig);
        } else if (span_is(&name, "reply")) {
            has_reply = parse_tuple(value, &reply);
        } else if (span_is(&name, "protoinfo")) {
            parse_protoinfo(value, c);
        } else if (span_is(&name, "start")) {
            span_copy(&value, c->start, sizeof c->start);
        } else if (!parse_numbers(&name, &value, c)) {
            return false;
        }
    }
    c->client = orig.src;
    c->client_port = orig.sport;
    c->vip = orig.dst;
    c->vip_port = orig.dport;
    c->server = reply.src;
    c->server_port = reply.sport;
    c->icmp_id = orig.id;
    c->icmp_type = orig.type;
    return has_orig && has_reply;
}

bool
connection_is_over(const struct connection *c)
{
    return !strcmp(c->state, "TIME_WAIT") || !strcmp(c->state, "CLOSED");
}

uint16_t
connection_member(const struct connection *c)
{
    return c->mark >> MARK_MEMBER_SHIFT;
}
