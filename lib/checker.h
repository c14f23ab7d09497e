/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LB_CHECKER_H
#define LB_CHECKER_H 1

/* All checks of a file, over and over
 * ===================================
 *
 * Runs the checks of a model in a loop and keeps the health of its servers up
 * to date.  However many pools ask the same of the same address, it is asked
 * once. */

#include "lib/health-track.h"
#include "lib/loop.h"
#include "lib/model.h"

struct checker;
struct prober;

/* What is known of the checks of one server, for metrics. */
struct checker_stats {
    uint64_t n_checks;
    uint64_t n_failed;
    uint64_t n_unable;          /* Could not be made; not in 'n_checks'. */
    int64_t took;               /* The last one, in milliseconds. */
    bool ok;                    /* The last one; true before it. */
    const char *error;          /* Of the last one that failed, or "". */
};

/* Who hears of what checks say. */
struct checker_listener {
    /* The health of 'server' has changed, and health_settle() was called. */
    void (*changed)(void *aux, struct pool *, struct server *server,
                    enum health_state before);

    /* This host cannot check 'server', whose health stays as it is.  Called
     * at most once a minute for each. */
    void (*unable)(void *aux, struct pool *, struct server *server,
                   const char *error);
    void *aux;
};

struct checker *checker_create(struct loop *, const struct checker_listener *);
void checker_destroy(struct checker *);

/* Checks what 'model' says from now on, until the next call: the model must
 * live as long.  Servers that were in the last one go on as they were;
 * others begin with the health that they have in 'model'. */
void checker_load(struct checker *, struct model *model);

/* Has checks from the switch go by 'prober', which is borrowed; without, they
 * fail.  'found' is called when a server that is missing answers one. */
void checker_set_prober(struct checker *, struct prober *prober,
                        void (*found)(void *aux), void *aux);

/* Says which port of OpenFlow 'server' is behind, for such checks. */
void checker_set_port(struct checker *, const struct pool *,
                      const struct server *, uint16_t port);

/* Begins to check, or goes on with it; until then all is quiet. */
void checker_start(struct checker *);

/* Checks nothing, and forgets failures that have not added up: for times at
 * which a failure says nothing about servers, because the way to them is
 * gone. */
void checker_pause(struct checker *);

/* Takes over the health that 'server' has now, as the bridge tells, unless
 * checks have told something already. */
void checker_adopt(struct checker *, const struct pool *,
                   const struct server *server);

/* Fills in what is known of 'server'; false if it is not checked. */
bool checker_get_stats(const struct checker *, const struct pool *,
                       const struct server *, struct checker_stats *);

/* How many different checks there are. */
size_t checker_n_items(const struct checker *);

#endif /* lib/checker.h */
