/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "lib/unixctl.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <openvswitch/json.h>
#include <openvswitch/shash.h>

#include "lib/session-target.h"
#include "lib/util.h"

struct unixctl {
    int fd;
    long long int deadline;     /* As session_now(). */
    long long int next_id;
};

/* Reads the process id out of 'directory'.  Returns 0 or a positive errno
 * value. */
static int
read_pid(const char *directory, long *pid)
{
    char *name = lb_xasprintf("%s/ovs-vswitchd.pid", directory);
    FILE *file = fopen(name, "r");
    int error = file ? 0 : errno;

    free(name);
    if (file) {
        if (fscanf(file, "%ld", pid) != 1 || *pid <= 0) {
            error = EINVAL;
        }
        fclose(file);
    }
    return error;
}

/* Connects 'fd' to the socket 'name' in 'directory', whose path may be longer
 * than an address of a socket: then the way goes through /proc. */
static int
connect_in(int fd, const char *directory, const char *name)
{
    struct sockaddr_un un = { .sun_family = AF_UNIX };
    int n = snprintf(un.sun_path, sizeof un.sun_path, "%s/%s", directory,
                     name);
    int dir_fd = -1;
    int error = 0;

    if (n < 0 || (size_t) n >= sizeof un.sun_path) {
        dir_fd = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (dir_fd < 0) {
            return errno;
        }
        snprintf(un.sun_path, sizeof un.sun_path, "/proc/self/fd/%d/%.60s",
                 dir_fd, name);
    }
    if (connect(fd, (struct sockaddr *) &un, sizeof un)) {
        error = errno;
    }
    if (dir_fd >= 0) {
        close(dir_fd);
    }
    return error;
}

/* A socket that waits no longer than 'timeout' seconds for its connection.
 * Returns -1 on error. */
static int
create_socket(int timeout)
{
    struct timeval tv = { .tv_sec = timeout };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd >= 0) {
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof tv);
    }
    return fd;
}

struct unixctl *
unixctl_open(const char *directory, int timeout, char **why)
{
    struct unixctl *u = lb_xcalloc(1, sizeof *u);
    long pid = 0;
    int error = read_pid(directory, &pid);

    u->fd = -1;
    u->deadline = session_now() + timeout * 1000LL;
    if (error) {
        *why = lb_xasprintf("cannot read %s/ovs-vswitchd.pid: %s", directory,
                            strerror(error));
    } else {
        char name[48];

        snprintf(name, sizeof name, "ovs-vswitchd.%ld.ctl", pid);
        u->fd = create_socket(timeout);
        error = u->fd < 0 ? errno : connect_in(u->fd, directory, name);
        if (error) {
            *why = lb_xasprintf("cannot reach %s/%s: %s", directory, name,
                                strerror(error));
        }
    }
    if (error) {
        unixctl_close(u);
        return NULL;
    }
    return u;
}

void
unixctl_close(struct unixctl *u)
{
    if (u) {
        if (u->fd >= 0) {
            close(u->fd);
        }
        free(u);
    }
}

/* Waits for 'events' of the socket.  Returns 0 or a positive errno value. */
static int
wait_for(const struct unixctl *u, short events)
{
    struct pollfd pfd = { .fd = u->fd, .events = events };
    long long int left = u->deadline - session_now();
    int n;

    if (left <= 0) {
        return ETIMEDOUT;
    }
    n = poll(&pfd, 1, left > INT_MAX ? INT_MAX : left);
    return n > 0 || (n < 0 && errno == EINTR) ? 0 : n ? errno : ETIMEDOUT;
}

static int
send_text(const struct unixctl *u, const char *text)
{
    size_t size = strlen(text);
    int error = 0;

    while (size && !error) {
        ssize_t n = send(u->fd, text, size, MSG_DONTWAIT | MSG_NOSIGNAL);

        if (n >= 0) {
            text += n;
            size -= n;
        } else if (errno == EAGAIN || errno == EINTR) {
            error = wait_for(u, POLLOUT);
        } else {
            error = errno;
        }
    }
    return error;
}

/* Receives one JSON value.  Returns 0 and stores it, or a positive errno
 * value. */
static int
receive_json(const struct unixctl *u, struct json **json)
{
    struct json_parser *parser = json_parser_create(0);
    char buf[65536];
    int error = 0;

    while (!error && !json_parser_is_done(parser)) {
        ssize_t n = recv(u->fd, buf, sizeof buf, MSG_DONTWAIT);

        if (n > 0) {
            json_parser_feed(parser, buf, n);
        } else if (!n) {
            error = ECONNRESET;
        } else if (errno == EAGAIN || errno == EINTR) {
            error = wait_for(u, POLLIN);
        } else {
            error = errno;
        }
    }
    if (error) {
        json_parser_abort(parser);
    } else {
        *json = json_parser_finish(parser);
    }
    return error;
}

/* The text of a request.  The caller frees it. */
static char *
format_request(struct unixctl *u, const char *method,
               const char *const args[])
{
    struct json *request = json_object_create();
    struct json *params = json_array_create_empty();
    char *text;

    for (; *args; args++) {
        json_array_add(params, json_string_create(*args));
    }
    json_object_put(request, "id", json_integer_create(u->next_id++));
    json_object_put_string(request, "method", method);
    json_object_put(request, "params", params);
    text = json_to_string(request, 0);
    json_destroy(request);
    return text;
}

/* The member 'name' of 'object' if it is a string, else NULL. */
static const char *
get_string(const struct json *object, const char *name)
{
    const struct json *member
        = (object->type == JSON_OBJECT
           ? shash_find_data(json_object(object), name) : NULL);

    return (member && member->type == JSON_STRING ? json_string(member)
            : NULL);
}

bool
unixctl_call(struct unixctl *u, const char *method, const char *const args[],
             char **reply)
{
    char *request = format_request(u, method, args);
    struct json *json = NULL;
    const char *result = NULL;
    int error = send_text(u, request);

    free(request);
    if (!error) {
        error = receive_json(u, &json);
    }
    if (error) {
        *reply = lb_xasprintf("ovs-vswitchd does not answer \"%s\": %s",
                              method, strerror(error));
        return false;
    }
    result = get_string(json, "result");
    if (result) {
        *reply = lb_xstrdup(result);
    } else {
        const char *refusal = get_string(json, "error");

        *reply = lb_xasprintf("ovs-vswitchd refuses \"%s\": %.*s", method,
                              (int) strcspn(refusal ? refusal : "", "\n"),
                              refusal ? refusal : "");
    }
    json_destroy(json);
    return result != NULL;
}
