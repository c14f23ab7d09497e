/* SPDX-License-Identifier: Apache-2.0 */

/* FNV-1a takes a string of any length in one short loop, but its last byte
 * hardly reaches the high bits; the finaliser of splitmix64 is a bijection in
 * which every input bit reaches every output bit.  Together they are small
 * enough to be written again by whoever wants to check a table. */

#include "policies/hash.h"

#define FNV_OFFSET UINT64_C(0xcbf29ce484222325)
#define FNV_PRIME UINT64_C(0x100000001b3)

/* 2**64 over the golden ratio, the step of splitmix64. */
#define SPLITMIX_STEP UINT64_C(0x9e3779b97f4a7c15)

/* The finaliser of splitmix64. */
static uint64_t
finalise(uint64_t x)
{
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

uint64_t
hash_string(const char *s)
{
    uint64_t h = FNV_OFFSET;

    for (const unsigned char *p = (const unsigned char *) s; *p; p++) {
        h = (h ^ *p) * FNV_PRIME;
    }
    return finalise(h);
}

/* This is element 'x', counted from 0, of the sequence that splitmix64 draws
 * from the seed 'h'. */
uint64_t
hash_mix(uint64_t h, uint64_t x)
{
    return finalise(h + SPLITMIX_STEP * (x + 1));
}
