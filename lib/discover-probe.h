/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LB_DISCOVER_PROBE_H
#define LB_DISCOVER_PROBE_H 1

/* Asking hosts for their MAC through the switch
 * =============================================
 *
 * Questions are ARP requests and neighbour solicitations that the switch sends
 * by packet-out (lib/discover-frame.h).  For the answers there is a flow with
 * a learn() action, one for each family, which notes the address, MAC and port
 * of whoever answers in flows of a table of lbgen's own; these are read like
 * any others.  So no controller is needed, and nothing has to be there for an
 * answer at the moment that it comes.
 *
 * The questions take no VIP from whoever has it now.  They come from a MAC
 * that is made up anew for each probe.  Only answers to that MAC are taken, so
 * two lbgen do not meet, late answers to an earlier probe are not taken for
 * new, and no switch on the way sees a known MAC move.
 *
 * Everything goes with probe_stop().  If lbgen does not live to call that, the
 * flow goes by itself after PROBE_LIFETIME seconds, and each answer as
 * long after it came.  (So does, now and then, one that came twice: with the
 * second one, the datapath may note it again after probe_stop().) */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/diag.h"
#include "lib/address.h"
#include "lib/packet-out.h"
#include "lib/session.h"

#define PROBE_LIFETIME 5

/* Port of a question that goes out of all ports. */
#define PROBE_ALL_PORTS PACKET_OUT_ALL_PORTS

/* Who has 'ip'? */
struct question {
    struct ip ip;
    uint16_t vlan;              /* Where to ask, 0 for untagged. */
    uint16_t port;              /* Where to ask, or PROBE_ALL_PORTS. */
    bool answered;              /* Not asked again; the caller's business. */
};

/* "I", says 'mac' behind 'port'. */
struct answer {
    struct ip ip;
    uint16_t vlan;              /* As above. */
    struct mac mac;
    uint16_t port;
};

/* Compares two addresses in VLANs, in the order that answers have. */
int probe_compare(const struct ip *a, uint16_t a_vlan,
                  const struct ip *b, uint16_t b_vlan);

struct probe {
    struct session *session;    /* Borrowed. */
    bool broken;                /* Something failed. */
    uint8_t table;              /* Where the switch notes answers. */
    uint32_t nonce;             /* Tells this probe from others. */
    struct mac mac;             /* Who asks. */
    struct answer *answers;     /* So far, sorted by address and VLAN. */
    size_t n_answers;
    size_t allocated;
};

/* All of these return false after queueing an error; then only probe_stop() is
 * left to call, which leaves the rest to time. */

/* Begins to ask the 'n' 'questions'.  'table_base' is the first of lbgen's own
 * tables.  The caller calls probe_stop() in any case. */
bool probe_start(struct probe *, struct session *, uint8_t table_base,
                 const struct question *questions, size_t n, struct diags *);

/* Asks again those of the same questions that are not answered. */
bool probe_repeat(struct probe *, const struct question *questions, size_t n,
                  struct diags *);

/* Updates the answers, none of them twice, all from MACs that hosts can
 * have. */
bool probe_read(struct probe *, struct diags *);

/* Takes off the switch what the probe has put there. */
bool probe_stop(struct probe *, struct diags *);

#endif /* lib/discover-probe.h */
