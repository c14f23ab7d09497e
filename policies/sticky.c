/* SPDX-License-Identifier: Apache-2.0 */

/* Sticky
 * ======
 *
 * All connections of one client go to one server.  The switch picks the slot
 * by a hash of the client's address alone, so nothing is remembered for a
 * client and nothing expires; a client changes server only when its slot does.
 *
 * Weights are shares of the clients, not of the connections: a busy client
 * weighs as much as an idle one.
 *
 * "prefix" says how many leading bits of an IPv4 address count, "prefix6" of
 * an IPv6 address.  With 24, a whole /24 sticks to one server, which keeps
 * together clients that change address within their network; with 56 or 64, so
 * does what one customer of a provider usually has of IPv6, where hosts change
 * the rest of their address every day (RFC 8981).
 *
 * With "low_bits", the last bits of the address are the slot, without a hash:
 * eight of them for 256 slots.  However many clients there are, the datapath
 * then tells apart no more than 256 of them, where it has a flow for each
 * client otherwise.  The idea of splitting clients by bits of their addresses
 * is from Wang, Butnariu and Rexford, "OpenFlow-based server load balancing
 * gone wild" (Hot-ICE 2011).  It takes for granted that those bits are spread
 * evenly, which the leading ones never are. */

#include "lib/util.h"
#include "policies/policy.h"

enum {
    STICKY_PREFIX,
    STICKY_PREFIX6,
    STICKY_LOW_BITS,
    STICKY_N_PARAMS
};

static const struct policy_param sticky_params[STICKY_N_PARAMS] = {
    [STICKY_PREFIX] = {
        .name = "prefix", .min = 1, .max = 32, .value = 32, .ip_version = 4
    },
    [STICKY_PREFIX6] = {
        .name = "prefix6", .min = 1, .max = 128, .value = 128, .ip_version = 6
    },
    [STICKY_LOW_BITS] = { .name = "low_bits", .is_flag = true },
};

static void
sticky_distribute(const struct policy_server *servers, size_t n,
                  const long *params, struct distribution *dist)
{
    for (size_t i = 0; i < n; i++) {
        dist->shares[i] = servers[i].weight;
    }
    dist->selection = (params[STICKY_LOW_BITS] ? POLICY_BY_LOW_BITS
                       : POLICY_BY_CLIENT);
    dist->client_prefix = (int) params[STICKY_PREFIX];
    dist->client_prefix6 = (int) params[STICKY_PREFIX6];
}

static const char *
sticky_find_flaw(const long *params)
{
    return (params[STICKY_LOW_BITS]
            && (params[STICKY_PREFIX] != sticky_params[STICKY_PREFIX].value
                || (params[STICKY_PREFIX6]
                    != sticky_params[STICKY_PREFIX6].value))
            ? "sticky with low_bits has no prefix" : NULL);
}

const struct policy sticky_policy = {
    .name = "sticky",
    .params = sticky_params,
    .n_params = STICKY_N_PARAMS,
    .distribute = sticky_distribute,
    .find_flaw = sticky_find_flaw,
};
