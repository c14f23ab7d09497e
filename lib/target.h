/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LB_TARGET_H
#define LB_TARGET_H 1

/* Names of bridges
 * ================
 *
 * What may be given for a bridge: its name, the name of its socket, or where
 * it listens.  Whether it is there only lib/session.h can tell. */

#include <stdbool.h>

/* For messages about others. */
#define TARGET_FORMS "the name of a bridge, unix:FILE, tcp:IP[:PORT] or " \
                     "ssl:IP[:PORT]"

/* Whether 's' is one of these. */
bool target_is_valid(const char *s);

#endif /* lib/target.h */
