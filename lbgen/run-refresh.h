/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RUN_REFRESH_H
#define RUN_REFRESH_H 1

/* One round of refresh, from questions to weights
 * =============================================== */

#include "lbgen/command.h"
#include "lib/refresh-switch.h"

/* A round, and when its answers were there. */
struct asked {
    struct refresh_round *round;    /* NULL if nobody was asked yet. */
    struct bridge *bridge;          /* If it is still new, or NULL. */
    double when;                    /* Seconds since the epoch. */
};

/* Asks the servers of those pools of the bridge that have "weights" in 'file',
 * and the switch, which takes as long as the slowest server does.  Nothing is
 * locked or connected meanwhile.  Returns false after queueing an error.  The
 * caller destroys 'asked->round' in any case, and hands on 'asked->bridge'.
 * metrics_init() must have been called. */
bool ask_for_refresh(const struct command_context *, const struct model *file,
                     struct asked *asked);

/* Asks likewise, but those of 'model', unless '*asked' has answers already;
 * and puts new weights into 'model'.  The caller uninitializes '*report'. */
void run_refresh(const struct command_context *, struct session *,
                 const struct bridge *, const struct model *file,
                 struct model *model, struct asked *asked,
                 struct refresh_report *report);

/* In cmd-refresh.c: all of a round, for the bridge of the command line or else
 * of 'file'.  Returns the exit status. */
int refresh_once(const struct command_context *, const struct model *file);

#endif /* lbgen/run-refresh.h */
