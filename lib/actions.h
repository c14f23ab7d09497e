/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LB_ACTIONS_H
#define LB_ACTIONS_H 1

/* OpenFlow actions, built as structures
 * =====================================
 *
 * Each function appends one action to 'acts', a buffer of ofpacts.  No text
 * goes through libopenvswitch's parsers on the way: they take 10.0.0.300 for
 * 10.0.0.44 and port 99999 for 34463. */

#include <netinet/in.h>
#include <stdint.h>

#include <openvswitch/meta-flow.h>
#include <openvswitch/ofpbuf.h>

#include "lib/address.h"
#include "lib/port-set.h"

/* The lowest 'n_bits' bits of a field. */
struct mf_subfield act_low_bits(enum mf_field_id, unsigned int n_bits);

/* Sets all of a field of the size that the name says, or, for act_set_bits(),
 * the bits of a 32-bit field that are 1 in 'mask'.  Host byte order. */
void act_set_u8(struct ofpbuf *acts, enum mf_field_id, uint8_t);
void act_set_u16(struct ofpbuf *acts, enum mf_field_id, uint16_t);
void act_set_u32(struct ofpbuf *acts, enum mf_field_id, uint32_t);
void act_set_bits(struct ofpbuf *acts, enum mf_field_id, uint32_t value,
                  uint32_t mask);
void act_set_mac(struct ofpbuf *acts, enum mf_field_id, const struct mac *);

/* Sets the destination (source) of a packet of the family of 'ip'. */
void act_set_ip_dst(struct ofpbuf *acts, const struct ip *ip);
void act_set_ip_src(struct ofpbuf *acts, const struct ip *ip);

/* Copies all of field 'src' to the 'n_bits' lowest bits of 'dst'. */
void act_move(struct ofpbuf *acts, enum mf_field_id src, enum mf_field_id dst,
              unsigned int n_bits);

/* Moves the bits of 'field', of 32 bits, one place to the left.  What comes in
 * from the right is what was there. */
void act_shift_left(struct ofpbuf *acts, enum mf_field_id field);

/* Copies 'n_bits' bits: those of 'src' from 'src_ofs' on to those of 'dst'
 * from 'dst_ofs' on. */
void act_move_at(struct ofpbuf *acts, enum mf_field_id src,
                 unsigned int src_ofs, enum mf_field_id dst,
                 unsigned int dst_ofs, unsigned int n_bits);

/* Copies all of 'field' piece by piece to 'scratch', of 32 bits, for nothing
 * but that the datapath then tells packets apart by it. */
void act_look_at(struct ofpbuf *acts, enum mf_field_id field,
                 enum mf_field_id scratch);

void act_resubmit(struct ofpbuf *acts, uint8_t table);
void act_output(struct ofpbuf *acts, uint16_t port);

/* Outputs to the port whose number the lowest 'n_bits' of 'field' hold. */
void act_output_field(struct ofpbuf *acts, enum mf_field_id field,
                      unsigned int n_bits);
void act_group(struct ofpbuf *acts, uint32_t group_id);
void act_ct_clear(struct ofpbuf *acts);

/* ct(nat): undoes and redoes the NAT of a known connection in 'zone', then
 * goes on in 'table'.  With CT_HERE as 'table' it goes on in the same list of
 * actions, rewritten, but nothing is known of the connection. */
#define CT_HERE 0xff
void act_ct_nat(struct ofpbuf *acts, uint16_t zone, uint8_t table);

/* ct(): looks up a connection in 'zone' and goes on in 'table', where its mark
 * and label are known and nothing is translated yet.  Then ct(nat), in the
 * same zone, with the packet looked at again in 'table'. */
void act_ct(struct ofpbuf *acts, uint16_t zone, uint8_t table);
void act_ct_nat_again(struct ofpbuf *acts, uint8_t table);

/* ct(commit,nat(dst=...),exec(...)): commits a new connection in 'zone', sent
 * to 'ip' and 'port'.  Its mark gets 'member', and the port that the packet
 * came in by or, if that is not 0, 'special' (MARK_SENDER or MARK_SNAT).  In
 * the latter case its label gets that port and the MAC that the packet is
 * from.  The packet goes on in the same list of actions, already rewritten, so
 * there is no recirculation. */
void act_ct_commit(struct ofpbuf *acts, uint16_t zone, const struct ip *ip,
                   uint16_t port, uint16_t member, uint16_t special);

/* ct(commit,nat(src=...)): the packet gets the source that its connection has
 * in 'zone'; one that is new there gets 'ip' and a port out of the one range
 * that 'ports' has, or any.  As above, no recirculation. */
void act_ct_snat(struct ofpbuf *acts, uint16_t zone, const struct ip *ip,
                 const struct port_set *ports);

/* Takes a packet from one VLAN to another; each is a number, or VLAN_NONE,
 * or both are VLAN_ANY. */
void act_change_vlan(struct ofpbuf *acts, uint16_t from, uint16_t to);

/* learn(): in 'table', output to the port that this packet came in by whatever
 * goes to its Ethernet source, with 'in_vlan' only in the same VLAN; forgotten
 * 'idle_timeout' seconds after the last packet. */
void act_learn_client(struct ofpbuf *acts, uint8_t table, uint64_t cookie,
                      uint16_t idle_timeout, bool in_vlan);

/* learn(): in 'table', for 'hard_timeout' seconds, note who has sent this ARP
 * packet or, for IPv6, neighbour advertisement, to which MAC, and the port it
 * came in by, as a match without actions.  At most 'limit' flows, which do not
 * go when the flow with this action does. */
void act_learn_answer(struct ofpbuf *acts, uint8_t table, uint64_t cookie,
                      enum family family, uint16_t hard_timeout,
                      uint32_t limit);

/* learn(): in 'table', 1 into 'known' for packets to the source of this one,
 * which is of 'family', if 'key' holds 'value'. */
void act_learn_user(struct ofpbuf *acts, uint8_t table, uint64_t cookie,
                    enum family family, uint16_t idle_timeout,
                    enum mf_field_id key,
                    uint32_t value, enum mf_field_id known);

/* learn(): in 'table', 'turn' into 'dst' if 'key' holds 'value', until there
 * has been no packet for 'idle_timeout' seconds.  The datapath never keeps
 * what was learned this way: see lib/compile-turn.c. */
void act_learn_turn(struct ofpbuf *acts, uint8_t table, uint64_t cookie,
                    uint16_t idle_timeout, enum mf_field_id key,
                    uint32_t value, enum mf_field_id dst, uint32_t turn);

/* learn(): in 'table', 'member' into 'dst' for packets from this one's
 * source, which is of 'family', if 'key' holds 'value'; at most 'limit' flows
 * with 'cookie'. */
void act_learn_affinity(struct ofpbuf *acts, uint8_t table, uint64_t cookie,
                        enum family family, uint16_t idle_timeout,
                        uint32_t limit, enum mf_field_id key, uint32_t value,
                        enum mf_field_id dst, uint32_t member);
/* learn(): in 'table', for the pool with the id 'pool', 'tier' into the lower
 * half of the pin register of those who look it up. */
void act_learn_pin(struct ofpbuf *acts, uint8_t table, uint64_t cookie,
                   uint16_t pool, uint16_t tier);

/* controller(): what there is of the packet, at most 'max_len' bytes, to who
 * is connected under the id 'controller'. */
void act_controller(struct ofpbuf *acts, uint16_t controller,
                    uint16_t max_len);

/* note: 'size' bytes that do nothing.  The switch pads with zero bytes. */
void act_note(struct ofpbuf *acts, const void *data, size_t size);

#endif /* lib/actions.h */
