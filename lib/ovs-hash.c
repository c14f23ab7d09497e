/* SPDX-License-Identifier: Apache-2.0 */

/* MurmurHash3_x86_32 (Austin Appleby, public domain, 2011) in one build,
 * CRC-32C (Castagnoli, polynomial 0x1edc6f41; RFC 3720, appendix B.4), without
 * inversions and with a finisher, in the other.  Open vSwitch differs from
 * Murmur in the last bytes of data whose length is no multiple of 4: they are
 * padded with zeros and count as a word. */

#include "lib/ovs-hash.h"

#include <string.h>

/* The Castagnoli polynomial, bits in reverse. */
#define CRC32C_POLYNOMIAL UINT32_C(0x82f63b78)

/* The multiplier that hash_finish() of Open vSwitch applies to a CRC. */
#define CRC_FINISHER UINT32_C(0x805204f3)

/* What flow_hash_5tuple() ends with. */
#define TUPLE_FINAL 42

static uint32_t
rotate(uint32_t x, int n)
{
    return x << n | x >> (32 - n);
}

/* The body of MurmurHash3_x86_32 for one word; mhash_add() of lib/hash.h. */
static uint32_t
murmur_add(uint32_t hash, uint32_t word)
{
    hash ^= rotate(word * UINT32_C(0xcc9e2d51), 15) * UINT32_C(0x1b873593);
    return rotate(hash, 13) * 5 + UINT32_C(0xe6546b64);
}

/* The finaliser of MurmurHash3_x86_32; mhash_finish() of lib/hash.h. */
static uint32_t
murmur_finish(uint32_t hash)
{
    hash = (hash ^ hash >> 16) * UINT32_C(0x85ebca6b);
    hash = (hash ^ hash >> 13) * UINT32_C(0xc2b2ae35);
    return hash ^ hash >> 16;
}

/* What the instruction crc32 does with a word of 32 bits. */
static uint32_t
crc_add(uint32_t crc, uint32_t word)
{
    crc ^= word;
    for (int i = 0; i < 32; i++) {
        crc = crc >> 1 ^ (crc & 1 ? CRC32C_POLYNOMIAL : 0);
    }
    return crc;
}

/* hash_add() of lib/hash.h. */
static uint32_t
add(enum ovs_hash_build build, uint32_t hash, uint32_t word)
{
    return (build == OVS_HASH_MURMUR ? murmur_add(hash, word)
            : crc_add(hash, word));
}

/* hash_finish() of lib/hash.h. */
static uint32_t
finish(enum ovs_hash_build build, uint32_t hash, uint32_t final)
{
    if (build == OVS_HASH_MURMUR) {
        return murmur_finish(hash ^ final);
    }
    hash = crc_add(crc_add(hash, final), 0) * CRC_FINISHER;
    return hash ^ hash >> 16;
}

uint32_t
ovs_hash_uint64(enum ovs_hash_build build, uint64_t x, uint32_t basis)
{
    uint32_t hash = add(build, add(build, basis, (uint32_t) x), x >> 32);

    return finish(build, hash, build == OVS_HASH_MURMUR ? 8 : 23);
}

/* hash_2words() of lib/hash.h. */
uint32_t
ovs_hash_int(enum ovs_hash_build build, uint32_t x, uint32_t basis)
{
    if (build == OVS_HASH_MURMUR) {
        return finish(build, add(build, add(build, x, 0), basis), 8);
    }
    return ovs_hash_uint64(build, (uint64_t) basis << 32 | x, 0);
}

/* The first 'n' bytes at 'p', at most 4, with zeros for the rest. */
static uint32_t
load_word(const uint8_t *p, size_t n)
{
    uint32_t word = 0;

    for (size_t i = 0; i < n; i++) {
        word |= (uint32_t) p[i] << 8 * i;
    }
    return word;
}

/* Adds 'n' bytes to 'hash', a word at a time. */
static uint32_t
add_bytes(enum ovs_hash_build build, uint32_t hash, const void *p_, size_t n)
{
    const uint8_t *p = p_;

    for (size_t i = 0; i < n; i += 4) {
        hash = add(build, hash, load_word(p + i, n - i < 4 ? n - i : 4));
    }
    return hash;
}

uint32_t
ovs_hash_bytes(enum ovs_hash_build build, const void *p, size_t n,
               uint32_t basis)
{
    return finish(build, add_bytes(build, basis, p, n), n);
}

/* Adds an address as packets carry it. */
static uint32_t
add_ip(enum ovs_hash_build build, uint32_t hash, const struct ip *ip)
{
    const uint8_t *bytes = ip->addr.s6_addr;

    return (ip_is_v4(ip) ? add_bytes(build, hash, &bytes[12], 4)
            : add_bytes(build, hash, bytes, 16));
}

uint32_t
ovs_hash_5tuple(enum ovs_hash_build build, const struct ovs_tuple *tuple)
{
    const uint8_t ports[4] = {
        tuple->src_port >> 8, tuple->src_port & 0xff,
        tuple->dst_port >> 8, tuple->dst_port & 0xff,
    };
    uint32_t hash = add_ip(build, 0, &tuple->src);

    hash = add_ip(build, hash, &tuple->dst);
    hash = add(build, hash, tuple->protocol);
    hash = add_bytes(build, hash, ports, sizeof ports);
    return finish(build, hash, TUPLE_FINAL);
}

uint32_t
ovs_hash_dp(enum ovs_hash_build build, const struct ovs_tuple *tuple,
            uint32_t basis)
{
    return ovs_hash_int(build, ovs_hash_5tuple(build, tuple), basis);
}
