/* SPDX-License-Identifier: Apache-2.0 */

/* HTTP and HTTPS, by libcurl
 * ==========================
 *
 * libcurl says which sockets it waits for and until when; the batch waits for
 * those with everything else. */

#include <config.h>

#include "lib/metrics-internal.h"

#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

/* libcurl wants another set of events for 'fd'. */
static int
watch_socket(CURL *easy LB_UNUSED, curl_socket_t fd, int what, void *batch_,
             void *known)
{
    struct metrics_batch *batch = batch_;
    struct epoll_event event = {
        .events = ((what & CURL_POLL_IN ? EPOLLIN : 0)
                   | (what & CURL_POLL_OUT ? EPOLLOUT : 0)),
        .data.u64 = (uint32_t) fd,
    };

    if (what == CURL_POLL_REMOVE) {
        epoll_ctl(batch->epoll_fd, EPOLL_CTL_DEL, fd, &event);
    } else {
        epoll_ctl(batch->epoll_fd, known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd,
                  &event);
        /* What comes back as 'known' until the socket is removed. */
        curl_multi_assign(batch->multi, fd, batch);
    }
    return 0;
}

static int
set_timer(CURLM *multi LB_UNUSED, long milliseconds, void *batch_)
{
    struct metrics_batch *batch = batch_;

    batch->curl_deadline = (milliseconds < 0 ? INT64_MAX
                            : metrics_now() + milliseconds);
    return 0;
}

static size_t
take_data(char *data, size_t size, size_t n, void *fetch_)
{
    struct fetch *fetch = fetch_;

    if (!fetch_append(fetch, data, size * n)) {
        fetch->error = lb_xstrdup("the answer is longer than 1 MiB");
        return 0;
    }
    return size * n;
}

static void
set_options(CURL *easy, struct fetch *fetch)
{
    curl_easy_setopt(easy, CURLOPT_URL, fetch->target);
    curl_easy_setopt(easy, CURLOPT_PRIVATE, fetch);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_data);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, fetch);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, fetch->curl_error);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "lbgen/" PACKAGE_VERSION);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
#if LIBCURL_VERSION_NUM >= 0x075700
    /* A thread that waits for the name service is not waited for: the process
     * ends soon. */
    curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
#endif
    /* A proxy of the environment is not meant for the servers next door. */
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
#if LIBCURL_VERSION_NUM >= 0x075500
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
#else
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS,
                     CURLPROTO_HTTP | CURLPROTO_HTTPS);
#endif
    if (fetch->source->ca) {
        curl_easy_setopt(easy, CURLOPT_CAINFO, fetch->source->ca);
    }
}

void
fetch_start_http(struct fetch *fetch)
{
    struct metrics_batch *batch = fetch->batch;

    if (!batch->multi) {
        batch->multi = curl_multi_init();
        curl_multi_setopt(batch->multi, CURLMOPT_SOCKETFUNCTION, watch_socket);
        curl_multi_setopt(batch->multi, CURLMOPT_SOCKETDATA, batch);
        curl_multi_setopt(batch->multi, CURLMOPT_TIMERFUNCTION, set_timer);
        curl_multi_setopt(batch->multi, CURLMOPT_TIMERDATA, batch);
    }
    fetch->easy = curl_easy_init();
    if (!fetch->easy) {
        fetch_finish(fetch, "libcurl does not work");
        return;
    }
    set_options(fetch->easy, fetch);
    curl_multi_add_handle(batch->multi, fetch->easy);
}

void
fetch_stop_http(struct fetch *fetch)
{
    curl_multi_remove_handle(fetch->batch->multi, fetch->easy);
    curl_easy_cleanup(fetch->easy);
    fetch->easy = NULL;
}

/* The transfer of 'fetch' has ended with 'result'. */
static void
finish_http(struct fetch *fetch, CURLcode result)
{
    long status = 0;
    char *error = NULL;

    curl_easy_getinfo(fetch->easy, CURLINFO_RESPONSE_CODE, &status);
    if (result != CURLE_OK) {
        error = lb_xstrdup(*fetch->curl_error ? fetch->curl_error
                           : curl_easy_strerror(result));
    } else if (status >= 300 && status < 400) {
        error = lb_xasprintf("it sends elsewhere (%ld), and redirections are "
                             "not followed", status);
    } else if (status != 200) {
        error = lb_xasprintf("the status is %ld, not 200", status);
    }
    fetch_finish(fetch, error);
    free(error);
}

void
batch_run_curl(struct metrics_batch *batch, int fd, int events)
{
    int flags = ((events & EPOLLIN ? CURL_CSELECT_IN : 0)
                 | (events & EPOLLOUT ? CURL_CSELECT_OUT : 0)
                 | (events & (EPOLLERR | EPOLLHUP) ? CURL_CSELECT_ERR : 0));
    int n_running, n_left;
    CURLMsg *message;

    if (fd < 0) {
        batch->curl_deadline = INT64_MAX;
    }
    curl_multi_socket_action(batch->multi, fd < 0 ? CURL_SOCKET_TIMEOUT : fd,
                             flags, &n_running);
    while ((message = curl_multi_info_read(batch->multi, &n_left))) {
        CURLcode result = message->data.result;
        char *fetch;

        if (message->msg == CURLMSG_DONE) {
            curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &fetch);
            finish_http((struct fetch *) (void *) fetch, result);
        }
    }
}

void
batch_stop_curl(struct metrics_batch *batch)
{
    if (batch->multi) {
        curl_multi_cleanup(batch->multi);
        batch->multi = NULL;
    }
}
