/* SPDX-License-Identifier: Apache-2.0 */

#include "policies/policy.h"

#include <string.h>

const struct policy *const policies[] = {
    &wrr_policy,
    &random_policy,
    &sticky_policy,
    &round_robin_policy,
    &failover_policy,
    NULL
};

const struct policy *
policy_find(const char *name)
{
    for (const struct policy *const *p = policies; *p; p++) {
        if (!strcmp((*p)->name, name)) {
            return *p;
        }
    }
    return NULL;
}
