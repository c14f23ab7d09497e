/* SPDX-License-Identifier: Apache-2.0 */

/* FNV-1a takes a string of any length in one short loop, but its last byte
 * hardly reaches the high bits; the finaliser of splitmix64 is a bijection in
 * which every input bit reaches every output bit.  Together they are small
 * enough to be written again by whoever wants to check a table. */

#include "policies/hash.h"

#define FNV_OFFSET UINT64_C(0xcbf29ce484222325)
#define FNV_PRIME UINT64_C(0x100000001b3)

uint64_t
hash_string(const char *s)
{
    uint64_t h = FNV_OFFSET;

    for (const unsigned char *p = (const unsigned char *) s; *p; p++) {
        h = (h ^ *p) * FNV_PRIME;
    }
    return hash_finalise(h);
}
