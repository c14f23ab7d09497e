/* SPDX-License-Identifier: Apache-2.0 */

/* Checks of type http and https, by libcurl.
 *
 * One request on a connection of its own, to the server's address and nowhere
 * else: no proxy, no redirects, no name service.  Whatever the server sends,
 * no more than ANSWER_MAX bytes of it are kept, and as soon as it is clear
 * what the answer means, the connection is closed. */

#include <config.h>

#include "lib/attempt.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <curl/curl.h>
#include <openvswitch/list.h>

/* How much of an answer is looked at, of its head and of its body. */
#define ANSWER_MAX 65536

struct http_client {
    struct loop *loop;
    CURLM *multi;
    struct loop_timer timer;
    struct ovs_list sockets;    /* Of struct http_socket. */
};

struct http {
    struct attempt up;
    CURL *easy;
    struct curl_slist *connect_to;
    struct curl_slist *headers;
    char *url;
    char why[CURL_ERROR_SIZE];
    int no_socket;              /* Why there is none, an errno value, or 0. */
    size_t head_size;
    char *body;
    size_t body_size;
    bool found;                 /* The text that must be in the body. */
};

/* A socket of libcurl's. */
struct http_socket {
    struct ovs_list node;       /* In the client's "sockets". */
    struct http_client *client;
    CURL *easy;                 /* The request that it is for. */
    struct loop_fd socket;
};

/* Says why there was no answer, as libcurl tells with 'code'. */
static void
judge_failure(struct http *http, CURLcode code)
{
    const char *why = *http->why ? http->why : curl_easy_strerror(code);
    long error = http->no_socket;

    if (!error && code == CURLE_COULDNT_CONNECT) {
        curl_easy_getinfo(http->easy, CURLINFO_OS_ERRNO, &error);
    }
    if (attempt_is_shortage(error)) {
        attempt_end_errno(&http->up, error);
    } else if (code == CURLE_OUT_OF_MEMORY
               || code == CURLE_SSL_CACERT_BADFILE) {
        attempt_end_unable(&http->up, "%s", why);
    } else {
        attempt_end(&http->up, "%s", why);
    }
}

/* Says of the request whose end libcurl tells with 'code' what it means. */
static void
judge(struct http *http, CURLcode code)
{
    const struct check *check = http->up.target.check;
    long status = 0;

    curl_easy_getinfo(http->easy, CURLINFO_RESPONSE_CODE, &status);
    if (code && code != CURLE_WRITE_ERROR) {
        judge_failure(http, code);
    } else if (http->head_size > ANSWER_MAX) {
        attempt_end(&http->up, "more than %d bytes of headers", ANSWER_MAX);
    } else if (status < check->status_min || status > check->status_max) {
        attempt_end(&http->up, "status %ld, not %"PRIu16"-%"PRIu16, status,
                    check->status_min, check->status_max);
    } else if (check->body && !http->found) {
        attempt_end(&http->up, "status %ld, but without the text expected",
                    status);
    } else {
        attempt_end(&http->up, NULL);
    }
}

/* Takes note of requests that are over. */
static void
collect(struct http_client *client)
{
    CURLMsg *message;
    int left;

    while ((message = curl_multi_info_read(client->multi, &left))) {
        if (message->msg == CURLMSG_DONE) {
            CURLcode code = message->data.result;
            char *http;

            curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &http);
            judge((struct http *) http, code);
        }
    }
}

static void
socket_ready(void *socket_, unsigned int events)
{
    struct http_socket *s = socket_;
    struct http_client *client = s->client;
    int action = ((events & (EPOLLIN | EPOLLHUP) ? CURL_CSELECT_IN : 0)
                  | (events & EPOLLOUT ? CURL_CSELECT_OUT : 0)
                  | (events & EPOLLERR ? CURL_CSELECT_ERR : 0));
    int running;

    curl_multi_socket_action(client->multi, s->socket.fd, action, &running);
    collect(client);
}

/* libcurl wants to hear of 'fd', or no longer. */
static int
set_socket(CURL *easy, curl_socket_t fd, int what, void *client_,
           void *socket_)
{
    struct http_client *client = client_;
    struct http_socket *s = socket_;
    unsigned int events = ((what & CURL_POLL_IN ? EPOLLIN : 0)
                           | (what & CURL_POLL_OUT ? EPOLLOUT : 0));

    if (what == CURL_POLL_REMOVE) {
        if (s) {
            loop_remove(client->loop, &s->socket);
            curl_multi_assign(client->multi, fd, NULL);
            ovs_list_remove(&s->node);
            free(s);
        }
    } else if (s) {
        loop_modify(client->loop, &s->socket, events);
    } else {
        s = lb_xcalloc(1, sizeof *s);
        s->client = client;
        s->easy = easy;
        ovs_list_push_back(&client->sockets, &s->node);
        loop_add(client->loop, &s->socket, fd, events, socket_ready, s);
        curl_multi_assign(client->multi, fd, s);
    }
    return 0;
}

static void
timer_expired(void *client_)
{
    struct http_client *client = client_;
    int running;

    curl_multi_socket_action(client->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    collect(client);
}

static int
set_timer(CURLM *multi LB_UNUSED, long ms, void *client_)
{
    struct http_client *client = client_;

    if (ms < 0) {
        loop_timer_cancel(client->loop, &client->timer);
    } else {
        loop_timer_set(client->loop, &client->timer, loop_now() + ms,
                       timer_expired, client);
    }
    return 0;
}

/* NULL if this host is short of something. */
static struct http_client *
http_client_create(struct loop *loop)
{
    struct http_client *client;
    CURLM *multi;

    curl_global_init(CURL_GLOBAL_DEFAULT);
    multi = curl_multi_init();
    if (!multi) {
        curl_global_cleanup();
        return NULL;
    }
    client = lb_xcalloc(1, sizeof *client);
    client->loop = loop;
    client->multi = multi;
    ovs_list_init(&client->sockets);
    curl_multi_setopt(client->multi, CURLMOPT_SOCKETFUNCTION, set_socket);
    curl_multi_setopt(client->multi, CURLMOPT_SOCKETDATA, client);
    curl_multi_setopt(client->multi, CURLMOPT_TIMERFUNCTION, set_timer);
    curl_multi_setopt(client->multi, CURLMOPT_TIMERDATA, client);
    return client;
}

void
http_client_destroy(struct http_client *client)
{
    if (client) {
        curl_multi_cleanup(client->multi);
        loop_timer_cancel(client->loop, &client->timer);
        free(client);
        curl_global_cleanup();
    }
}

static size_t
take_head(char *data LB_UNUSED, size_t size, size_t n, void *http_)
{
    struct http *http = http_;

    http->head_size += size * n;
    return http->head_size > ANSWER_MAX ? 0 : size * n;
}

/* Keeps the beginning of the body, as long as there is something to look for.
 * Returning 0 ends the request. */
static size_t
take_body(char *data, size_t size, size_t n, void *http_)
{
    struct http *http = http_;
    const char *text = http->up.target.check->body;
    size_t room = ANSWER_MAX - http->body_size;
    size_t taken = size * n < room ? size * n : room;

    if (!text) {
        return 0;
    }
    if (!http->body) {
        http->body = lb_xmalloc(ANSWER_MAX);
    }
    memcpy(http->body + http->body_size, data, taken);
    http->body_size += taken;
    http->found = memmem(http->body, http->body_size, text, strlen(text));
    return http->found || http->body_size == ANSWER_MAX ? 0 : size * n;
}

/* Names the server by its address, or by the name that is asked for: then it
 * still is at its address. */
static void
set_target(struct http *http)
{
    const struct attempt_target *target = &http->up.target;
    const struct check *check = target->check;
    const char *scheme = check->type == CHECK_HTTPS ? "https" : "http";
    const char *path = check->path ? check->path : "/";
    char endpoint[ENDPOINT_STRLEN];

    endpoint_format(&target->ip, target->port, endpoint);
    if (check->host) {
        char *to = lb_xasprintf("::%s", endpoint);

        http->connect_to = curl_slist_append(NULL, to);
        free(to);
        curl_easy_setopt(http->easy, CURLOPT_CONNECT_TO, http->connect_to);
        http->url = lb_xasprintf("%s://%s:%"PRIu16"%s", scheme, check->host,
                                 target->port, path);
    } else {
        http->url = lb_xasprintf("%s://%s%s", scheme, endpoint, path);
    }
    curl_easy_setopt(http->easy, CURLOPT_URL, http->url);
}

static void
set_request(struct http *http)
{
    const struct check *check = http->up.target.check;
    CURL *easy = http->easy;

    if (check->method && !strcmp(check->method, "HEAD")) {
        curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
    } else if (check->method) {
        curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, check->method);
    }
    http->headers = curl_slist_append(NULL, "Connection: close");
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, http->headers);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "lbgen");
    if (check->type == CHECK_HTTPS) {
        curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, (long) check->verify);
        curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST,
                         check->verify ? 2L : 0L);
        if (check->ca) {
            curl_easy_setopt(easy, CURLOPT_CAINFO, check->ca);
        }
    }
}

static curl_socket_t
open_socket(void *http_, curlsocktype purpose LB_UNUSED,
            struct curl_sockaddr *to)
{
    struct http *http = http_;
    int fd = socket(to->family, to->socktype | SOCK_CLOEXEC, to->protocol);

    http->no_socket = fd < 0 ? errno : 0;
    return fd < 0 ? CURL_SOCKET_BAD : fd;
}

/* What goes for all requests.  The time is watched by lib/attempt.c. */
static void
set_manners(struct http *http)
{
    CURL *easy = http->easy;

    curl_easy_setopt(easy, CURLOPT_PRIVATE, (char *) http);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, http->why);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L);
    curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, 1L);
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long) CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, open_socket);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, http);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, take_head);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, http);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, http);
}

static void
http_start(struct attempt *attempt)
{
    struct http *http = (struct http *) attempt;
    struct attempts *all = attempt->all;

    if (!all->http) {
        all->http = http_client_create(all->loop);
    }
    http->easy = all->http ? curl_easy_init() : NULL;
    if (!http->easy) {
        attempt_end_unable(attempt, "libcurl does not work");
        return;
    }
    set_manners(http);
    set_target(http);
    set_request(http);
    curl_multi_add_handle(all->http->multi, http->easy);
}

/* libcurl closes a socket that is not connected yet before it says that it
 * wants to hear no more of it.  While a child has a copy of the socket, epoll
 * would go on to tell of it, so it is forgotten before. */
static void
forget_sockets(struct http_client *client, const CURL *easy)
{
    struct http_socket *s;

    LIST_FOR_EACH (s, node, &client->sockets) {
        if (s->easy == easy) {
            loop_remove(client->loop, &s->socket);
        }
    }
}

static void
http_stop(struct attempt *attempt)
{
    struct http *http = (struct http *) attempt;

    if (!http->easy) {
        return;
    }
    forget_sockets(attempt->all->http, http->easy);
    curl_multi_remove_handle(attempt->all->http->multi, http->easy);
    curl_easy_cleanup(http->easy);
    curl_slist_free_all(http->connect_to);
    curl_slist_free_all(http->headers);
    free(http->url);
    free(http->body);
}

const struct attempt_class attempt_http = {
    .size = sizeof(struct http),
    .start = http_start,
    .stop = http_stop,
};
