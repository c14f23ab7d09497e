/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

/* Hashes and explanations, for test_explain.py. */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/live.h"
#include "tests/lbtest.h"

static enum ovs_hash_build
parse_build(const char *s)
{
    return strcmp(s, "crc32c") ? OVS_HASH_MURMUR : OVS_HASH_CRC32C;
}

/* "ovs-hash BUILD": reads lines
 *
 *     int X BASIS
 *     uint64 X BASIS
 *     bytes HEX BASIS ("-" for none)
 *     tuple SRC DST PROTOCOL SRC-PORT DST-PORT
 *     dp SRC DST PROTOCOL SRC-PORT DST-PORT BASIS
 *
 * and prints the hash of each. */
int
lbtest_ovs_hash(int argc, char *argv[])
{
    enum ovs_hash_build build = parse_build(argc > 1 ? argv[1] : "");
    char line[1024];

    while (fgets(line, sizeof line, stdin)) {
        char a[512] = "", b[64] = "";
        uint64_t x;
        uint32_t basis = 0;
        struct ovs_tuple t = { .protocol = 0 };

        if (sscanf(line, "int %"SCNu64" %"SCNu32, &x, &basis) == 2) {
            printf("%"PRIu32"\n", ovs_hash_int(build, (uint32_t) x, basis));
        } else if (sscanf(line, "uint64 %"SCNu64" %"SCNu32, &x, &basis)
                   == 2) {
            printf("%"PRIu32"\n", ovs_hash_uint64(build, x, basis));
        } else if (sscanf(line, "bytes %511s %"SCNu32, a, &basis) == 2) {
            uint8_t bytes[256];
            size_t n = 0;
            unsigned int byte;

            while (sscanf(&a[2 * n], "%2x", &byte) == 1) {
                bytes[n++] = byte;
            }
            printf("%"PRIu32"\n", ovs_hash_bytes(build, bytes, n, basis));
        } else if (sscanf(line, "%*s %63s %63s %"SCNu8" %"SCNu16" %"SCNu16
                          " %"SCNu32, a, b, &t.protocol, &t.src_port,
                          &t.dst_port, &basis) >= 5
                   && ip_from_string(a, &t.src)
                   && ip_from_string(b, &t.dst)) {
            printf("%"PRIu32"\n", (*line == 't' ? ovs_hash_5tuple(build, &t)
                                   : ovs_hash_dp(build, &t, basis)));
        } else {
            return EXIT_FAILURE;
        }
    }
    return 0;
}

/* "dpif-show BRIDGE": reads what dpif/show prints, prints the datapath and the
 * port with a hash of its own. */
int
lbtest_dpif_show(int argc, char *argv[])
{
    static const char *const names[] = { "unknown", "userspace", "kernel" };
    struct explain_facts facts;
    static char text[65536];

    memset(&facts, 0, sizeof facts);
    text[fread(text, 1, sizeof text - 1, stdin)] = '\0';
    live_parse_datapath(text, argc > 1 ? argv[1] : "", &facts);
    printf("%s %s\n", names[facts.datapath],
           facts.nic_port ? facts.nic_port : "-");
    free(facts.nic_port);
    return 0;
}

/* Prints "ANSWER SERVER HASH SLOT BUCKET", "-" for what there is not, or all
 * notes instead. */
static void
print_explanation(const struct explanation *e, bool notes)
{
    static const char *const names[] = { "server", "any", "none", "unknown" };

    if (notes) {
        for (size_t i = 0; i < e->n_notes; i++) {
            puts(e->notes[i]);
        }
        return;
    }
    printf("%s %s ", names[e->answer],
           (e->answer == EXPLAIN_SERVER
            ? e->assignment->pool->servers[e->server].name : "-"));
    if (e->has_pick) {
        printf("%"PRIu32" %zu %"PRIu32"\n", e->pick.hash, e->pick.slot,
               explain_bucket(e)->id);
    } else {
        puts("- - -");
    }
}

/* Changes 'facts' as 'what' says: the kernel's datapath, a foreign hash,
 * nothing known, a port with a NIC. */
static void
pretend(const char *what, struct explain_facts *facts)
{
    static char nic_port[] = "dpdk0";

    if (!strcmp(what, "kernel")) {
        facts->datapath = EXPLAIN_DATAPATH_KERNEL;
    } else if (!strcmp(what, "foreign")) {
        facts->hash = EXPLAIN_HASH_FOREIGN;
    } else if (!strcmp(what, "unknown")) {
        facts->datapath = EXPLAIN_DATAPATH_UNKNOWN;
        facts->hash = EXPLAIN_HASH_ASSUMED;
    } else if (!strcmp(what, "nic")) {
        facts->nic_port = nic_port;
    }
}

static void
explain_lines(const struct bridge *bridge, const struct assignment *a,
              const struct explain_facts *facts, bool notes)
{
    char line[256];

    while (fgets(line, sizeof line, stdin)) {
        char text[64];
        unsigned int port = 0, vip_port = 0, protocol = 0;
        struct explain_question question;

        if (sscanf(line, "%63s %u %u %u", text, &port, &vip_port, &protocol)
            >= 1 && ip_from_string(text, &question.client)) {
            struct explanation *e;

            question.client_port = port;
            question.vip_port = vip_port;
            question.protocol = protocol;
            e = explain_create(bridge, "bridge", a, &question, facts, NULL);
            print_explanation(e, notes);
            explain_destroy(e);
        }
    }
}

/* "explain BRIDGE POOL [PRETENCE [notes]]": reads lines
 * "CLIENT [PORT [VIP-PORT [PROTOCOL]]]", all but the first numbers, and
 * explains each. */
int
lbtest_explain(int argc, char *argv[])
{
    struct session_options options = {
        .bridge = argc > 2 ? argv[1] : "", .timeout = 10
    };
    struct diags *diags = diags_create();
    struct session *session;
    struct bridge *bridge = NULL;
    const struct assignment *a = NULL;
    struct live live;
    char *why;

    session_init(0);
    session = session_open(&options, diags);
    if (session) {
        bridge = bridge_read(session, diags);
    }
    if (bridge) {
        a = assignments_find(&bridge->assignments, argv[2]);
    }
    if (a && live_open(session, &live, &why)) {
        struct explain_facts facts = live.facts;

        pretend(argc > 3 ? argv[3] : "", &facts);
        explain_lines(bridge, a, &facts, argc > 4);
        live_close(&live);
    } else {
        a = NULL;
    }
    bridge_destroy(bridge);
    session_close(session);
    diags_flush(diags, stderr);
    diags_destroy(diags);
    return a ? 0 : EXIT_FAILURE;
}
