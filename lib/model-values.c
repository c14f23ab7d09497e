/* SPDX-License-Identifier: Apache-2.0 */

/* Values that more than one kind of mapping has. */

#include "lib/model-internal.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

bool
value_u16(const struct reader *r, const struct node *node, long min, long max,
         uint16_t *value)
{
    long number;

    if (!value_number(r, node, min, max, &number)) {
        return false;
    }
    *value = number;
    return true;
}

bool
value_flag(const struct reader *r, const struct node *node, bool *value)
{
    int flag;

    if (!value_word(r, node, flag_words, &flag)) {
        return false;
    }
    *value = flag;
    return true;
}

bool
value_duration(const struct reader *r, const struct node *node, long max,
               long *seconds)
{
    const char *text;
    size_t n_digits;
    long factor;

    if (!value_text(r, node, &text)) {
        return false;
    }
    n_digits = strspn(text, "0123456789");
    factor = (!text[n_digits] || !strcmp(&text[n_digits], "s") ? 1
              : !strcmp(&text[n_digits], "m") ? 60
              : !strcmp(&text[n_digits], "h") ? 3600 : 0);
    *seconds = (n_digits && n_digits <= 6
                ? strtol(text, NULL, 10) * factor : 0);
    if (*seconds < 1 || *seconds > max) {
        reader_error(r, &node->loc, "%s must be 1 to %ld seconds, or as in "
                     "90s, 10m or 1h, not %s", r->key, max, DIAG_QUOTE(text));
        return false;
    }
    return true;
}

/* "500ms", "2s". */
#define MS_STRLEN 24
static const char *
format_milliseconds(uint32_t ms, char buf[MS_STRLEN])
{
    if (ms % 1000) {
        snprintf(buf, MS_STRLEN, "%"PRIu32"ms", ms);
    } else {
        snprintf(buf, MS_STRLEN, "%"PRIu32"s", ms / 1000);
    }
    return buf;
}

bool
value_milliseconds(const struct reader *r, const struct node *node,
                   uint32_t min, uint32_t max, uint32_t *value)
{
    static const struct {
        const char *name;
        uint64_t factor;
    } units[] = {
        { "ms", 1 }, { "s", 1000 }, { "", 1000 }, { "m", 60000 },
        { "h", 3600000 },
    };
    char low[MS_STRLEN], high[MS_STRLEN];
    size_t n_digits;
    const char *text;

    if (!value_text(r, node, &text)) {
        return false;
    }
    n_digits = strspn(text, "0123456789");
    for (size_t i = 0; i < LB_ARRAY_SIZE(units); i++) {
        uint64_t ms = strtoull(text, NULL, 10) * units[i].factor;

        if (n_digits && n_digits <= 7 && !strcmp(text + n_digits,
                                                 units[i].name)
            && ms >= min && ms <= max) {
            *value = ms;
            return true;
        }
    }
    reader_error(r, &node->loc, "%s must be %s to %s, as in 500ms, 2s or 1m, "
                 "not %s", r->key, format_milliseconds(min, low),
                 format_milliseconds(max, high), DIAG_QUOTE(text));
    return false;
}

/* Names stand in commands and in output that programs read: "web/s1". */
bool
value_name(const struct reader *r, const struct node *node, char **name)
{
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    const char *text;

    if (!value_text(r, node, &text)) {
        return false;
    }
    if (text[strspn(text, allowed)]) {
        reader_error(r, &node->loc, "%s may have letters, digits, \".\", "
                     "\"_\" and \"-\", not %s", r->key, DIAG_QUOTE(text));
        return false;
    }
    if (*text == '-' || *text == '.') {
        reader_error(r, &node->loc, "%s must not begin with \"%c\"",
                     r->key, *text);
        return false;
    }
    if (strlen(text) > MODEL_MAX_NAME) {
        reader_error(r, &node->loc, "%s must not be longer than %d characters",
                     r->key, MODEL_MAX_NAME);
        return false;
    }
    *name = lb_xstrdup(text);
    return true;
}

static const char *
find_ipv6_flaw(const struct in6_addr *addr)
{
    static const struct in6_addr zero;

    return (IN6_IS_ADDR_UNSPECIFIED(addr) ? "the address of nobody"
            : IN6_IS_ADDR_LOOPBACK(addr) ? "a loopback address"
            : IN6_IS_ADDR_MULTICAST(addr) ? "a multicast address"
            : IN6_IS_ADDR_LINKLOCAL(addr) ? "a link-local address, which is "
                                            "good on one link only"
            : !memcmp(addr, &zero, 12) ? "in ::/96, which no host has"
            : NULL);
}

/* What is wrong with 'ip' as the address of a host, NULL if nothing. */
static const char *
find_ip_flaw(const struct ip *ip)
{
    uint32_t v4 = ip_v4(ip);

    if (!ip_is_v4(ip)) {
        return find_ipv6_flaw(&ip->addr);
    }
    return (v4 == UINT32_MAX ? "the broadcast address"
            : v4 >> 28 == 14 ? "a multicast address"
            : v4 >> 24 == 127 ? "a loopback address"
            : v4 >> 24 == 0 ? "in 0.0.0.0/8, which no host has"
            : NULL);
}

/* Queues the error for a text that is no address as addresses are written
 * here. */
static void
report_no_ip(const struct reader *r, const struct node *node, const char *text)
{
    struct in6_addr addr;

    if (inet_pton(AF_INET6, text, &addr) == 1) {
        char v4[INET_ADDRSTRLEN];

        reader_error(r, &node->loc, "%s is %s, an IPv4 address in the form of "
                     "IPv6; write %s", r->key, text,
                     inet_ntop(AF_INET, &addr.s6_addr[12], v4, sizeof v4));
    } else if (strchr(text, '%') && strchr(text, ':')) {
        reader_error(r, &node->loc, "%s must be an address without a zone "
                     "(\"%%...\"), not %s", r->key, DIAG_QUOTE(text));
    } else {
        reader_error(r, &node->loc, "%s must be an address such as 10.0.0.1 "
                     "or 2001:db8::1, not %s", r->key, DIAG_QUOTE(text));
    }
}

bool
value_ip(const struct reader *r, const struct node *node, struct ip *ip)
{
    struct ip parsed;
    const char *text, *flaw;

    if (!value_text(r, node, &text)) {
        return false;
    }
    if (!ip_from_string(text, &parsed)) {
        report_no_ip(r, node, text);
        return false;
    }
    flaw = find_ip_flaw(&parsed);
    if (flaw) {
        reader_error(r, &node->loc, "%s must be the address of a host, "
                     "%s is %s", r->key, text, flaw);
        return false;
    }
    *ip = parsed;
    return true;
}

/* Adds the address that 'node' gives.  There is one of each family. */
static bool
add_ip(const struct reader *r, const struct node *node, struct ips *ips)
{
    char a[IP_STRLEN], b[IP_STRLEN];
    const struct ip *other;
    struct ip ip;

    if (!value_ip(r, node, &ip)) {
        return false;
    }
    other = ips_find(ips, ip_family(&ip));
    if (other) {
        reader_error(r, &node->loc, "%s may have one address of each family, "
                     "and %s and %s are both %s", r->key, ip_format(other, a),
                     ip_format(&ip, b), family_name(ip_family(&ip)));
        return false;
    }
    if (ip_family(&ip) == FAMILY_V4) {
        memmove(&ips->ip[1], &ips->ip[0], sizeof ips->ip[0]);
        ips->ip[0] = ip;
    } else {
        ips->ip[ips->n] = ip;
    }
    ips->n++;
    return true;
}

bool
value_ips(const struct reader *r, const struct node *node, struct ips *ips)
{
    struct ips parsed = { .n = 0 };

    if (node->type != NODE_SEQUENCE) {
        return value_ip(r, node, &ips->ip[0]) && (ips->n = 1);
    } else if (!node->n_items) {
        reader_error(r, &node->loc, "%s must be an address, or a list of an "
                     "IPv4 and an IPv6 address, not an empty list", r->key);
        return false;
    }
    for (size_t i = 0; i < node->n_items; i++) {
        if (!add_ip(r, node->items[i], &parsed)) {
            return false;
        }
    }
    *ips = parsed;
    return true;
}

bool
value_mac(const struct reader *r, const struct node *node, struct mac *mac)
{
    static const struct mac zero;
    struct mac parsed;
    const char *text;

    if (!value_text(r, node, &text)) {
        return false;
    }
    if (!mac_from_string(text, &parsed)) {
        reader_error(r, &node->loc,
                     "%s must be six bytes such as 02:00:00:00:00:01, not %s",
                     r->key, DIAG_QUOTE(text));
        return false;
    }
    if (parsed.ea[0] & 1 || mac_equal(&parsed, &zero)) {
        reader_error(r, &node->loc, "%s must be the address of a host, "
                     "%s is %s", r->key, text,
                     parsed.ea[0] & 1 ? "a group address" : "nobody's");
        return false;
    }
    *mac = parsed;
    return true;
}

const char *
node_get_name(const struct node *node)
{
    const struct node *name = node_get(node, "name");

    return name && name->type == NODE_SCALAR && *name->scalar
           ? name->scalar : NULL;
}

const struct source_loc *
node_locate(const struct node *node, const char *key)
{
    const struct node *value = node_get(node, key);

    return value ? &value->loc : &node->loc;
}

bool
node_get_number(const struct node *node, const char *key, int64_t max,
                int64_t *value)
{
    const struct node *number = node_get(node, key);
    char *end;

    if (!number || number->type != NODE_SCALAR) {
        return false;
    }
    *value = strtoll(number->scalar, &end, 10);
    return end != number->scalar && !*end && *value >= 0 && *value <= max;
}
