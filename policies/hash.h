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

/* Mixes 'x' into the hash 'h'. */
uint64_t hash_mix(uint64_t h, uint64_t x);

#endif /* policies/hash.h */
