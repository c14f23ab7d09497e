/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "lib/compile-pool.h"

#include <stdlib.h>
#include <string.h>

#include "lib/actions.h"
#include "lib/found.h"
#include "lib/path.h"

/* ICMP errors for all
 * ===================
 *
 * What a direct server sends comes from the VIP, and so an error about it, as
 * that a packet was too large for the way, is for the VIP and gets here.
 * Whose it is stands in the packet within the error.  Balancers that are
 * programs look there; the fields of OpenFlow end before it, and nothing is
 * remembered of these connections.
 *
 * So each server of the VIP gets a copy.  One that does not have the
 * connection takes no notice of it (RFC 5927, 4.1: hosts look for the
 * connection, and for the sequence number, before they believe an error).
 * That multiplies what somebody may send to the VIP by the number of servers,
 * which is why there is a limit to it.
 *
 *     entry:   error to the VIP -> error table, after connection tracking
 *              where pools that are tracked have the VIP as well
 *     error:   one flow for each VIP, with the servers of all its pools
 *
 * Copies come from the VIP's MAC, so that no switch beyond a port sees the
 * sender's there. */

struct copy {
    uint16_t port;
    uint16_t vlan;
    struct mac mac;
};

struct copies {
    struct copy *copies;
    size_t n;
    size_t allocated;
};

static int
compare_copies(const void *a_, const void *b_)
{
    const struct copy *a = a_, *b = b_;

    int result = memcmp(&a->mac, &b->mac, sizeof a->mac);

    return (result ? result
            : a->vlan != b->vlan ? (a->vlan < b->vlan ? -1 : 1)
            : a->port != b->port ? (a->port < b->port ? -1 : 1) : 0);
}

/* What a server that is not there lacks is reported elsewhere. */
static void
add_servers(const struct compiler *c, const struct pool *pool,
            struct copies *copies)
{
    for (size_t i = 0; i < pool->n_servers; i++) {
        const struct server *server = &pool->servers[i];
        uint16_t port = (server->missing || !server_is_located(server)
                         || server_effective_state(server) == SERVER_MAINT
                         ? PORT_NONE
                         : ports_find(c->ports, server_interface(server)));

        if (port != PORT_NONE) {
            copies->copies = lb_grow(copies->copies, copies->n,
                                     &copies->allocated,
                                     sizeof *copies->copies);
            copies->copies[copies->n++] = (struct copy) {
                port, path_server_vlan(pool, server), *server_mac(server)
            };
        }
    }
}

/* In an order that depends neither on that of the pools nor on numbers of
 * ports, which only a bridge has; each once. */
static void
sort_copies(struct copies *copies)
{
    size_t n = 0;

    if (copies->n) {
        qsort(copies->copies, copies->n, sizeof *copies->copies,
              compare_copies);
    }
    for (size_t i = 0; i < copies->n; i++) {
        if (!n || compare_copies(&copies->copies[n - 1],
                                 &copies->copies[i])) {
            copies->copies[n++] = copies->copies[i];
        }
    }
    copies->n = n;
}

/* Whether servers of some pool, in the VLAN of 'pool', see its 'vip' as their
 * client. */
static bool
is_snat(const struct compiler *c, const struct pool *pool,
        const struct ip *vip)
{
    for (size_t i = 0; i < c->model->n_pools; i++) {
        const struct path *path = &c->model->pools[i]->path;

        if (path->vlan == pool->path.vlan
            && ips_contain(&path->snat_ips, vip)) {
            return true;
        }
    }
    return false;
}

/* The first pool of that kind of the VIP of 'pool', or NULL. */
static const struct pool *
first_pool(const struct compiler *c, const struct pool *pool,
           const struct ip *vip, enum connections connections)
{
    struct model_vips at = model_pools_at(c->model, vip);

    for (size_t i = 0; i < at.n; i++) {
        const struct pool *other = *at.vips[i].pool;

        if (other->connections == connections
            && other->path.vlan == pool->path.vlan) {
            return other;
        }
    }
    return NULL;
}

static void
put_copies(struct compiler *c, const struct pool *pool,
           const struct copies *copies)
{
    uint16_t vlan = pool->path.vlan;

    /* They may go out where the error came in. */
    act_set_u16(&c->acts, MFF_IN_PORT, 0);
    act_set_mac(&c->acts, MFF_ETH_SRC, &pool->vip_mac);
    for (size_t i = 0; i < copies->n; i++) {
        const struct copy *copy = &copies->copies[i];

        if (copy->vlan != vlan) {
            act_change_vlan(&c->acts, vlan, copy->vlan);
            vlan = copy->vlan;
        }
        act_set_mac(&c->acts, MFF_ETH_DST, &copy->mac);
        act_output(&c->acts, copy->port);
    }
}

void
compile_error_copies(struct compiler *c, const struct pool *pool,
                     const struct ip *vip)
{
    struct model_vips at = model_pools_at(c->model, vip);
    struct copies copies = { .n = 0 };

    if (first_pool(c, pool, vip, CONNECTIONS_DIRECT) != pool) {
        return;
    }
    for (size_t i = 0; i < at.n; i++) {
        const struct pool *other = *at.vips[i].pool;

        if (other->connections == CONNECTIONS_DIRECT
            && other->path.vlan == pool->path.vlan) {
            add_servers(c, other, &copies);
        }
    }
    sort_copies(&copies);
    compiler_match_vlan(c, pool->path.vlan);
    compiler_match_to(c, PROTOCOL_ANY, vip, NULL);
    if (copies.n && copies.n <= PATH_MAX_COPIES) {
        put_copies(c, pool, &copies);
    }
    compiler_emit(c, compiler_table(c, TABLE_ERROR), 10,
                  cookie_make(COOKIE_COPY, 0, 0), &pool->loc);
    free(copies.copies);
    if (!first_pool(c, pool, vip, CONNECTIONS_TRACKED)
        && !is_snat(c, pool, vip)) {
        compile_errors_untracked(c, pool, vip);
    }
}
