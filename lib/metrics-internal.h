/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LB_METRICS_INTERNAL_H
#define LB_METRICS_INTERNAL_H 1

/* What the parts of lib/metrics*.c share
 * ====================================== */

#include <stdint.h>
#include <sys/types.h>

#include <curl/curl.h>

#include "lib/metrics.h"

/* One thing to fetch.  Several questions may be answered by it. */
struct fetch {
    struct metrics_batch *batch;
    const struct source *source;
    char *target;               /* With all braces replaced; or NULL. */
    char **args;                /* Likewise; NULL at the end.  Or NULL. */
    double timeout;             /* Seconds. */
    int64_t deadline;           /* As metrics_now(). */
    bool is_started;
    bool is_done;

    char *text;                 /* What came so far. */
    size_t size;
    size_t allocated;
    char *error;                /* Why there is none. */
    int64_t mtime;              /* Of a file, seconds since the epoch, or 0. */

    CURL *easy;                 /* SOURCE_HTTP: NULL or under way. */
    char curl_error[CURL_ERROR_SIZE];
    int fd;                     /* SOURCE_AGENT and SOURCE_EXEC: or -1. */
    bool is_connected;          /* SOURCE_AGENT. */
    pid_t pid;                  /* SOURCE_EXEC: 0 if it does not run. */
};

struct metrics_batch {
    struct fetch **fetches;
    size_t n_fetches;
    size_t allocated_fetches;

    /* Per question. */
    const struct source **sources;
    size_t *fetch_of;
    struct answer *answers;
    size_t n;
    size_t allocated_sources, allocated_fetch_of;

    int epoll_fd;
    CURLM *multi;               /* NULL until needed. */
    int64_t curl_deadline;      /* INT64_MAX for none. */
    size_t next;                /* First one that is not started. */
    size_t n_running;
    size_t max_running;
    size_t n_programs;          /* SOURCE_EXEC that run. */
    bool is_done;
};

/* Milliseconds on a clock that only goes forward. */
int64_t metrics_now(void);

/* Adds to what came.  False if that is too much. */
bool fetch_append(struct fetch *, const char *data, size_t size);

/* Ends the fetch: for a reason, or because all is there if 'error' is NULL. */
void fetch_finish(struct fetch *, const char *error);

/* Begin a fetch.  What cannot be begun is finished with an error. */
void fetch_start_http(struct fetch *);
void fetch_start_agent(struct fetch *);
void fetch_start_file(struct fetch *);
void fetch_start_exec(struct fetch *);

/* Give up what is still held for it. */
void fetch_stop_http(struct fetch *);
void fetch_stop_exec(struct fetch *);

/* Go on when 'fetch->fd' is ready. */
void fetch_run_agent(struct fetch *);
void fetch_run_exec(struct fetch *);

/* Looks whether the program has ended. */
void fetch_check_exec(struct fetch *);

/* Lets libcurl go on: because of 'fd', or for the time if that is -1. */
void batch_run_curl(struct metrics_batch *, int fd, int events);
void batch_stop_curl(struct metrics_batch *);

#endif /* lib/metrics-internal.h */
