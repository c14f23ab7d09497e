/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MONITOR_H
#define MONITOR_H 1

/* lbgen monitor: a service that keeps a bridge right
 * ==================================================
 *
 * One thread and one loop.  It checks servers (lib/checker.h), watches the
 * bridge (lib/watch.h) and the file, and whenever the bridge may not be what
 * the file and the servers' health ask for, has a child make it so
 * (lbgen/job.h), in the same way as "lbgen apply".
 *
 * What is installed is the only state.  A monitor that is killed leaves the
 * bridge as it is, and its successor goes on from there. */

#include "lbgen/command.h"
#include "lbgen/job.h"
#include "lib/checker.h"
#include "lib/prober.h"
#include "lib/session.h"
#include "lib/watch.h"

/* Why the bridge may have to be changed: bits. */
enum monitor_reason {
    REASON_START = 1 << 0,      /* The monitor has just begun. */
    REASON_DEATH = 1 << 1,      /* A server died. */
    REASON_SWITCH = 1 << 2,     /* The switch is reached again. */
    REASON_DRIFT = 1 << 3,      /* Somebody changed something. */
    REASON_FILE = 1 << 4,       /* The file says something else. */
    REASON_ROUTINE = 1 << 5,    /* It is time to look. */
    REASON_FOUND = 1 << 6,      /* A server that was missing answers. */
    REASON_RETURN = 1 << 7      /* A server came back, or is new. */
};

/* What it has done so far, for metrics. */
struct monitor_counters {
    uint64_t applies;           /* That changed something. */
    uint64_t failed_applies;
    uint64_t repairs;           /* Applies because something was lost. */
    uint64_t moved_slots;
    uint64_t cut_connections;
    uint64_t reloads;
    uint64_t failed_reloads;
    uint64_t refreshes;
    uint64_t failed_refreshes;
    uint64_t transitions;       /* Of servers' health. */
    int64_t apply_ms;           /* The last one. */
};

struct monitor {
    const struct command_context *context;
    const char *file_name;
    char *text;                 /* Of the file, as it is in force. */
    size_t text_size;
    char *refused;              /* Another one, that is not, or NULL. */
    size_t refused_size;
    bool unreadable;
    struct document *document;
    struct model *model;
    char *bridge;               /* Name, which does not change. */
    struct session_options options;
    struct lock_options lock;

    struct loop *loop;
    struct checker *checker;
    struct watch *watch;
    struct prober prober;       /* For checks from the switch. */
    struct monitor_files *files;
    struct monitor_metrics *metrics;
    bool stopping;
    struct loop_fd signals;

    struct sync *sync;          /* Makes the bridge right, or NULL. */
    struct sync *tails;         /* Have, and have more to do. */
    unsigned int reasons;       /* For the next one. */
    unsigned int current;       /* Of the one under way. */
    struct job refresh;         /* Moves weights. */
    struct loop_timer refresh_timer;
    struct loop_timer sync_timer;
    struct loop_timer routine_timer;
    struct loop_timer start_timer;
    struct loop_timer watchdog_timer;
    int64_t watchdog;           /* Milliseconds, 0 for none. */
    int64_t retry;              /* Pause after a failure, in milliseconds. */
    int64_t calm;               /* Pause before drift is looked at. */
    int64_t last_repair;
    char *complaint;            /* The last one, so as not to repeat it. */
    bool synced;                /* It has worked once. */
    struct monitor_counters counters;
    int64_t started;            /* Seconds since the epoch. */
};

/* Asks for the bridge to be made right. */
void monitor_want(struct monitor *, enum monitor_reason);

/* Reads the file again; 'always' even if its text is the same. */
void monitor_reload(struct monitor *, bool always);

/* In monitor-sync.c: begins the job, for 'reasons'; forgets all jobs. */
void monitor_sync(struct monitor *, unsigned int reasons);
void monitor_sync_abandon(struct monitor *);

/* In monitor-refresh.c: plans the next round of weights, or none.  One that is
 * planned already does not become later: files may change all the time. */
void monitor_refresh_plan(struct monitor *);

/* In monitor-files.c: calls monitor_reload() when the file has changed; a look
 * now and then does so where nothing else tells, if the file has not changed
 * since the look before. */
void monitor_files_look(struct monitor_files *);
struct monitor_files *monitor_files_create(struct monitor *);
void monitor_files_destroy(struct monitor_files *);

/* In monitor-metrics.c: tells Prometheus as the options say.  Returns NULL
 * after queueing an error. */
struct monitor_metrics *monitor_metrics_create(struct monitor *,
                                               struct diags *);
void monitor_metrics_destroy(struct monitor_metrics *);

#endif /* lbgen/monitor.h */
