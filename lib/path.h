/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LB_PATH_H
#define LB_PATH_H 1

/* How packets get to the servers of a pool and back
 * =================================================
 *
 * What a file says about it beyond addresses: who is to be sent replies, whose
 * address servers see, what the switch answers ARP for, which VLAN all this is
 * in, which router a server is behind.
 *
 * Pure. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "lib/model.h"

/* Fills in '*ports' with the source ports that connections get at 'ip', the
 * address that servers see instead of the client's: the largest block, of
 * those that one match is enough for, that no pool of 'model' takes in the
 * VLAN and protocol of 'pool'.  Every port for a pool of every protocol, some
 * of which have none.  False if there is no block. */
bool path_snat_ports(const struct model *model, const struct pool *,
                     const struct ip *ip, struct port_set *ports);

/* The MAC that 'ip' has, an address that the servers of 'pool' see instead of
 * the client's: if it is a VIP, of whatever pool, that one's, so that all who
 * use it agree. */
struct mac path_snat_mac(const struct model *model, const struct pool *,
                         const struct ip *ip);

/* The port that answers to checks from the switch come to at 'ip', in 'vlan':
 * one that no pool of 'model' takes, and no client uses. */
uint16_t path_check_port(const struct model *model, uint16_t vlan,
                         const struct ip *ip);

/* Whether each reply goes to the MAC that its requests came from. */
bool path_replies_to_sender(const struct pool *);

/* The VLAN that 'server' of 'pool' is in, as the pool's. */
uint16_t path_server_vlan(const struct pool *, const struct server *server);

/* Whether something can be in both VLANs: they are the same, or a file does
 * not say which one is meant. */
bool path_vlans_meet(uint16_t, uint16_t);

/* Who is asked for the MAC of packets to 'server': itself, or the router that
 * it is behind. */
const struct ips *path_next_hop(const struct server *server);

/* Zones of connection tracking: for the connections of 'pool', and for their
 * other half if servers see another address than the client's.  All that
 * lbgen could ever use are PATH_ZONES from that of the settings on. */
#define PATH_ZONES 8192
uint16_t path_zone(const struct settings *, const struct pool *);
uint16_t path_snat_zone(const struct settings *, const struct pool *);

/* How many servers of a VIP get copies of an ICMP error at the most: see
 * lib/compile-copies.c. */
#define PATH_MAX_COPIES 256

/* The zone of what is also given another source, beside 'zone'. */
uint16_t path_zone_for_snat(uint16_t zone);

/* The zone of pools in 'vlan' where that of the settings is 'zone'. */
uint16_t path_vlan_zone(uint16_t zone, uint16_t vlan);

/* What the file says of a pool's (a server's) way, in short: "snat 10.0.0.200,
 * vlan 100"; or "none".  Cut off at 'size' bytes. */
void path_format(const struct pool *, char *buf, size_t size);
void path_format_server(const struct server *, char *buf, size_t size);

/* "100" or "none"; "any" if the file says nothing. */
#define VLAN_STRLEN 8
const char *vlan_format(uint16_t vlan, char buf[VLAN_STRLEN]);

/* "10.0.1.0/24" */
#define PREFIX_STRLEN (IP_STRLEN + 4)
const char *prefix_format(const struct prefix *, char buf[PREFIX_STRLEN]);

#endif /* lib/path.h */
