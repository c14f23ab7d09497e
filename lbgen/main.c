/* SPDX-License-Identifier: Apache-2.0 */

#ifdef HAVE_CONFIG_H
#include <config.h>
#endif

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lbgen/command.h"
#include "lbgen/options.h"

const struct command commands[] = {
    { "check", "FILE", "say what is wrong with FILE",
      0, 1, 1, cmd_check },
    { "export", "FILE", "print FILE's groups and flows for ovs-ofctl bundle",
      0, 1, 1, cmd_export },
    { "diff", "FILE", "say what apply would change",
      OPTION_JSON | OPTION_COLOR | OPTION_RESET | OPTION_ALLOW_MISSING
      | OPTION_REFRESH, 1, 1, cmd_diff },
    { "apply", "FILE", "make the bridge what FILE says",
      OPTION_JSON | OPTION_COLOR | OPTION_DRY_RUN | OPTION_RESET
      | OPTION_ALLOW_MISSING | OPTION_NO_WAIT, 1, 1, cmd_apply },
    { "delete", "FILE | --pool NAME | --all", "take pools off the bridge",
      OPTION_JSON | OPTION_COLOR | OPTION_DRY_RUN | OPTION_POOL | OPTION_ALL
      | OPTION_NO_WAIT, 0, 1, cmd_delete },
    { "status", "[POOL]", "show installed pools, servers and their traffic",
      OPTION_JSON | OPTION_WATCH | NEEDS_BRIDGE, 0, 1, cmd_status },
    { "connections", "[POOL]", "show who is connected to which server",
      OPTION_JSON | OPTION_SERVER | NEEDS_BRIDGE, 0, 1, cmd_connections },
    { "explain", "POOL CLIENT[:PORT]",
      "say which server a client gets, and why",
      OPTION_JSON | OPTION_LIVE | OPTION_VIP_PORT | NEEDS_BRIDGE, 2, 2,
      cmd_explain },
    { "drain", "POOL/SERVER | POOL/SET", "no new connections to a server",
      OPTION_JSON | OPTION_COLOR | OPTION_DRY_RUN | OPTION_WAIT
      | OPTION_NO_WAIT | NEEDS_BRIDGE, 1, 1, cmd_drain },
    { "maint", "POOL/SERVER | POOL/SET", "no packets to a server at all",
      OPTION_JSON | OPTION_COLOR | OPTION_DRY_RUN | OPTION_NO_WAIT
      | NEEDS_BRIDGE, 1, 1, cmd_maint },
    { "ready", "POOL/SERVER | POOL/SET",
      "end drain, maint and weight of a server",
      OPTION_JSON | OPTION_COLOR | OPTION_DRY_RUN | OPTION_NO_WAIT
      | NEEDS_BRIDGE, 1, 1, cmd_ready },
    { "weight", "POOL/SERVER N|P%", "another weight, or percent of FILE's",
      OPTION_JSON | OPTION_COLOR | OPTION_DRY_RUN | OPTION_NO_WAIT
      | NEEDS_BRIDGE, 2, 2, cmd_weight },
    { "refresh", "FILE", "move weights after what servers report, once",
      OPTION_JSON | OPTION_COLOR | OPTION_DRY_RUN | OPTION_NO_WAIT, 1, 1,
      cmd_refresh },
    { "monitor", "FILE", "check servers, keep the bridge right, as a service",
      OPTION_METRICS, 1, 1, cmd_monitor },
    { NULL, NULL, NULL, 0, 0, 0, NULL }
};

static void
print_version(void)
{
#ifdef PACKAGE_VERSION
    puts("lbgen " PACKAGE_VERSION);
#else
    puts("lbgen");
#endif
#ifdef OVS_BUILD_VERSION
    puts("libopenvswitch " OVS_BUILD_VERSION);
#endif
}

/* A standard stream that the caller closed must not become the number of a
 * socket to the switch, to which results would then be written.  What takes
 * its place fails whatever the stream is for. */
static void
open_standard_streams(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        if (fcntl(fd, F_GETFD) < 0 && errno == EBADF
            && open("/dev/null", fd == STDIN_FILENO ? O_WRONLY
                                                    : O_RDONLY) < 0) {
            exit(STATUS_FAILED);
        }
    }
}

/* Results that nobody received are a failure: the disk may be full. */
static bool
close_output(struct diags *diags)
{
    bool failed = ferror(stdout);
    int error = 0;

    if (fclose(stdout)) {
        error = errno;
        failed = true;
    }
    if (failed) {
        diag_error(diags, NULL, "cannot write to standard output%s%s",
                   error ? ": " : "", error ? strerror(error) : "");
    }
    return !failed;
}

static int
run(enum request request, const struct command_context *context)
{
    switch (request) {
    case REQUEST_RUN:
        return context->command->run(context);
    case REQUEST_HELP:
        options_print_help(context->command, stdout);
        return STATUS_OK;
    case REQUEST_VERSION:
        print_version();
        return STATUS_OK;
    case REQUEST_WRONG:
    default:
        diag_note(context->diags, NULL, "see \"lbgen help%s%s\"",
                  context->command ? " " : "",
                  context->command ? context->command->name : "");
        return STATUS_USAGE;
    }
}

int
main(int argc, char *argv[])
{
    struct command_context context = { .diags = diags_create() };
    enum request request;
    int status;

    /* A reader of our output, or a switch, that goes away is an error to
     * report, not a reason to die. */
    signal(SIGPIPE, SIG_IGN);
    open_standard_streams();

    request = options_parse(argc, argv, &context);
    status = run(request, &context);
    if (!close_output(context.diags)) {
        status = STATUS_FAILED;
    }
    diags_flush(context.diags, stderr);
    diags_destroy(context.diags);
    return status;
}
