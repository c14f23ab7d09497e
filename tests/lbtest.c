/* SPDX-License-Identifier: Apache-2.0 */

/* What is inside the libraries, as commands for the tests. */

#include "tests/lbtest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/util.h"

/* One subcommand.  Its argv[0] is its own name. */
struct test {
    const char *name;
    int (*main)(int argc, char *argv[]);
};

static const struct test tests[] = {
    { "check-times", lbtest_check_times },
    { "answer", lbtest_answer },
    { "checker", lbtest_checker },
    { "connection-parse", lbtest_connection_parse },
    { "control-flush", lbtest_control_flush },
    { "diags", lbtest_diags },
    { "distribute", lbtest_distribute },
    { "document", lbtest_document },
    { "document-json", lbtest_document_json },
    { "dpif-show", lbtest_dpif_show },
    { "edit-distance", lbtest_edit_distance },
    { "explain", lbtest_explain },
    { "hash", lbtest_hash },
    { "hash-mix", lbtest_hash_mix },
    { "health-settle", lbtest_health_settle },
    { "health-track", lbtest_health_track },
    { "ip", lbtest_ip },
    { "mac", lbtest_mac },
    { "model-write", lbtest_model_write },
    { "nearest", lbtest_nearest },
    { "ovs-hash", lbtest_ovs_hash },
    { "policies", lbtest_policies },
    { "poll", lbtest_poll },
    { "pool-rewrite", lbtest_pool_rewrite },
    { "refresh", lbtest_refresh },
    { "refusal", lbtest_refusal },
    { "settings-rewrite", lbtest_settings_rewrite },
    { "slots", lbtest_slots },
    { "slots-moved", lbtest_slots_moved },
    { "slots-time", lbtest_slots_time },
    { "turns", lbtest_turns },
    { "slow-start", lbtest_slow_start },
    { "weight", lbtest_weight },
    { "weight-policies", lbtest_weight_policies },
};

int
main(int argc, char *argv[])
{
    for (size_t i = 0; argc > 1 && i < LB_ARRAY_SIZE(tests); i++) {
        if (!strcmp(argv[1], tests[i].name)) {
            return tests[i].main(argc - 1, argv + 1);
        }
    }
    fprintf(stderr, "usage: lbtest TEST [ARG...], where TEST is one of\n");
    for (size_t i = 0; i < LB_ARRAY_SIZE(tests); i++) {
        fprintf(stderr, "  %s\n", tests[i].name);
    }
    return EXIT_FAILURE;
}
