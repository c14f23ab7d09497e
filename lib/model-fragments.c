/* SPDX-License-Identifier: Apache-2.0 */

/* "fragments", and which pools get packets in parts right: see
 * lib/compile-fragment.c. */

#include "lib/model-internal.h"

bool
pool_fragments_read(const struct reader *r, const struct node *node,
                    void *pool_)
{
    static const struct word words[] = { { "drop", 1 }, { NULL, 0 } };
    struct pool *pool = pool_;
    int value;

    if (!value_word(r, node, words, &value)) {
        return false;
    }
    pool->drop_fragments = value;
    return true;
}

void
pool_fragments_check(const struct reader *r, const struct node *pool_node,
                     const struct pool *pool)
{
    const struct node *fragments = node_get(pool_node, "fragments");

    if (fragments && pool->connections == CONNECTIONS_TRACKED) {
        reader_error(r, &fragments->loc, "fragments is not for "
                     "\"connections: tracked\", which puts them together");
    }
}

bool
pool_may_be_meant(const struct pool *other, const struct pool *pool,
                  const struct ip *vip)
{
    return (other != pool && other->path.vlan == pool->path.vlan
            && ips_contain(&other->vips, vip)
            && (other->protocol == pool->protocol
                || other->protocol == PROTOCOL_ANY
                || pool->protocol == PROTOCOL_ANY));
}

bool
model_keeps_fragments(const struct model *model, const struct pool *pool,
                      const struct ip *vip)
{
    struct model_vips at;

    if (pool->connections != CONNECTIONS_DIRECT
        || pool->drop_fragments || !pool_goes_by_client(pool)
        || pool_scope(pool) == POOL_SCOPE_PORTS
        || (!ip_is_v4(vip) && pool->protocol != PROTOCOL_ANY)) {
        return false;
    }
    at = model_pools_at(model, vip);
    for (size_t i = 0; i < at.n; i++) {
        if (pool_may_be_meant(*at.vips[i].pool, pool, vip)) {
            return false;
        }
    }
    return true;
}

void
model_warn_of_fragments(const struct model *model, const struct pool *pool,
                        struct diags *diags)
{
    if (pool->connections == CONNECTIONS_TRACKED || pool->drop_fragments
        || (pool->protocol != PROTOCOL_UDP
            && pool->protocol != PROTOCOL_ANY)) {
        return;
    }
    for (size_t i = 0; i < pool->vips.n; i++) {
        if (!model_keeps_fragments(model, pool, &pool->vips.ip[i])) {
            diag_warning(diags, &pool->loc, "pool \"%s\": datagrams that come "
                         "in fragments are dropped, because only a tracked "
                         "pool knows where parts without ports belong; "
                         "\"fragments: drop\" accepts it", pool->name);
            return;
        }
    }
}
