/* SPDX-License-Identifier: Apache-2.0 */

/* Pools by VIP, so that with thousands of them each still finds those that it
 * has to get on with at once. */

#include "lib/model.h"

#include <stdlib.h>
#include <string.h>

#include "lib/util.h"

/* By address, then as in the file. */
static int
compare_vips(const void *a_, const void *b_)
{
    const struct model_vip *a = a_;
    const struct model_vip *b = b_;
    int cmp = memcmp(&a->ip, &b->ip, sizeof a->ip);

    return cmp ? cmp : (a->pool > b->pool) - (a->pool < b->pool);
}

void
model_index_vips(struct model *model)
{
    free(model->vips);
    model->vips = lb_xcalloc(model->n_pools * N_FAMILIES + 1,
                             sizeof *model->vips);
    model->n_vips = 0;
    for (size_t i = 0; i < model->n_pools; i++) {
        const struct pool *pool = model->pools[i];

        for (size_t j = 0; j < pool->vips.n; j++) {
            model->vips[model->n_vips++] = (struct model_vip) {
                .ip = pool->vips.ip[j], .pool = &model->pools[i]
            };
        }
    }
    qsort(model->vips, model->n_vips, sizeof *model->vips, compare_vips);
}

struct model_vips
model_pools_at(const struct model *model, const struct ip *ip)
{
    struct model_vip first = { .ip = *ip };
    size_t low = 0, high = model->n_vips;
    struct model_vips found;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (compare_vips(&model->vips[middle], &first) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    found = (struct model_vips) { .vips = model->vips + low };
    while (low + found.n < model->n_vips
           && ip_equal(&found.vips[found.n].ip, ip)) {
        found.n++;
    }
    return found;
}
