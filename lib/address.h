/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LB_ADDRESS_H
#define LB_ADDRESS_H 1

/* Addresses of Ethernet and IP, and VLANs
 * ======================================
 *
 * To text, from text, compared.  IPv4 and IPv6 are one type here, so that most
 * of lbgen need not care which of them a pool is for. */

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* An Ethernet address. */
struct mac {
    uint8_t ea[6];
};

/* VLANs are 1 to 4094, or: */
#define VLAN_ANY 0              /* Left out. */
#define VLAN_NONE 4095          /* Untagged. */

/* An IPv4 address as v4-mapped IPv6, as OVS keeps them as well. */
struct ip {
    struct in6_addr addr;
};

enum family {
    FAMILY_V4,
    FAMILY_V6,
    N_FAMILIES
};

/* What a VIP or a server is reached by: one address, or one of each family,
 * IPv4 first.  Nothing translates between families, so what comes to a VIP of
 * one goes to the server's address of the same. */
struct ips {
    struct ip ip[N_FAMILIES];
    size_t n;                   /* 0 if they could not be read. */
};

/* The first 'length' bits of an address; the others are 0. */
struct prefix {
    struct ip ip;
    int length;
};

/* Text forms.  Buffers of these sizes always suffice. */
#define IP_STRLEN INET6_ADDRSTRLEN
#define MAC_STRLEN 18
const char *ip_format(const struct ip *, char buf[IP_STRLEN]);
const char *mac_format(const struct mac *, char buf[MAC_STRLEN]);
bool ip_from_string(const char *s, struct ip *);
bool mac_from_string(const char *s, struct mac *);
bool ip_is_v4(const struct ip *);
uint32_t ip_v4(const struct ip *);          /* Host byte order. */
struct ip ip_from_v4(uint32_t);             /* Likewise. */
bool ip_equal(const struct ip *, const struct ip *);
enum family ip_family(const struct ip *);
const char *family_name(enum family);       /* "IPv4" or "IPv6". */

/* The address of a family, NULL if there is none. */
const struct ip *ips_find(const struct ips *, enum family);

/* The mask of the first 'length' bits of an address.  For IPv4 what
 * ip_v4() gives of it. */
struct ip ip_prefix_mask(enum family, int length);

/* Whether 'ip' is among them; whether two have an address in common. */
bool ips_contain(const struct ips *, const struct ip *ip);
bool ips_meet(const struct ips *, const struct ips *);

/* An address and port as in "10.0.0.1:80" and "[fd00::1]:80"; without port if
 * that is 0. */
#define ENDPOINT_STRLEN (IP_STRLEN + 8)
const char *endpoint_format(const struct ip *, uint16_t port,
                            char buf[ENDPOINT_STRLEN]);

bool mac_equal(const struct mac *, const struct mac *);

/* The MAC of a VIP for which the file gives none: locally administered
 * (IEEE 802, second-least bit of the first byte), a function of the address
 * alone. */
struct mac ip_derive_mac(const struct ip *);

#endif /* lib/address.h */
