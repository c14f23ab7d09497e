/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

/* Connection tracking, for test_connections.py and test_removal.py. */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openvswitch/ofp-errors.h>
#include <openvswitch/ofpbuf.h>

#include "lib/conntrack-internal.h"
#include "lib/diag.h"
#include "lib/session.h"
#include "lib/util.h"
#include "tests/lbtest.h"

/* Prints what each line of standard input says of a connection, or "no". */
int
lbtest_connection_parse(int argc LB_UNUSED, char *argv[] LB_UNUSED)
{
    char *line = NULL;
    size_t size = 0;

    while (getline(&line, &size, stdin) > 0) {
        struct connection c;
        char client[IP_STRLEN], vip[IP_STRLEN], server[IP_STRLEN];

        if (!connection_parse(line, &c)) {
            puts("no");
            continue;
        }
        printf("%d %s %d %s %d %s %d zone %d member %d timeout %"PRId64
               " state %s start %s\n",
               c.protocol, ip_format(&c.client, client), c.client_port,
               ip_format(&c.vip, vip), c.vip_port,
               ip_format(&c.server, server), c.server_port, c.zone,
               connection_member(&c), c.timeout, c.state, c.start);
    }
    free(line);
    return 0;
}

static struct session *
open_session(const char *bridge, struct diags *diags)
{
    struct session_options options = { .bridge = bridge, .timeout = 10 };

    session_init(0);
    return session_open(&options, diags);
}

/* "control-flush BRIDGE ZONE": cuts all connections in the zone over the
 * control socket, as is done where OpenFlow cannot.  Prints their number. */
int
lbtest_control_flush(int argc, char *argv[])
{
    struct diags *diags = diags_create();
    struct session *session = argc > 2 ? open_session(argv[1], diags) : NULL;
    uint16_t zone = argc > 2 ? atoi(argv[2]) : 0;
    struct connection_list list = { .n = 0 };
    int status = EXIT_FAILURE;
    char *why = NULL;

    if (session && zone && connection_list_read(session, zone, &list, &why)
        && conntrack_control_flush(session, zone, &list, &why)) {
        printf("%zu\n", list.n);
        status = EXIT_SUCCESS;
    } else if (why) {
        puts(why);
    }
    free(why);
    connection_list_uninit(&list);
    session_close(session);
    diags_flush(diags, stderr);
    diags_destroy(diags);
    return status;
}

/* "refusal BRIDGE": sends a vendor's message that no switch knows, as one
 * before 3.1 does not know NXT_CT_FLUSH.  Prints what the switch has to say of
 * it. */
int
lbtest_refusal(int argc, char *argv[])
{
    static const uint8_t unknown[16] = {
        6, 4, 0, 16, 0, 0, 0, 0, 0x00, 0x00, 0x23, 0x20, 0, 0, 0xff, 0xfe
    };
    struct diags *diags = diags_create();
    struct session *session = argc > 1 ? open_session(argv[1], diags) : NULL;
    int refusal = 0;

    if (session) {
        struct ofpbuf *message = ofpbuf_clone_data(unknown, sizeof unknown);

        if (session_send_messages(session, &message, 1, &refusal, diags)) {
            puts(refusal ? ofperr_get_name(refusal) : "none");
        }
    }
    session_close(session);
    diags_flush(diags, stderr);
    diags_destroy(diags);
    return session ? EXIT_SUCCESS : EXIT_FAILURE;
}
