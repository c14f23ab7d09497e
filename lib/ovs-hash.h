/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LB_OVS_HASH_H
#define LB_OVS_HASH_H 1

/* The hash functions of Open vSwitch
 * ==================================
 *
 * What a switch computes when it picks a bucket, so that the result can be
 * foretold.  Written after the published algorithms and after what the sources
 * of Open vSwitch 3.1 define: lib/hash.h, lib/hash.c and lib/flow.c there.
 *
 * Open vSwitch has two kinds of hash, and which one is in use was decided when
 * it was built.  Both read memory word by word; here that is as little-endian
 * machines do it, which are all that either kind is common on. */

#include <stddef.h>
#include <stdint.h>

#include "lib/address.h"

enum ovs_hash_build {
    OVS_HASH_MURMUR,            /* Plain x86-64, and others. */
    OVS_HASH_CRC32C             /* Built for SSE 4.2, or for ARMv8 with CRC. */
};

/* hash_int() and hash_uint64_basis() of lib/hash.h, hash_bytes() of
 * lib/hash.c. */
uint32_t ovs_hash_int(enum ovs_hash_build, uint32_t x, uint32_t basis);
uint32_t ovs_hash_uint64(enum ovs_hash_build, uint64_t x, uint32_t basis);
uint32_t ovs_hash_bytes(enum ovs_hash_build, const void *, size_t n,
                        uint32_t basis);

/* The 5-tuple of a packet.  Both addresses are of one family. */
struct ovs_tuple {
    struct ip src;
    struct ip dst;
    uint8_t protocol;           /* TCP, UDP or another one with ports. */
    uint16_t src_port;          /* Host byte order. */
    uint16_t dst_port;
};

/* flow_hash_5tuple() and miniflow_hash_5tuple() of lib/flow.c, with basis 0:
 * what the userspace datapath hashes packets by for which the NIC has not done
 * that. */
uint32_t ovs_hash_5tuple(enum ovs_hash_build, const struct ovs_tuple *);

/* The "dp_hash" that the userspace datapath gives a packet with that tuple in
 * the action hash(l4(BASIS)): OVS_ACTION_ATTR_HASH in odp_execute_actions(),
 * lib/odp-execute.c. */
uint32_t ovs_hash_dp(enum ovs_hash_build, const struct ovs_tuple *,
                     uint32_t basis);

#endif /* lib/ovs-hash.h */
