/* SPDX-License-Identifier: Apache-2.0 */

#include "lbgen/options.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "lib/target.h"

#define TIMEOUT_DEFAULT 10
#define TIMEOUT_MAX 86400

/* Long options without a short form are told apart by values beyond those of
 * characters. */
enum {
    ID_TIMEOUT = 256,
    ID_JSON,
    ID_COLOR,
    ID_DRY_RUN,
    ID_POOL,
    ID_ALL,
    ID_RESET,
    ID_WAIT,
    ID_SERVER,
    ID_ALLOW_MISSING,
    ID_LIVE,
    ID_VIP_PORT,
    ID_NO_WAIT,
    ID_METRICS,
    ID_METRICS_FILE,
    ID_WATCH,
    ID_REFRESH
};

/* One option. */
struct option_row {
    int id;                     /* The short option if it is a character. */
    const char *name;
    const char *argument;       /* NULL if it takes none. */
    unsigned int bit;           /* Commands need it; 0: every command does. */
    const char *help;
};

static const struct option_row rows[] = {
    { 'b', "bridge", "NAME", 0,
      "bridge to work on instead of the one in FILE" },
    { 'v', "verbose", NULL, 0, "say what goes on; twice for more" },
    { 'p', "private-key", "FILE", 0, "our private key, for ssl:" },
    { 'c', "certificate", "FILE", 0, "our certificate, for ssl:" },
    { 'C', "ca-cert", "FILE", 0, "who vouches for the switch, for ssl:" },
    { ID_TIMEOUT, "timeout", "SECONDS", 0,
      "how long to wait for the switch (default 10)" },
    { 'h', "help", NULL, 0, "show help, on a command if one is given" },
    { 'V', "version", NULL, 0, "show versions" },
    { ID_JSON, "json", NULL, OPTION_JSON, "print JSON" },
    { ID_COLOR, "color", "WHEN", OPTION_COLOR,
      "auto (default), always or never" },
    { ID_DRY_RUN, "dry-run", NULL, OPTION_DRY_RUN,
      "only show what would change, as diff does" },
    { ID_POOL, "pool", "NAME", OPTION_POOL, "this installed pool" },
    { ID_RESET, "reset", NULL, OPTION_RESET,
      "end all overrides (drain, ready, maint, weight)" },
    { ID_WAIT, "wait", NULL, OPTION_WAIT,
      "until no connection is left, or --timeout if given" },
    { ID_ALLOW_MISSING, "allow-missing", NULL, OPTION_ALLOW_MISSING,
      "go on without servers that are not found" },
    { ID_SERVER, "server", "NAME", OPTION_SERVER,
      "only the server of that name" },
    { ID_LIVE, "live", NULL, OPTION_LIVE,
      "ask the switch as well what it would do" },
    { ID_VIP_PORT, "vip-port", "PORT", OPTION_VIP_PORT,
      "of a pool with several: 443, or 443/tcp" },
    { ID_REFRESH, "refresh", NULL, OPTION_REFRESH,
      "with the weights of a round of refresh" },
    { ID_WATCH, "watch", NULL, OPTION_WATCH,
      "go on showing, on a terminal, until q is typed" },
    { ID_METRICS, "metrics", "PORT", OPTION_METRICS,
      "tell Prometheus, at PORT or ADDRESS:PORT" },
    { ID_METRICS_FILE, "metrics-file", "FILE", OPTION_METRICS,
      "write metrics to FILE, for node-exporter" },
    { ID_NO_WAIT, "no-wait", NULL, OPTION_NO_WAIT,
      "fail if another lbgen is changing the bridge" },
    { ID_ALL, "all", NULL, OPTION_ALL, "everything that lbgen installed" },
};

static const struct option_row *
find_row(int id)
{
    for (size_t i = 0; i < LB_ARRAY_SIZE(rows); i++) {
        if (rows[i].id == id) {
            return &rows[i];
        }
    }
    return NULL;
}

/* "90", "90s", "5m" or "2h". */
static bool
parse_timeout(const char *arg, struct command_context *context)
{
    size_t n_digits = strspn(arg, "0123456789");
    const char *unit = &arg[n_digits];
    long factor = (!*unit || !strcmp(unit, "s") ? 1
                   : !strcmp(unit, "m") ? 60
                   : !strcmp(unit, "h") ? 3600
                   : 0);
    long value = n_digits && n_digits <= 5 ? strtol(arg, NULL, 10) : 0;

    if (value < 1 || value * factor < 1 || value * factor > TIMEOUT_MAX) {
        diag_error(context->diags, NULL,
                   "--timeout must be 1 to %d seconds, or as in 10m or 1h, "
                   "not \"%s\"", TIMEOUT_MAX, arg);
        return false;
    }
    context->timeout = value * factor;
    context->timeout_given = true;
    return true;
}

static bool
parse_color(const char *arg, struct command_context *context)
{
    static const char *const names[] = {
        [COLOR_AUTO] = "auto",
        [COLOR_ALWAYS] = "always",
        [COLOR_NEVER] = "never",
    };

    for (size_t i = 0; i < LB_ARRAY_SIZE(names); i++) {
        if (!strcmp(arg, names[i])) {
            context->color = i;
            return true;
        }
    }
    diag_error(context->diags, NULL,
               "--color must be auto, always or never, not \"%s\"", arg);
    return false;
}

/* Stores 'arg', what option 'id' was given, in '*name'. */
static bool
parse_name(int id, const char *arg, const char **name, struct diags *diags)
{
    if (!*arg) {
        const struct option_row *row = find_row(id);

        diag_error(diags, NULL, "--%s needs %s", row->name, row->argument);
        return false;
    }
    *name = arg;
    return true;
}

static bool
parse_bridge(const char *arg, struct command_context *context)
{
    if (!parse_name('b', arg, &context->bridge, context->diags)) {
        return false;
    } else if (!target_is_valid(arg)) {
        diag_error(context->diags, NULL, "\"%s\" is not a bridge: give "
                   TARGET_FORMS, arg);
        return false;
    }
    return true;
}

/* Stores the address 'host' and 'port'.  False if it is none. */
static bool
set_address(const char *host, uint16_t port, struct sockaddr_storage *ss)
{
    struct sockaddr_in *sin = (struct sockaddr_in *) ss;
    struct sockaddr_in6 *sin6 = (struct sockaddr_in6 *) ss;

    memset(ss, 0, sizeof *ss);
    if (inet_pton(AF_INET, host, &sin->sin_addr) == 1) {
        sin->sin_family = AF_INET;
        sin->sin_port = htons(port);
    } else if (inet_pton(AF_INET6, host, &sin6->sin6_addr) == 1) {
        sin6->sin6_family = AF_INET6;
        sin6->sin6_port = htons(port);
    }
    return ss->ss_family;
}

/* "PORT", "ADDRESS:PORT" or "[ADDRESS]:PORT".  Loopback is the default. */
static bool
parse_metrics(const char *arg, struct command_context *context)
{
    const char *colon = strrchr(arg, ':');
    const char *digits = colon ? colon + 1 : arg;
    size_t n_digits = strspn(digits, "0123456789");
    int port = n_digits <= 5 && !digits[n_digits] ? atoi(digits) : 0;
    char *host = (!colon ? lb_xstrdup("127.0.0.1")
                  : *arg == '[' && colon > arg + 1 && colon[-1] == ']'
                  ? lb_xmemdup0(arg + 1, colon - arg - 2)
                  : lb_xmemdup0(arg, colon - arg));
    bool ok = (port >= 1 && port <= UINT16_MAX
               && set_address(host, port, &context->metrics_address));

    if (!ok) {
        diag_error(context->diags, NULL, "--metrics must be PORT or "
                   "ADDRESS:PORT, not %s", DIAG_QUOTE(arg));
    }
    context->metrics = arg;
    free(host);
    return ok;
}

/* Takes in one option, not those that are requests.  False on error. */
static bool
parse_option(int id, const char *arg, struct command_context *context)
{
    switch (id) {
    case 'b':
        return parse_bridge(arg, context);
    case 'p':
        return parse_name(id, arg, &context->private_key, context->diags);
    case 'c':
        return parse_name(id, arg, &context->certificate, context->diags);
    case 'C':
        return parse_name(id, arg, &context->ca_cert, context->diags);
    case 'v':
        context->verbose++;
        return true;
    case ID_TIMEOUT:
        return parse_timeout(arg, context);
    case ID_JSON:
        context->json = true;
        return true;
    case ID_COLOR:
        return parse_color(arg, context);
    case ID_DRY_RUN:
        context->dry_run = true;
        return true;
    case ID_POOL:
        return parse_name(id, arg, &context->pool, context->diags);
    case ID_VIP_PORT:
        return parse_name(id, arg, &context->vip_port, context->diags);
    case ID_SERVER:
        return parse_name(id, arg, &context->server, context->diags);
    case ID_ALL:
        context->all = true;
        return true;
    case ID_RESET:
        context->reset = true;
        return true;
    case ID_WAIT:
        context->wait = true;
        return true;
    case ID_ALLOW_MISSING:
        context->allow_missing = true;
        return true;
    case ID_LIVE:
        context->live = true;
        return true;
    case ID_REFRESH:
        context->refresh = true;
        return true;
    case ID_WATCH:
        context->watch = true;
        return true;
    case ID_METRICS:
        return parse_metrics(arg, context);
    case ID_METRICS_FILE:
        return parse_name(id, arg, &context->metrics_file, context->diags);
    case ID_NO_WAIT:
        context->no_wait = true;
        return true;
    default:
        return true;
    }
}

/* Says what getopt_long() found to be wrong with 'arg'. */
static void
report_option(int result, const char *arg, struct diags *diags)
{
    const char *names[LB_ARRAY_SIZE(rows) + 1] = { NULL };
    const char *nearest;
    char *name;

    if (result == ':') {
        diag_error(diags, NULL, "option \"%s\" needs a value", arg);
        return;
    }
    if (optopt) {
        const struct option_row *row = find_row(optopt);

        if (row) {
            diag_error(diags, NULL, "option \"--%s\" takes no value",
                       row->name);
        } else {
            diag_error(diags, NULL, "unknown option \"-%c\"", optopt);
        }
        return;
    }
    for (size_t i = 0; i < LB_ARRAY_SIZE(rows); i++) {
        names[i] = rows[i].name;
    }
    name = lb_xmemdup0(arg + 2, strcspn(arg + 2, "="));
    nearest = lb_nearest(name, names);
    if (nearest) {
        diag_error(diags, NULL,
                   "unknown option \"--%s\", did you mean \"--%s\"?",
                   name, nearest);
    } else {
        diag_error(diags, NULL, "unknown option \"--%s\"", name);
    }
    free(name);
}

/* Fills in what getopt_long() wants to know.  'longs' has room for all rows
 * and an end, 'shorts' for two characters for each and an end and a ':'. */
static void
build_getopt(struct option *longs, char *shorts)
{
    *shorts++ = ':';
    for (size_t i = 0; i < LB_ARRAY_SIZE(rows); i++) {
        longs[i] = (struct option) {
            .name = rows[i].name,
            .has_arg = rows[i].argument ? required_argument : no_argument,
            .val = rows[i].id,
        };
        if (rows[i].id < ID_TIMEOUT) {
            *shorts++ = rows[i].id;
            if (rows[i].argument) {
                *shorts++ = ':';
            }
        }
    }
    longs[LB_ARRAY_SIZE(rows)] = (struct option) { .name = NULL };
    *shorts = '\0';
}

/* Takes all options from the command line and adds to '*bits' those that not
 * every command has. */
static enum request
parse_options(int argc, char *argv[], struct command_context *context,
              unsigned int *bits)
{
    struct option longs[LB_ARRAY_SIZE(rows) + 1];
    char shorts[2 * LB_ARRAY_SIZE(rows) + 2];
    enum request request = REQUEST_RUN;
    int id;

    build_getopt(longs, shorts);
    opterr = 0;
    while ((id = getopt_long(argc, argv, shorts, longs, NULL)) != -1) {
        if (id == '?' || id == ':') {
            report_option(id, argv[optind - 1], context->diags);
            return REQUEST_WRONG;
        } else if (id == 'h') {
            request = REQUEST_HELP;
        } else if (id == 'V') {
            request = REQUEST_VERSION;
        } else if (!parse_option(id, optarg, context)) {
            return REQUEST_WRONG;
        }
        *bits |= find_row(id)->bit;
    }
    return request;
}

static const struct command *
find_command(const char *name, struct diags *diags)
{
    const char *names[64] = { NULL };
    const char *nearest;

    for (size_t i = 0; commands[i].name; i++) {
        if (!strcmp(name, commands[i].name)) {
            return &commands[i];
        }
        if (i < LB_ARRAY_SIZE(names) - 1) {
            names[i] = commands[i].name;
        }
    }
    nearest = lb_nearest(name, names);
    if (nearest) {
        diag_error(diags, NULL, "unknown command \"%s\", did you mean \"%s\"?",
                   name, nearest);
    } else {
        diag_error(diags, NULL, "unknown command \"%s\"", name);
    }
    return NULL;
}

/* Whether the command takes what it was given. */
static bool
check_fit(const struct command_context *context, unsigned int bits)
{
    const struct command *command = context->command;

    for (size_t i = 0; i < LB_ARRAY_SIZE(rows); i++) {
        if (rows[i].bit & bits & ~command->options) {
            diag_error(context->diags, NULL, "\"%s\" has no option --%s",
                       command->name, rows[i].name);
            return false;
        }
    }
    if (context->n_args < command->min_args) {
        diag_error(context->diags, NULL, "\"%s\" needs %s", command->name,
                   command->usage);
        return false;
    }
    if (context->n_args > command->max_args) {
        diag_error(context->diags, NULL, "\"%s\" does not take \"%s\"",
                   command->name, context->args[command->max_args]);
        return false;
    }
    if (context->watch && context->json) {
        diag_error(context->diags, NULL, "--watch is for people, and does not "
                   "go with --json");
        return false;
    }
    if (command->options & NEEDS_BRIDGE && !context->bridge) {
        diag_error(context->diags, NULL, "which bridge? give -b BRIDGE");
        return false;
    }
    return true;
}

enum request
options_parse(int argc, char *argv[], struct command_context *context)
{
    unsigned int bits = 0;
    enum request request;

    context->timeout = TIMEOUT_DEFAULT;
    request = parse_options(argc, argv, context, &bits);
    argc -= optind;
    argv += optind;
    while ((request == REQUEST_RUN || request == REQUEST_HELP)
           && argc && !strcmp(argv[0], "help")) {
        request = REQUEST_HELP;
        argc--;
        argv++;
    }
    if (request == REQUEST_WRONG || request == REQUEST_VERSION
        || (request == REQUEST_HELP && !argc)) {
        return request;
    }
    if (!argc) {
        diag_error(context->diags, NULL, "no command given");
        return REQUEST_WRONG;
    }

    context->command = find_command(argv[0], context->diags);
    context->args = argv + 1;
    context->n_args = argc - 1;
    if (!context->command
        || (request == REQUEST_RUN && !check_fit(context, bits))) {
        return REQUEST_WRONG;
    }
    return request;
}

static void
print_option(const struct option_row *row, FILE *stream)
{
    char text[32];

    snprintf(text, sizeof text, "--%s%s%s", row->name,
             row->argument ? " " : "", row->argument ? row->argument : "");
    if (row->id < ID_TIMEOUT) {
        fprintf(stream, "  -%c, %-20s %s\n", row->id, text, row->help);
    } else {
        fprintf(stream, "      %-20s %s\n", text, row->help);
    }
}

void
options_print_help(const struct command *command, FILE *stream)
{
    if (command) {
        fprintf(stream, "usage: lbgen %s [OPTION]... %s\n%s\n",
                command->name, command->usage, command->summary);
    } else {
        fputs("usage: lbgen COMMAND [OPTION]... [ARGUMENT]...\n"
              "Makes an Open vSwitch bridge balance load over servers.\n"
              "\ncommands:\n", stream);
        for (command = commands; command->name; command++) {
            fprintf(stream, "  %-11s  %s\n", command->name, command->summary);
        }
        command = NULL;
    }
    fputs("\noptions:\n", stream);
    for (size_t i = 0; i < LB_ARRAY_SIZE(rows); i++) {
        if (!rows[i].bit || (command && rows[i].bit & command->options)) {
            print_option(&rows[i], stream);
        }
    }
    if (!command) {
        fputs("\n\"lbgen help COMMAND\" lists the options of one command.  "
              "lbgen(8) has the rest.\n", stream);
    }
}
