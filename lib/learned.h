/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LB_LEARNED_H
#define LB_LEARNED_H 1

/* What the switch remembers of pools by itself
 * ============================================
 *
 * Whose turn it is (lib/compile-turn.c), and which server a client stays with
 * (lib/compile-affinity.c), in flows that the switch learns.  They are no part
 * of the desired state and change with every connection, so they are read on
 * their own, for those who want to know how things stand now. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/address.h"
#include "lib/assign.h"
#include "lib/diag.h"
#include "lib/reach.h"
#include "lib/session.h"

/* The next turn of a pool. */
struct learned_turn {
    uint16_t pool;              /* Its id. */
    uint32_t turn;              /* As in lib/turns.h. */
};

/* A client and the server that it stays with. */
struct learned_client {
    uint16_t pool;              /* Its id. */
    uint16_t member;
    struct ip ip;
    uint32_t duration;          /* Seconds since it got that server. */
    uint16_t idle_timeout;      /* Seconds. */
    int idle_age;               /* Seconds since its last packet, as far as the
                                 * switch has counted; or negative. */
};

struct learned {
    struct learned_turn *turns;
    size_t n_turns;
    size_t allocated_turns;
    struct learned_client *clients;
    size_t n_clients;
    size_t allocated_clients;
};

/* Reads what pools of 'assignments' are remembered.  Returns false after
 * queueing an error. */
bool learned_read(struct session *, const struct assignments *,
                  struct learned *, struct diags *);
void learned_uninit(struct learned *);

/* The server that takes the next turn of 'a', which goes by turns, among those
 * that 'reach' says are not down.  SIZE_MAX if there is none, or if a hash
 * chooses since too many are down.  Stores in '*meant' whose turn it would be
 * if all were alive, or SIZE_MAX. */
size_t learned_next(const struct learned *, const struct assignment *a,
                    const struct reach *, size_t *meant);

/* The client of 'a' with that address, or NULL. */
const struct learned_client *learned_find(const struct learned *,
                                          const struct assignment *a,
                                          const struct ip *);

/* How many clients stay with server 'index' of 'a'. */
size_t learned_n_clients(const struct learned *, const struct assignment *a,
                         size_t index);

#endif /* lib/learned.h */
