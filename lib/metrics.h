/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LB_METRICS_H
#define LB_METRICS_H 1

/* Asking servers what they do
 * ===========================
 *
 * A batch is a number of polls that go on at the same time: HTTP, agents,
 * files, programs.  All have the same deadline, so one server that is silent,
 * or a hundred, cost one timeout.  An answer is bounded in size as well.
 *
 * A batch never blocks.  Who has nothing else to do calls metrics_finish().
 * Who has calls metrics_run() whenever the descriptor that metrics_fd()
 * returns is readable, and at the latest after metrics_timeout() milliseconds,
 * until it returns true.
 *
 * I/O only: what answers mean is said by lib/answer.h, and what becomes of it
 * by lib/refresh.h. */

#include <stdbool.h>
#include <stddef.h>

#include "lib/answer.h"
#include "lib/model.h"
#include "lib/weights.h"

/* Bytes of an answer that are read.  A longer one is an error. */
#define METRICS_MAX_ANSWER (1024 * 1024)

struct metrics_batch;

/* Must be called once before the first batch, while there is one thread, and
 * once at the end. */
void metrics_init(void);
void metrics_exit(void);

/* A batch whose answers are waited for 'timeout' seconds at most. */
struct metrics_batch *metrics_create(void);

/* Also ends what is still under way. */
void metrics_destroy(struct metrics_batch *);

/* Adds the question to 'source' about 'server', both of which must live as
 * long as the batch, and returns its number, from 0 on.  'timeout' is in
 * seconds.  The same question is only asked once.  Not after metrics_run(). */
size_t metrics_add(struct metrics_batch *, const struct source *source,
                   const struct server *server, double timeout);

/* Goes on with what can go on without waiting, and returns whether all is
 * done. */
bool metrics_run(struct metrics_batch *);
int metrics_fd(const struct metrics_batch *);
int metrics_timeout(const struct metrics_batch *);

/* Waits until all is done. */
void metrics_finish(struct metrics_batch *);

/* The answer to question 'number', owned by the batch. */
const struct answer *metrics_answer(const struct metrics_batch *,
                                    size_t number);

#endif /* lib/metrics.h */
