/* SPDX-License-Identifier: Apache-2.0 */
#ifndef POLICIES_HASH_H
#define POLICIES_HASH_H 1

/* The one hash of the project
 * ===========================
 *
 * What it returns ends up in switches, as slot tables and ids that must come
 * out the same on every machine and in every later version, so it never
 * changes.  FNV-1a with 64 bits over the bytes (draft-eastlake-fnv, section
 * 2), then the finaliser of splitmix64 (Steele, Lea, Flood: Fast Splittable
 * Pseudorandom Number Generators, OOPSLA 2014) to spread the bits. */

#include <stdint.h>

/* Hash of the null-terminated string 's'. */
uint64_t hash_string(const char *s);

/* 2**64 over the golden ratio, the step of splitmix64. */
#define HASH_STEP UINT64_C(0x9e3779b97f4a7c15)

/* The finaliser of splitmix64. */
static inline uint64_t
hash_finalise(uint64_t x)
{
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

/* Mixes 'x' into the hash 'h': this is element 'x', counted from 0, of the
 * sequence that splitmix64 draws from the seed 'h'.  Here for the compiler to
 * see: slot tables draw millions. */
static inline uint64_t
hash_mix(uint64_t h, uint64_t x)
{
    return hash_finalise(h + HASH_STEP * (x + 1));
}

#endif /* policies/hash.h */
