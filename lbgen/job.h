/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JOB_H
#define JOB_H 1

/* Work in a child process
 * =======================
 *
 * What may take long, and all that talks to the switch may, is done by a copy
 * of the process, so that checks go on meanwhile.  The copy has all that there
 * was at its beginning; what it changes is its own.  What it has to say it
 * writes to a stream, which the parent reads when it is over. */

#include <stdbool.h>
#include <stdio.h>
#include <sys/types.h>

#include "lib/loop.h"

struct job {
    struct loop *loop;
    bool running;
    pid_t pid;
    struct loop_fd output;
    struct loop_timer limit;    /* Kills one that hangs. */
    int64_t began;
    char *text;                 /* What it wrote so far. */
    size_t size;
    size_t allocated;
    const struct job_class *class;
    void *aux;
};

/* A kind of job. */
struct job_class {
    /* In the child: returns 0 if it worked. */
    int (*work)(void *aux, FILE *out);

    /* In the parent, for each line that the child wrote, as soon as it is
     * there.  'line' may be changed. */
    void (*line)(void *aux, char *line);

    /* In the parent, when the child is gone, which took 'took'
     * milliseconds. */
    void (*done)(void *aux, bool ok, int64_t took);

    int64_t limit;              /* Longest time, in milliseconds. */
};

/* Begins a job in a child, and returns at once. */
void job_start(struct job *, struct loop *, const struct job_class *,
               void *aux);

/* Has 'fd' closed in all children from now on: who connects to it means the
 * parent. */
void job_keep_from_children(int fd);

/* Forgets it.  It goes on to its end, so that nothing is left half done. */
void job_abandon(struct job *);

#endif /* lbgen/job.h */
