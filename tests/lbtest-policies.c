/* SPDX-License-Identifier: Apache-2.0 */

/* Policies, for test_policies.py. */

#include <stdio.h>
#include <stdlib.h>

#include "lib/util.h"
#include "policies/policy.h"
#include "tests/lbtest.h"

/* Prints one line for each policy: its name, whether it ignores weights, then
 * its parameters as NAME=MIN..MAX:DEFAULT, or NAME=DEFAULT for a flag. */
int
lbtest_policies(int argc LB_UNUSED, char *argv[] LB_UNUSED)
{
    for (const struct policy *const *p = policies; *p; p++) {
        printf("%s %d", (*p)->name, (*p)->ignores_weights);
        for (size_t i = 0; i < (*p)->n_params; i++) {
            const struct policy_param *param = &(*p)->params[i];

            if (param->is_flag) {
                printf(" %s=%s", param->name, param->value ? "true" : "false");
            } else {
                printf(" %s=%ld..%ld:%ld", param->name, param->min,
                       param->max, param->value);
            }
        }
        putchar('\n');
    }
    return 0;
}

/* "distribute POLICY PARAM WEIGHT...", where PARAM is the value of the first
 * parameter or "-" for the default: prints what new connections are picked by,
 * the client prefix and the shares. */
int
lbtest_distribute(int argc, char *argv[])
{
    const struct policy *policy = argc > 2 ? policy_find(argv[1]) : NULL;
    size_t n = argc > 3 ? (size_t) argc - 3 : 0;
    struct policy_server *servers = lb_xcalloc(n + 1, sizeof *servers);
    uint32_t *shares = lb_xcalloc(n + 1, sizeof *shares);
    struct distribution dist = { .shares = shares };
    long params[POLICY_MAX_PARAMS] = { 0 };

    if (!policy) {
        free(servers);
        free(shares);
        return EXIT_FAILURE;
    }
    for (size_t i = 0; i < policy->n_params; i++) {
        params[i] = policy->params[i].value;
    }
    if (argv[2][0] != '-') {
        params[0] = atol(argv[2]);
    }
    for (size_t i = 0; i < n; i++) {
        servers[i].name = argv[i + 3];
        servers[i].weight = (uint32_t) strtoul(argv[i + 3], NULL, 10);
    }
    policy->distribute(servers, n, params, &dist);
    printf("%s %d", (dist.selection == POLICY_BY_CLIENT ? "client"
                     : dist.selection == POLICY_BY_TURN ? "turn"
                     : "connection"), dist.client_prefix);
    for (size_t i = 0; i < n; i++) {
        printf(" %u", shares[i]);
    }
    putchar('\n');
    free(servers);
    free(shares);
    return 0;
}
