/* SPDX-License-Identifier: Apache-2.0 */

#include "lib/address.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "policies/hash.h"

bool
ip_is_v4(const struct ip *ip)
{
    return IN6_IS_ADDR_V4MAPPED(&ip->addr);
}

uint32_t
ip_v4(const struct ip *ip)
{
    uint32_t be;

    memcpy(&be, &ip->addr.s6_addr[12], sizeof be);
    return ntohl(be);
}

struct ip
ip_from_v4(uint32_t v4)
{
    struct ip ip = { .addr.s6_addr = { [10] = 0xff, [11] = 0xff } };
    uint32_t be = htonl(v4);

    memcpy(&ip.addr.s6_addr[12], &be, sizeof be);
    return ip;
}

bool
ip_equal(const struct ip *a, const struct ip *b)
{
    return !memcmp(&a->addr, &b->addr, sizeof a->addr);
}

bool
mac_equal(const struct mac *a, const struct mac *b)
{
    return !memcmp(a->ea, b->ea, sizeof a->ea);
}

const char *
ip_format(const struct ip *ip, char buf[IP_STRLEN])
{
    if (ip_is_v4(ip)) {
        return inet_ntop(AF_INET, &ip->addr.s6_addr[12], buf, IP_STRLEN);
    }
    return inet_ntop(AF_INET6, &ip->addr, buf, IP_STRLEN);
}

enum family
ip_family(const struct ip *ip)
{
    return ip_is_v4(ip) ? FAMILY_V4 : FAMILY_V6;
}

const char *
family_name(enum family family)
{
    return family == FAMILY_V4 ? "IPv4" : "IPv6";
}

const struct ip *
ips_find(const struct ips *ips, enum family family)
{
    for (size_t i = 0; i < ips->n; i++) {
        if (ip_family(&ips->ip[i]) == family) {
            return &ips->ip[i];
        }
    }
    return NULL;
}

struct ip
ip_prefix_mask(enum family family, int length)
{
    int n_bits = length + (family == FAMILY_V4 ? 96 : 0);
    struct ip mask;

    for (int i = 0; i < 16; i++) {
        int n = n_bits - 8 * i;

        mask.addr.s6_addr[i] = (n >= 8 ? 0xff : n <= 0 ? 0
                                : 0xff << (8 - n) & 0xff);
    }
    return mask;
}

bool
ips_contain(const struct ips *ips, const struct ip *ip)
{
    const struct ip *own = ips_find(ips, ip_family(ip));

    return own && ip_equal(own, ip);
}

bool
ips_meet(const struct ips *a, const struct ips *b)
{
    for (size_t i = 0; i < a->n; i++) {
        if (ips_contain(b, &a->ip[i])) {
            return true;
        }
    }
    return false;
}

const char *
endpoint_format(const struct ip *ip, uint16_t port, char buf[ENDPOINT_STRLEN])
{
    char text[IP_STRLEN];

    snprintf(buf, ENDPOINT_STRLEN,
             !port ? "%s" : ip_is_v4(ip) ? "%s:%"PRIu16 : "[%s]:%"PRIu16,
             ip_format(ip, text), port);
    return buf;
}

const char *
mac_format(const struct mac *mac, char buf[MAC_STRLEN])
{
    snprintf(buf, MAC_STRLEN, "%02x:%02x:%02x:%02x:%02x:%02x",
             mac->ea[0], mac->ea[1], mac->ea[2],
             mac->ea[3], mac->ea[4], mac->ea[5]);
    return buf;
}

bool
ip_from_string(const char *s, struct ip *ip)
{
    struct in_addr v4;

    if (inet_pton(AF_INET, s, &v4) == 1) {
        *ip = ip_from_v4(ntohl(v4.s_addr));
        return true;
    }

    /* An IPv4 address has one way to write it. */
    return (inet_pton(AF_INET6, s, &ip->addr) == 1
            && !IN6_IS_ADDR_V4MAPPED(&ip->addr));
}

static int
hex_value(char c)
{
    return isdigit((unsigned char) c) ? c - '0' : (c | 0x20) - 'a' + 10;
}

bool
mac_from_string(const char *s, struct mac *mac)
{
    for (size_t i = 0; i < sizeof mac->ea; i++, s += 3) {
        char end = i < sizeof mac->ea - 1 ? ':' : '\0';

        if (!isxdigit((unsigned char) s[0]) || !isxdigit((unsigned char) s[1])
            || s[2] != end) {
            return false;
        }
        mac->ea[i] = hex_value(s[0]) << 4 | hex_value(s[1]);
    }
    return true;
}

struct mac
ip_derive_mac(const struct ip *ip)
{
    uint32_t low = ip_v4(ip);

    if (!ip_is_v4(ip)) {
        uint64_t halves[2] = { 0, 0 };

        for (size_t i = 0; i < 16; i++) {
            halves[i / 8] = halves[i / 8] << 8 | ip->addr.s6_addr[i];
        }
        low = hash_mix(halves[0], halves[1]);
    }
    return (struct mac) {
        .ea = { 0x02, 0x6c, low >> 24, low >> 16 & 0xff, low >> 8 & 0xff,
                low & 0xff },
    };
}
