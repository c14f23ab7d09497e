/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOTIFY_H
#define NOTIFY_H 1

/* Talking to whoever runs us as a service
 * =======================================
 *
 * The protocol of sd_notify(3) and the prefixes of sd-daemon(3), which are
 * simple enough not to need a library. */

#include <stdbool.h>
#include <stdint.h>

#include "lib/util.h"

/* How important a line is, as of syslog(3). */
enum log_level {
    LOG_LEVEL_ERROR = 3,
    LOG_LEVEL_WARNING = 4,
    LOG_LEVEL_NOTICE = 5,
    LOG_LEVEL_INFO = 6
};

/* Tells the service manager, if there is one: "READY=1". */
void notify(const char *format, ...) LB_PRINTF(1, 2);

/* How often it wants to hear "WATCHDOG=1", in milliseconds, 0 for never. */
int64_t notify_watchdog_interval(void);

/* Prints one line to standard error, with the prefix for the journal if that
 * is where it goes. */
void log_line(enum log_level, const char *format, ...) LB_PRINTF(2, 3);

#endif /* lbgen/notify.h */
