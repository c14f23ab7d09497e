/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LB_CONNTRACK_INTERNAL_H
#define LB_CONNTRACK_INTERNAL_H 1

/* Internal to lib/conntrack*.c. */

#include "lib/conntrack.h"
#include "lib/unixctl.h"

/* The control socket, and what it calls the bridge's datapath. */
struct conntrack {
    struct unixctl *unixctl;
    char *datapath;
    size_t n_datapaths;         /* That the switch has in all. */
};

/* Reaches for the control socket of the session's switch.  If it cannot,
 * stores a reason in '*why' for the caller to free; there is then nothing to
 * close. */
bool conntrack_open(const struct session *, struct conntrack *, char **why);
void conntrack_close(struct conntrack *);

/* As connection_list_read(). */
bool conntrack_dump(struct conntrack *, uint16_t zone,
                    struct connection_list *connections, char **why);

/* Cuts the connections 'found' over the control socket, one after another.
 * For switches that cannot do it by OpenFlow. */
bool conntrack_control_flush(const struct session *, uint16_t zone,
                             const struct connection_list *found, char **why);

#endif /* lib/conntrack-internal.h */
