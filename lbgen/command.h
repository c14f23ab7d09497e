/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COMMAND_H
#define COMMAND_H 1

/* Commands of lbgen
 * =================
 *
 * main.c reads the command line and calls one of the functions below; the
 * function does the work through lib/, prints results to stdout and returns
 * the exit status.  Messages go to 'context->diags', which main.c prints.
 *
 * To add a command:
 *
 *   1. Write lbgen/cmd-NAME.c with "int cmd_NAME(const struct command_context
 *      *)", declare that below and list the file in lbgen/automake.mk.
 *   2. Add a row to 'commands' in main.c.  An option that no command had so
 *      far is a bit here and a row in options.c.
 *   3. Describe it in lbgen.8 and test it in tests/. */

#include <stdbool.h>
#include <sys/socket.h>

#include "lib/diag.h"

/* Exit status of the program. */
enum exit_status {
    STATUS_OK = 0,              /* Done, or in sync. */
    STATUS_FAILED = 1,
    STATUS_DIFFERENT = 2,       /* The switch is not what the file says. */
    STATUS_USAGE = 64           /* As EX_USAGE in <sysexits.h>. */
};

/* Options that only some commands take: bits in 'struct command'. */
enum command_option {
    OPTION_JSON = 1 << 0,
    OPTION_COLOR = 1 << 1,
    OPTION_DRY_RUN = 1 << 2,
    OPTION_POOL = 1 << 3,
    OPTION_ALL = 1 << 4,
    OPTION_RESET = 1 << 5,
    OPTION_SERVER = 1 << 6,
    OPTION_WAIT = 1 << 7,
    OPTION_ALLOW_MISSING = 1 << 8,
    OPTION_LIVE = 1 << 10,
    OPTION_VIP_PORT = 1 << 12,
    OPTION_REFRESH = 1 << 11,
    OPTION_METRICS = 1 << 20,
    OPTION_WATCH = 1 << 21,
    OPTION_NO_WAIT = 1 << 30,   /* Those that change the bridge. */

    /* No option: there is no FILE that could name the bridge, so -b must. */
    NEEDS_BRIDGE = 1 << 29
};

enum color_when { COLOR_AUTO, COLOR_ALWAYS, COLOR_NEVER };

/* What the command line says. */
struct command_context {
    const struct command *command;
    struct diags *diags;        /* Printed by main() after the command. */

    char **args;                /* Those after the command's name. */
    int n_args;                 /* In the range that 'command' allows. */

    /* Options of every command. */
    const char *bridge;         /* NULL if not given. */
    int verbose;                /* Number of -v. */
    int timeout;                /* Seconds. */
    bool timeout_given;
    const char *private_key;    /* PEM files for "ssl:", or NULL. */
    const char *certificate;
    const char *ca_cert;

    /* Options of some. */
    bool json;
    bool dry_run;
    bool all;
    bool reset;
    bool wait;
    bool allow_missing;
    bool live;
    bool refresh;
    bool no_wait;
    bool watch;
    const char *metrics;        /* Where to listen, or NULL. */
    struct sockaddr_storage metrics_address; /* The same. */
    const char *metrics_file;   /* Or NULL. */
    const char *pool;           /* NULL if not given. */
    const char *server;         /* Likewise. */
    const char *vip_port;       /* Likewise. */
    enum color_when color;
};

/* One command. */
struct command {
    const char *name;
    const char *usage;          /* Its arguments, "FILE". */
    const char *summary;        /* One line for the list of commands. */
    unsigned int options;       /* Of enum command_option. */
    int min_args, max_args;
    int (*run)(const struct command_context *); /* Returns exit status. */
};

/* All commands, a row without a name at the end. */
extern const struct command commands[];

/* In cmd-override.c. */
int cmd_drain(const struct command_context *);
int cmd_maint(const struct command_context *);
int cmd_ready(const struct command_context *);
int cmd_weight(const struct command_context *);

int cmd_apply(const struct command_context *);
int cmd_check(const struct command_context *);
int cmd_connections(const struct command_context *);
int cmd_delete(const struct command_context *);
int cmd_diff(const struct command_context *);
int cmd_explain(const struct command_context *);
int cmd_export(const struct command_context *);
int cmd_refresh(const struct command_context *);
int cmd_monitor(const struct command_context *);
int cmd_status(const struct command_context *);

#endif /* lbgen/command.h */
