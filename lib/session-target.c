/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "lib/session-target.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <openflow/openflow-common.h>
#include <openvswitch/util.h>
#include <openvswitch/vconn.h>
#include <openvswitch/vlog.h>

#include "lib/target.h"
#include "lib/util.h"

#ifndef LBGEN_DEFAULT_RUNDIR
#define LBGEN_DEFAULT_RUNDIR "/var/run/openvswitch"
#endif

/* libopenvswitch exports these, but only a private header declares them. */
void stream_ssl_set_private_key_file(const char *file_name);
void stream_ssl_set_certificate_file(const char *file_name);
void stream_ssl_set_ca_cert_file(const char *file_name, bool bootstrap);

void
session_init(int verbose)
{
    ovs_set_program_name("lbgen", PACKAGE_VERSION);
    vlog_set_levels(NULL, VLF_ANY_DESTINATION, VLL_OFF);
    if (verbose > 0) {
        vlog_set_levels(NULL, VLF_CONSOLE,
                        verbose > 1 ? VLL_DBG : VLL_INFO);
        vlog_set_pattern(VLF_CONSOLE, "lbgen: %c: %m");
    }
}

long long int
session_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

/* Where ovs-vswitchd keeps its sockets. */
static const char *
run_directory(void)
{
    const char *dir = getenv("OVS_RUNDIR");

    return dir && *dir ? dir : LBGEN_DEFAULT_RUNDIR;
}

/* True if 'bridge' is a vconn name rather than the name of a bridge. */
static bool
is_vconn_name(const char *bridge)
{
    return strchr(bridge, ':') != NULL;
}

char *
session_vconn_name(const char *bridge)
{
    if (is_vconn_name(bridge)) {
        return lb_xstrdup(bridge);
    } else if (strchr(bridge, '/')) {
        return lb_xasprintf("unix:%s", bridge);
    }
    return lb_xasprintf("unix:%s/%s.mgmt", run_directory(), bridge);
}

bool
session_split_local(const char *target, char **directory, char **bridge)
{
    char *name = session_vconn_name(target);
    char *base = strrchr(name, '/');
    size_t length = base ? strlen(base) : 0;
    bool local = (!strncmp(name, "unix:/", 6) && length > 6
                  && !strcmp(&base[length - 5], ".mgmt"));

    if (local) {
        *directory = lb_xmemdup0(name + 5, base - name - 5);
        *bridge = lb_xmemdup0(base + 1, length - 6);
    }
    free(name);
    return local;
}

/* Queues a note that lists the bridges whose sockets are in the run
 * directory. */
static void
note_bridges(struct diags *diags)
{
    const char *dir_name = run_directory();
    DIR *dir = opendir(dir_name);
    char *list = lb_xstrdup("");
    struct dirent *entry;

    if (!dir) {
        diag_note(diags, NULL, "there is no directory %s; is Open vSwitch "
                  "running? (OVS_RUNDIR)", dir_name);
        free(list);
        return;
    }
    while ((entry = readdir(dir))) {
        size_t length = strlen(entry->d_name);

        if (length > 5 && !strcmp(&entry->d_name[length - 5], ".mgmt")) {
            char *longer = lb_xasprintf("%s%s%.*s", list, *list ? ", " : "",
                                        (int) length - 5, entry->d_name);

            free(list);
            list = longer;
        }
    }
    closedir(dir);
    diag_note(diags, NULL, "bridges in %s: %s", dir_name,
              *list ? list : "none; is Open vSwitch running? (OVS_RUNDIR)");
    free(list);
}

static void
report_version(const char *bridge, int peer_version, struct diags *diags)
{
    diag_error(diags, NULL, "bridge \"%s\" does not speak OpenFlow 1.5, only "
               "up to version 0x%02x; allow it with: ovs-vsctl add bridge %s "
               "protocols OpenFlow15", bridge, (unsigned) peer_version,
               is_vconn_name(bridge) ? "BRIDGE" : bridge);
}

/* What to do about 'error' of a connection to 'name', or "". */
static const char *
connection_hint(const char *name, int error)
{
    if (error == ECONNREFUSED) {
        return "; is ovs-vswitchd running?";
    } else if (!strncmp(name, "ssl:", 4)) {
        return ("; does it listen for SSL, and do the certificates fit? "
                "(more with -v)");
    }
    return error == EPROTO ? "; is it an OpenFlow switch?" : "";
}

static void
report_failure(const struct session_options *options, const char *name,
               int error, struct diags *diags)
{
    const char *bridge = options->bridge;

    switch (error) {
    case EAFNOSUPPORT:
        diag_error(diags, NULL, "\"%s\" is not a bridge: give " TARGET_FORMS,
                   bridge);
        break;

    case ENOENT:
        diag_error(diags, NULL, "cannot reach bridge \"%s\": there is no %s",
                   bridge, strchr(name, ':') + 1);
        if (!is_vconn_name(bridge)) {
            note_bridges(diags);
        }
        break;

    case EACCES:
    case EPERM:
        diag_error(diags, NULL, "cannot reach bridge \"%s\": no permission "
                   "for %s; run as root or as a user who may open it",
                   bridge, strchr(name, ':') + 1);
        break;

    case ETIMEDOUT:
        diag_error(diags, NULL, "bridge \"%s\" gave no answer for %d seconds; "
                   "is it an OpenFlow switch, and is ovs-vswitchd running? "
                   "(--timeout)", bridge, options->timeout);
        break;

    case ENOPROTOOPT:
        diag_error(diags, NULL, "\"%s\" needs --private-key, --certificate "
                   "and --ca-cert%s (more with -v)", bridge,
                   (options->private_key && options->certificate
                    && options->ca_cert ? ", PEM files that fit together"
                    : ""));
        break;

    default:
        diag_error(diags, NULL, "cannot reach bridge \"%s\" at %s: %s%s",
                   bridge, name,
                   error == EOF ? "connection closed" : strerror(error),
                   connection_hint(name, error));
        break;
    }
}

/* Hands one PEM file to 'set', if it is given and can be read. */
static bool
set_pem(const char *file_name, void (*set)(const char *),
        struct diags *diags)
{
    if (file_name) {
        if (access(file_name, R_OK)) {
            diag_error(diags, NULL, "cannot read %s: %s", file_name,
                       strerror(errno));
            return false;
        }
        set(file_name);
    }
    return true;
}

static void
set_ca_cert(const char *file_name)
{
    stream_ssl_set_ca_cert_file(file_name, false);
}

static bool
configure_ssl(const struct session_options *options, struct diags *diags)
{
    return (set_pem(options->private_key, stream_ssl_set_private_key_file,
                    diags)
            && set_pem(options->certificate, stream_ssl_set_certificate_file,
                       diags)
            && set_pem(options->ca_cert, set_ca_cert, diags));
}

struct vconn *
session_connect(const struct session_options *options, struct diags *diags)
{
    char *name = session_vconn_name(options->bridge);
    struct vconn *vconn = NULL;
    int peer_version = 0;
    int error = 0;

    if (!configure_ssl(options, diags)) {
        free(name);
        return NULL;
    }
    error = vconn_open(name, 1u << OFP15_VERSION, 0, &vconn);
    if (!error) {
        error = vconn_connect_block(vconn, options->timeout * 1000LL);
        peer_version = vconn_get_version(vconn);
    }
    if (error) {
        if (peer_version > 0) {
            report_version(options->bridge, peer_version, diags);
        } else {
            report_failure(options, name, error, diags);
        }
        vconn_close(vconn);
        vconn = NULL;
    }
    free(name);
    return vconn;
}
