#include "proxy/probe_run.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

enum { READ_BYTES = 8192 };

static void finish_http(struct probe_run *run)
{
    run->complete = true;
    if (probe_http_follow(&run->http, &run->target) && run->redirects++ < PROBE_REDIRECTS_MAX) {
        probe_run_leave(run);
        run->complete = false;
        probe_run_begin(run);
        return;
    }
    /* What HTTP has no final status for is no answer that the kubelet would take. */
    unsigned status = run->http.status >= 200 ? run->http.status : 502;
    probe_run_finish(run, status, status < 400 ? "ok" : "the application's answer");
}

static void send_request(struct probe_run *run)
{
    while (run->sent < run->request_len) {
        ssize_t sent =
            send(run->fd, run->request + run->sent, run->request_len - run->sent, MSG_NOSIGNAL);
        if (sent < 0 && errno == EAGAIN)
            return;
        /* It may have answered before it hung up: whoever reads will see. */
        run->sent = sent < 0 ? run->request_len : run->sent + (size_t)sent;
    }
}

static void on_talk(struct poll_item *item, uint32_t events)
{
    struct probe_run *run = PROBE_RUN_OF(item, u.item);
    char bytes[READ_BYTES];
    enum probe_http_state state = PROBE_HTTP_MORE;
    struct err err;
    (void)events;
    send_request(run);
    while (state == PROBE_HTTP_MORE) {
        ssize_t got = recv(run->fd, bytes, sizeof bytes, 0);
        if (got < 0 && errno == EAGAIN)
            return;
        if (got < 0) {
            err_sys(&err, ERR_CONN_RESET, errno, "read the application's answer");
            probe_run_fail(run, &err);
            return;
        }
        state =
            got == 0 ? probe_http_end(&run->http) : probe_http_feed(&run->http, bytes, (size_t)got);
    }
    if (state == PROBE_HTTP_DONE) {
        finish_http(run);
        return;
    }
    err_set(&err, ERR_INVALID, "what the application answered is no complete HTTP answer");
    probe_run_fail(run, &err);
}

void probe_talk(struct probe_run *run, int fd)
{
    struct err err;
    run->fd = fd;
    run->sent = 0;
    memset(&run->http, 0, sizeof run->http);
    run->request = probe_http_request(run->probe, &run->target, &run->request_len);
    if (!run->request) {
        err_set(&err, ERR_NO_MEMORY, "no memory for a request");
        probe_run_fail(run, &err);
        return;
    }
    run->u.item = (struct poll_item){.fd = -1};
    if (poll_item_add(run->probes->env->loop, &run->u.item, fd, on_talk, &err) != ERR_OK) {
        probe_run_fail(run, &err);
        return;
    }
    run->stage = RUN_TALKING;
}
