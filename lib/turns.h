/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LB_TURNS_H
#define LB_TURNS_H 1

/* Turns: the order in which servers get new connections
 * =====================================================
 *
 * What slots are to policies that pick by a hash, turns are to those that go
 * by an order ("round-robin").  There are as many as make all shares exact,
 * for plain weights their sum over their greatest common divisor; where that
 * is more than the pool has slots, as many as slots, each server with its
 * quota of them (lib/slots.h).
 *
 * A function of the pool alone, and so never recorded.  Pure. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/assign.h"
#include "lib/model.h"

/* A pool's turns, in order.  None if no server takes new connections. */
struct turns {
    size_t n;
    uint16_t *servers;          /* Of each turn: index in the pool. */
    uint16_t *before;           /* And how many turns that has before it. */
    size_t *first;              /* Of each server: its first turn or, if it has
                                 * none, that of the next in the file that
                                 * does, from its beginning again after its
                                 * end. */
};

/* How many turns each server of 'pool' gets.  'quotas' has room for one number
 * for each server.  Returns their sum. */
size_t turns_apportion(const struct pool *pool, uint16_t *quotas);

/* Fills in '*turns' for 'pool', which goes by turns. */
void turns_compute(const struct pool *pool, struct turns *turns);
void turns_uninit(struct turns *);

/* How a switch knows turn 'turn' of 'a', as a number in a register: the server
 * that has it, by member id, and how many turns that server has before it.  So
 * a turn stays itself when others come and go.  Never 0. */
#define TURN_MEMBER_SHIFT 16
#define TURN_MEMBER_MASK UINT32_C(0xffff0000)
uint32_t turn_id(const struct assignment *a, const struct turns *turns,
                 size_t turn);

/* The turn with that id.  Where there is none (any more), the one that the
 * switch takes instead: that in 'turns->first' for the server, turn 0 if that
 * is not known.  There must be a turn. */
size_t turn_find(const struct assignment *a, const struct turns *turns,
                 uint32_t id);

/* The first turn after 'turn' that is another server's, or 'turn' itself if
 * there is none. */
size_t turn_after(const struct turns *, size_t turn);

/* How many turns of dead servers the switch passes over at most for one
 * connection.  Each costs two of the 64 levels that it goes down. */
#define TURNS_MAX_PASSED 16

/* The turn that a connection takes when it is 'turn': that, if 'dead', by
 * index in the pool, is false for its server, else the next one that is a
 * living server's.  SIZE_MAX if too many are dead: then a hash chooses. */
size_t turn_pass_over(const struct turns *, size_t turn, const bool *dead);

#endif /* lib/turns.h */
