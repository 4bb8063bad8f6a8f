#include "proxy/probes.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "proxy/probe_http.h"
#include "relay/connect.h"
#include "relay/handshake.h"
#include "relay/relay.h"
#include "relay/socket.h"

enum {
    USER_TIMEOUT_MS = 10000,
    ANSWER_SLACK_MS = 2000, /* for our own answer, behind the probe's deadline */
    TUNNEL_CLOSE_MS = 1000, /* for an application to end its side of TLS */
    READ_BYTES = 8192,
};

/* Whoever waits for an answer. */
struct probe_ask {
    struct mail mail; /* first; on its way to the main loop */
    struct probes *probes;
    struct probe *probe;
    struct admin_http_pending *pending;
    struct probe_ask *next;
};

/* TLS towards the application, with plaintext at our end of a socketpair. */
struct probe_tunnel {
    struct relay relay; /* first */
    struct probes *probes;
    struct probe_tunnel **link, *next;
    struct timer deadline;
    bool aborted;
};

/* One probe under way. */
struct probe_run {
    struct probes *probes;
    struct probe *probe;
    struct probe_ask *asks;
    struct timer deadline;
    struct probe_target target;
    unsigned redirects;
    enum { RUN_IDLE, RUN_CONNECTING, RUN_SHAKING, RUN_TALKING, RUN_CALLING } stage;
    int fd; /* shaking and talking */
    struct tls_conn *tls;
    char *request; /* what is left to send of it is request[sent..len-1] */
    size_t request_len, sent;
    struct rpc_channel *channel;
    struct rpc_call *call;
    int serving;   /* what Health/Check said, or -1 */
    bool complete; /* the application has said all that it wanted to say */
    bool answered;
    union {
        struct connect connect;
        struct handshake handshake;
        struct poll_item item;
    } u;
    struct probe_http http;
};

#define RUN_OF(pointer, member)                                                                    \
    ((struct probe_run *)(void *)((char *)(pointer)-offsetof(struct probe_run, member)))

static void begin(struct probe_run *run);

/* --- answers ---------------------------------------------------------------------------------- */

static void answer(struct probe_ask *ask, unsigned status, const char *sentence)
{
    struct admin_http_response response = {.status = status, .content_type = "text/plain"};
    char line[ERR_TEXT_MAX + 2];
    snprintf(line, sizeof line, "%s\n", sentence);
    admin_http_text(&response, status, line);
    admin_http_finish(ask->pending, &response);
    free(ask);
}

static void finish_close(struct probes *probes)
{
    if (!probes->closing || probes->pending > 0)
        return;
    probes->closing = false;
    probe_table_deinit(&probes->table);
    tls_context_unref(probes->unverified);
    probes->unverified = NULL;
    probes->on_closed(probes);
}

static void gone(struct probes *probes)
{
    probes->pending--;
    finish_close(probes);
}

/* Takes what the present stage holds out of the loop. */
static void leave_stage(struct probe_run *run)
{
    if (run->stage == RUN_CONNECTING)
        connect_cancel(&run->u.connect);
    else if (run->stage == RUN_SHAKING)
        handshake_cancel(&run->u.handshake);
    else if (run->stage == RUN_TALKING)
        poll_item_remove(run->probes->env->loop, &run->u.item);
    run->stage = RUN_IDLE;
    if (run->fd >= 0 && run->complete)
        socket_close_clean(run->fd);
    else if (run->fd >= 0)
        socket_close_reset(run->fd);
    run->fd = -1;
    tls_conn_free(run->tls);
    run->tls = NULL;
    free(run->request);
    run->request = NULL;
    if (run->channel)
        rpc_channel_close(run->channel); /* ends the call, whose end frees the run */
    run->channel = NULL;
}

static void finish(struct probe_run *run, unsigned status, const char *sentence)
{
    struct probes *probes = run->probes;
    if (run->answered)
        return;
    run->answered = true;
    run->probe->run = NULL;
    run->probe->waiting = 0;
    timer_stop(probes->env->timers, &run->deadline);
    while (run->asks) {
        struct probe_ask *ask = run->asks;
        run->asks = ask->next;
        answer(ask, status, sentence);
    }
    if (status >= 400)
        LOG_LIMITED(LOG_LEVEL_INFO, 5, "probe_failed", F_STR("probe", run->probe->route),
                    F_STR("kind", probe_kind_name(run->probe->kind)), F_INT("status", status),
                    F_STR("because", sentence));
    leave_stage(run);
    if (run->call)
        return;
    free(run);
    gone(probes);
}

static void fail(struct probe_run *run, const struct err *err)
{
    finish(run, 503, err->text);
}

static void on_deadline(struct timer *timer)
{
    struct probe_run *run = RUN_OF(timer, deadline);
    struct err err;
    err_set(&err, ERR_TIMEOUT, "the application did not answer within %lld ms",
            (long long)run->probe->timeout_ms);
    fail(run, &err);
}

/* --- HTTP ------------------------------------------------------------------------------------- */

static void finish_http(struct probe_run *run)
{
    run->complete = true;
    if (probe_http_follow(&run->http, &run->target) && run->redirects++ < PROBE_REDIRECTS_MAX) {
        leave_stage(run);
        run->complete = false;
        begin(run);
        return;
    }
    /* What HTTP has no final status for is no answer that the kubelet would take. */
    unsigned status = run->http.status >= 200 ? run->http.status : 502;
    finish(run, status, status < 400 ? "ok" : "the application's answer");
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
    struct probe_run *run = RUN_OF(item, u.item);
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
            fail(run, &err);
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
    fail(run, &err);
}

/* Takes `fd`, on which plain HTTP is spoken. */
static void talk(struct probe_run *run, int fd)
{
    struct err err;
    run->fd = fd;
    run->sent = 0;
    memset(&run->http, 0, sizeof run->http);
    run->request = probe_http_request(run->probe, &run->target, &run->request_len);
    if (!run->request) {
        err_set(&err, ERR_NO_MEMORY, "no memory for a request");
        fail(run, &err);
        return;
    }
    run->u.item = (struct poll_item){.fd = -1};
    if (poll_item_add(run->probes->env->loop, &run->u.item, fd, on_talk, &err) != ERR_OK) {
        fail(run, &err);
        return;
    }
    run->stage = RUN_TALKING;
}

/* --- HTTPS ------------------------------------------------------------------------------------ */

static void on_tunnel_end(struct relay *relay, enum err_code code, int side, struct err *err)
{
    struct probe_tunnel *tunnel = (struct probe_tunnel *)(void *)relay;
    struct probes *probes = tunnel->probes;
    (void)code;
    (void)side;
    (void)err;
    timer_stop(probes->env->timers, &tunnel->deadline);
    *tunnel->link = tunnel->next;
    if (tunnel->next)
        tunnel->next->link = tunnel->link;
    free(tunnel);
    gone(probes);
}

static void tunnel_abort(struct probe_tunnel *tunnel)
{
    if (!tunnel->aborted)
        relay_abort(&tunnel->relay, ERR_TIMEOUT);
    tunnel->aborted = true;
}

static void on_tunnel_deadline(struct timer *timer)
{
    tunnel_abort(
        (struct probe_tunnel *)(void *)((char *)timer - offsetof(struct probe_tunnel, deadline)));
}

static void tunnel_list(struct probe_tunnel *tunnel, struct probes *probes)
{
    tunnel->probes = probes;
    tunnel->next = probes->tunnels;
    tunnel->link = &probes->tunnels;
    if (tunnel->next)
        tunnel->next->link = &tunnel->next;
    probes->tunnels = tunnel;
    probes->pending++;
}

/* Puts a relay over run->fd and run->tls; `fd` gets the end where plaintext is spoken. */
static enum err_code start_tunnel(struct probe_run *run, struct handshake *done, int *fd,
                                  struct err *err)
{
    struct probes *probes = run->probes;
    struct probe_tunnel *tunnel = calloc(1, sizeof *tunnel);
    int pair[2];
    if (!tunnel || socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) < 0) {
        free(tunnel);
        free(done->early);
        return err_set(err, ERR_NO_MEMORY, "no memory or descriptors for a TLS connection");
    }
    struct relay_socket plain = {.fd = pair[1]};
    struct relay_socket wire = {
        .fd = run->fd, .tls = run->tls, .early = done->early, .early_len = done->early_len};
    run->fd = -1;
    run->tls = NULL;
    enum err_code code =
        relay_start(&tunnel->relay, probes->env, &plain, &wire, on_tunnel_end, err);
    if (code != ERR_OK) {
        close(pair[0]);
        free(tunnel);
        return code;
    }
    tunnel_list(tunnel, probes);
    if (!timer_start(probes->env->timers, &tunnel->deadline,
                     run->probe->timeout_ms + TUNNEL_CLOSE_MS, on_tunnel_deadline))
        tunnel_abort(tunnel);
    *fd = pair[0];
    return ERR_OK;
}

static void on_handshake(struct handshake *handshake, enum err_code code, struct err *err)
{
    struct probe_run *run = RUN_OF(handshake, u.handshake);
    struct handshake done = *handshake;
    int fd = -1;
    run->stage = RUN_IDLE;
    if (code == ERR_OK)
        code = start_tunnel(run, &done, &fd, err);
    if (code == ERR_OK)
        talk(run, fd);
    else
        fail(run, err);
}

static void shake(struct probe_run *run, int fd)
{
    struct probes *probes = run->probes;
    struct err err = {0};
    run->fd = fd;
    if (!probes->unverified && tls_context_new_unverified(&probes->unverified, &err) != ERR_OK) {
        fail(run, &err);
        return;
    }
    run->tls = tls_conn_new_client_unverified(probes->unverified);
    if (!run->tls)
        err_set(&err, ERR_NO_MEMORY, "no memory for a TLS connection");
    else if (handshake_start(&run->u.handshake, probes->env, fd, run->tls, run->probe->timeout_ms,
                             on_handshake, &err) == ERR_OK) {
        run->stage = RUN_SHAKING;
        return;
    }
    fail(run, &err);
}

/* --- gRPC: grpc.health.v1 --------------------------------------------------------------------- */

enum { HEALTH_SERVICE = 1 << 3 | 2, HEALTH_STATUS = 1 << 3, HEALTH_SERVING = 1 };

/* The field `status` of a HealthCheckResponse; 0 (UNKNOWN) when it is not there. Later fields win,
 * as everywhere in protobuf; what has another shape ends the reading. */
static int parse_health(const uint8_t *bytes, size_t len)
{
    int status = 0;
    for (size_t at = 0; at + 1 < len; at += 2) {
        if (bytes[at] != HEALTH_STATUS || bytes[at + 1] > 0x7f)
            break;
        status = bytes[at + 1];
    }
    return status;
}

static void on_health(struct rpc_call *call, const void *data, size_t len, void *arg)
{
    struct probe_run *run = arg;
    (void)call;
    run->serving = parse_health(data, len);
}

static void on_health_end(struct rpc_call *call, int status, const char *message, void *arg)
{
    static const char *const words[] = {"UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"};
    struct probe_run *run = arg;
    struct err err;
    (void)call;
    run->call = NULL;
    if (run->answered) {
        struct probes *probes = run->probes;
        free(run);
        gone(probes);
    } else if (status != RPC_OK) {
        err_set(&err, ERR_RPC_STATUS, "Health/Check: %s: %.200s", rpc_status_name(status), message);
        fail(run, &err);
    } else if (run->serving != HEALTH_SERVING) {
        err_set(&err, ERR_RPC_STATUS, "Health/Check says %s, expected SERVING",
                run->serving >= 0 && run->serving < 4 ? words[run->serving] : "nothing");
        fail(run, &err);
    } else {
        finish(run, 200, "ok");
    }
}

/* A HealthCheckRequest; returns its length. */
static size_t format_health(const char *service, uint8_t out[PROBE_SERVICE_MAX + 8])
{
    size_t len = strlen(service), at = 0;
    if (len == 0)
        return 0;
    out[at++] = HEALTH_SERVICE;
    for (size_t rest = len; at == 1 || rest > 0; rest >>= 7)
        out[at++] = (uint8_t)((rest & 0x7f) | (rest > 0x7f ? 0x80 : 0));
    memcpy(out + at, service, len);
    return at + len;
}

static void call_health(struct probe_run *run, int fd)
{
    static const struct rpc_call_events events = {.on_message = on_health, .on_end = on_health_end};
    char authority[ADDR_TEXT_MAX];
    uint8_t request[PROBE_SERVICE_MAX + 8];
    size_t len = format_health(run->probe->service, request);
    struct err err = {0};
    run->serving = -1;
    socket_disarm(fd);
    run->channel =
        rpc_channel_new(run->probes->rpc, fd, addr_port_format(&run->target.at, authority), &err);
    if (!run->channel) {
        socket_close_reset(fd);
        fail(run, &err);
        return;
    }
    run->stage = RUN_CALLING;
    run->call = rpc_call_start(run->channel, "/grpc.health.v1.Health/Check", NULL, 0,
                               run->probe->timeout_ms, &events, run, &err);
    if (!run->call || rpc_call_send(run->call, request, len) != ERR_OK) {
        if (run->call)
            err_set(&err, ERR_NO_MEMORY, "no memory for a call");
        fail(run, &err);
        return;
    }
    rpc_call_half_close(run->call);
}

/* --- the way there ---------------------------------------------------------------------------- */

static void on_connect(struct connect *connect, int fd, struct err *err)
{
    struct probe_run *run = RUN_OF(connect, u.connect);
    run->stage = RUN_IDLE;
    if (fd < 0) {
        fail(run, err);
        return;
    }
    switch (run->probe->kind) {
    case PROBE_TCP:
        run->fd = fd;
        run->complete = true;
        finish(run, 200, "ok");
        break;
    case PROBE_GRPC:
        call_health(run, fd);
        break;
    case PROBE_HTTP:
    case PROBE_HTTPS:
        if (run->target.https)
            shake(run, fd);
        else
            talk(run, fd);
        break;
    }
}

/* Connects to run->target. */
static void begin(struct probe_run *run)
{
    static const struct socket_limits limits = {.user_timeout_ms = USER_TIMEOUT_MS};
    struct err err = {0};
    if (connect_start(&run->u.connect, run->probes->env, &run->target.at, &limits,
                      run->probe->timeout_ms, on_connect, &err) == ERR_OK)
        run->stage = RUN_CONNECTING;
    else
        fail(run, &err);
}

static struct probe_run *run_new(struct probes *probes, struct probe *probe)
{
    struct probe_run *run = calloc(1, sizeof *run);
    if (!run)
        return NULL;
    run->probes = probes;
    run->probe = probe;
    run->fd = -1;
    run->target.at = (struct addr_port){.ip = probes->ip, .port = probe->port};
    if ((probe->path && !probe_target_init(&run->target, probe, &probes->ip)) ||
        !timer_start(probes->env->timers, &run->deadline, probe->timeout_ms, on_deadline)) {
        free(run);
        return NULL;
    }
    probe->run = run;
    probes->pending++;
    return run;
}

static void discard_ask(struct mail *mail)
{
    answer((struct probe_ask *)mail, 503, "the proxy is ending");
}

static void on_ask(struct mail *mail, void *owner)
{
    struct probe_ask *ask = (struct probe_ask *)mail;
    struct probe *probe = ask->probe;
    (void)owner;
    if (ask->probes->stopped) { /* and `probe` is gone */
        discard_ask(mail);
        return;
    }
    bool first = !probe->run;
    if (first && !run_new(ask->probes, probe)) {
        answer(ask, 503, "out of memory");
        return;
    }
    probe->waiting++;
    ask->next = probe->run->asks;
    probe->run->asks = ask;
    if (first)
        begin(probe->run);
}

void probes_ask(struct probes *probes, struct admin_http_request *request,
                struct admin_http_response *response)
{
    struct probe *probe = probe_table_find(&probes->table, admin_http_path(request));
    struct probe_ask *ask = probe ? calloc(1, sizeof *ask) : NULL;
    struct admin_http_pending *pending =
        ask ? admin_http_defer_for(request, probe->timeout_ms + ANSWER_SLACK_MS) : NULL;
    if (!pending) {
        free(ask);
        admin_http_text(response, 503, "out of memory\n");
        return;
    }
    *ask = (struct probe_ask){.mail = {.deliver = on_ask, .discard = discard_ask},
                              .probes = probes,
                              .probe = probe,
                              .pending = pending};
    mailbox_post(probes->main_box, &ask->mail);
}

/* --- begin and end ---------------------------------------------------------------------------- */

enum err_code probes_init(struct probes *probes, const char *table, struct err *err)
{
    return probe_table_parse(&probes->table, table, err);
}

void probes_close(struct probes *probes, void (*on_closed)(struct probes *))
{
    probes->stopped = true;
    for (unsigned i = 0; i < probes->table.count; i++) {
        struct probe_run *run = probes->table.probes[i].run;
        if (run)
            finish(run, 503, "the proxy is ending");
    }
    for (struct probe_tunnel *tunnel = probes->tunnels; tunnel; tunnel = tunnel->next)
        tunnel_abort(tunnel);
    probes->on_closed = on_closed;
    probes->closing = true;
    finish_close(probes);
}
