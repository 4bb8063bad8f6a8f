#include "xds/server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "xds/delta_server.h"

enum {
    SEND_DEADLINE_MS = 30000,
    NODE_DEADLINE_MS = 30000,
};

/* A stream whose token says more ends after this: a year. */
static const int64_t expiry_max_ms = INT64_C(366) * 86400 * 1000;

struct stream {
    struct stream **link, *next;
    struct xds_server *server;
    struct rpc_call *call;
    struct xds_delta_server *delta;
    char *namespace, *service_account;
    bool sending; /* one response at a time is with gRPC; the rest waits in the store */
    bool over;    /* finished or cancelled: on_end is on its way */
    struct timer send_deadline, node_deadline, expiry;
    void (*on_gone)(void *arg);
    void *gone_arg;
};

struct xds_server {
    struct timers *timers;
    struct xds_server_config config;
    struct xds_store store;
    struct stream *streams;
    bool closing;
    void (*on_closed)(void *arg);
    void *closed_arg;
    struct xds_server_stats stats;
};

#define STREAM_OF(pointer, member)                                                                 \
    ((struct stream *)(void *)((char *)(pointer)-offsetof(struct stream, member)))

/* --- ending a stream ------------------------------------------------------------------------- */

static void stop_timers(struct stream *stream)
{
    timer_stop(stream->server->timers, &stream->send_deadline);
    timer_stop(stream->server->timers, &stream->node_deadline);
    timer_stop(stream->server->timers, &stream->expiry);
}

/* Ends it without waiting for what is queued: whoever does not read must not hold it open. */
static void cut(struct stream *stream, int status, const char *why)
{
    if (stream->over)
        return;
    stream->over = true;
    stop_timers(stream);
    rpc_call_cancel(stream->call, status, why);
}

static void cut_bad(struct stream *stream, const struct err *err)
{
    char text[RPC_TEXT_MAX];
    int status = err->code == ERR_XDS_NODE    ? RPC_PERMISSION_DENIED
                 : err->code == ERR_NO_MEMORY ? RPC_RESOURCE_EXHAUSTED
                 : err->code == ERR_QUOTA     ? RPC_RESOURCE_EXHAUSTED
                                              : RPC_INVALID_ARGUMENT;
    stream->server->stats.streams_refused[err->code]++;
    LOG_LIMITED(LOG_LEVEL_WARN, 10, "xds_stream_refused", F_STR("namespace", stream->namespace),
                F_STR("service_account", stream->service_account), F_ERR(err));
    snprintf(text, sizeof text, "%s: %s", err_label(err->code), err->text);
    cut(stream, status, text);
}

static void finish_close(struct xds_server *server)
{
    if (!server->closing || server->streams)
        return;
    void (*on_closed)(void *) = server->on_closed;
    void *arg = server->closed_arg;
    xds_store_deinit(&server->store);
    free(server);
    if (on_closed)
        on_closed(arg);
}

static void free_stream(struct stream *stream)
{
    xds_delta_server_free(stream->delta);
    free(stream->namespace);
    free(stream->service_account);
    free(stream);
}

static void on_end(struct rpc_call *call, int status, const char *message, void *arg)
{
    struct stream *stream = arg;
    struct xds_server *server = stream->server;
    (void)call;
    LOG_DEBUG("xds_stream_ended", F_STR("node", xds_delta_server_node(stream->delta)),
              F_STR("status", rpc_status_name(status)), F_STR("message", message));
    stop_timers(stream);
    *stream->link = stream->next;
    if (stream->next)
        stream->next->link = stream->link;
    server->stats.streams--;
    void (*on_gone)(void *) = stream->on_gone;
    void *gone_arg = stream->gone_arg;
    free_stream(stream);
    if (on_gone)
        on_gone(gone_arg);
    finish_close(server);
}

/* --- answering -------------------------------------------------------------------------------- */

static void on_send_deadline(struct timer *timer)
{
    struct stream *stream = STREAM_OF(timer, send_deadline);
    stream->server->stats.streams_stalled++;
    LOG_LIMITED(LOG_LEVEL_WARN, 10, "xds_stream_stalled",
                F_STR("node", xds_delta_server_node(stream->delta)));
    stop_timers(stream);
    stream->over = true;
    /* Also where the call is finished already and only waits for its queue. */
    rpc_call_cancel(stream->call, RPC_DEADLINE_EXCEEDED, "the client does not read");
}

static void start_timer(struct stream *stream, struct timer *timer, int64_t delay_ms,
                        void (*on_due)(struct timer *))
{
    if (!timer_start(stream->server->timers, timer, delay_ms, on_due))
        cut(stream, RPC_RESOURCE_EXHAUSTED, "out of memory");
}

/* Sends the next response, if one may go out now. */
static void pump(struct stream *stream)
{
    struct xds_server *server = stream->server;
    struct err err = {0};
    void *data = NULL;
    size_t len = 0;
    if (stream->sending || stream->over)
        return;
    enum err_code code = xds_delta_server_next(stream->delta, &data, &len, &err);
    if (code == ERR_CANCELLED) {
        cut(stream, RPC_ABORTED, err.text);
        return;
    }
    if (code == ERR_OK && !data)
        return;
    if (code == ERR_OK) {
        code = rpc_call_send_take(stream->call, data, len);
        if (code != ERR_OK) {
            free(data);
            err_set(&err, code, "the response cannot be sent");
        }
    }
    if (code != ERR_OK) {
        cut_bad(stream, &err);
        return;
    }
    stream->sending = true;
    start_timer(stream, &stream->send_deadline, server->config.send_deadline_ms, on_send_deadline);
}

static void on_sent(struct rpc_call *call, void *arg)
{
    struct stream *stream = arg;
    (void)call;
    stream->sending = false;
    if (stream->over)
        return;
    timer_stop(stream->server->timers, &stream->send_deadline);
    pump(stream);
}

static void on_message(struct rpc_call *call, const void *data, size_t len, void *arg)
{
    struct stream *stream = arg;
    struct err err = {0};
    (void)call;
    if (stream->over)
        return;
    if (xds_delta_server_request(stream->delta, data, len, &err) != ERR_OK) {
        cut_bad(stream, &err);
        return;
    }
    timer_stop(stream->server->timers, &stream->node_deadline);
    pump(stream);
}

static void on_half_closed(struct rpc_call *call, void *arg)
{
    struct stream *stream = arg;
    if (stream->over)
        return;
    stop_timers(stream);
    /* The status goes out behind what is queued, which a client that does not read would hold up
     * for ever. */
    start_timer(stream, &stream->send_deadline, stream->server->config.send_deadline_ms,
                on_send_deadline);
    stream->over = true;
    rpc_call_finish(call, RPC_OK, NULL);
}

/* --- opening ---------------------------------------------------------------------------------- */

static void on_expired(struct timer *timer)
{
    struct stream *stream = STREAM_OF(timer, expiry);
    stream->server->stats.streams_expired++;
    LOG_DEBUG("xds_stream_expired", F_STR("node", xds_delta_server_node(stream->delta)));
    cut(stream, RPC_UNAUTHENTICATED, "token_expired: the token of this stream has expired");
}

static void on_node_deadline(struct timer *timer)
{
    struct stream *stream = STREAM_OF(timer, node_deadline);
    stream->server->stats.streams_refused[ERR_TIMEOUT]++;
    cut(stream, RPC_DEADLINE_EXCEEDED, "timeout: no first request came");
}

static void refuse(struct xds_server *server, struct rpc_call *call, const struct xds_peer *peer,
                   int status, enum err_code code, const char *why)
{
    char text[RPC_TEXT_MAX];
    struct err err;
    err_set(&err, code, "%s", why);
    server->stats.streams_refused[code]++;
    LOG_LIMITED(LOG_LEVEL_WARN, 10, "xds_stream_refused", F_STR("namespace", peer->namespace),
                F_STR("service_account", peer->service_account), F_ERR(&err));
    snprintf(text, sizeof text, "%s: %s", err_label(code), why);
    rpc_call_finish(call, status, text);
    if (peer->on_gone)
        peer->on_gone(peer->arg);
}

static struct stream *stream_new(struct xds_server *server, const struct xds_peer *peer)
{
    struct stream *stream = calloc(1, sizeof *stream);
    if (!stream)
        return NULL;
    stream->server = server;
    stream->namespace = strdup(peer->namespace);
    stream->service_account = strdup(peer->service_account);
    stream->delta = xds_delta_server_new(&server->store, peer->namespace,
                                         server->config.response_target_bytes, &server->stats);
    if (stream->delta)
        xds_delta_server_share(stream->delta, peer->names);
    if (stream->namespace && stream->service_account && stream->delta)
        return stream;
    free_stream(stream);
    return NULL;
}

/* Until the token expires; at most expiry_max_ms, which is also the answer when it never does. */
static int64_t time_left_ms(const struct xds_peer *peer)
{
    if (!peer->expires_wall_s || peer->expires_wall_s - clock_wall_s() > expiry_max_ms / 1000)
        return expiry_max_ms;
    return peer->expires_wall_s * 1000 - clock_wall_ms();
}

void xds_server_open(struct xds_server *server, struct rpc_call *call, const struct xds_peer *peer)
{
    static const struct rpc_call_events events = {.on_message = on_message,
                                                  .on_sent = on_sent,
                                                  .on_half_closed = on_half_closed,
                                                  .on_end = on_end};
    int64_t left_ms = time_left_ms(peer);
    if (server->closing || server->stats.streams >= server->config.streams_max) {
        refuse(server, call, peer, RPC_RESOURCE_EXHAUSTED, ERR_BUSY, "too many streams");
        return;
    }
    if (left_ms <= 0) {
        refuse(server, call, peer, RPC_UNAUTHENTICATED, ERR_TOKEN_EXPIRED, "the token has expired");
        return;
    }
    struct stream *stream = stream_new(server, peer);
    if (!stream || rpc_call_accept(call, NULL, 0, &events, stream) != ERR_OK) {
        if (stream)
            free_stream(stream);
        refuse(server, call, peer, RPC_RESOURCE_EXHAUSTED, ERR_NO_MEMORY, "out of memory");
        return;
    }
    stream->call = call;
    stream->on_gone = peer->on_gone;
    stream->gone_arg = peer->arg;
    stream->next = server->streams;
    stream->link = &server->streams;
    if (stream->next)
        stream->next->link = &stream->next;
    server->streams = stream;
    server->stats.streams++;
    server->stats.streams_opened++;
    start_timer(stream, &stream->node_deadline, server->config.node_deadline_ms, on_node_deadline);
    if (peer->expires_wall_s)
        start_timer(stream, &stream->expiry, left_ms, on_expired);
}

/* --- publishing ------------------------------------------------------------------------------ */

/* Removals that every stream has passed need not be remembered. */
static void prune(struct xds_server *server, enum xds_type type)
{
    uint64_t oldest = server->store.seq;
    for (const struct stream *stream = server->streams; stream; stream = stream->next) {
        uint64_t seq;
        if (xds_delta_server_place(stream->delta, type, &seq) && seq < oldest)
            oldest = seq;
    }
    xds_store_prune(&server->store, type, oldest);
}

enum err_code xds_server_publish(struct xds_server *server, enum xds_type type, struct xds_set *set,
                                 struct err *err)
{
    bool changed = false;
    enum err_code code = xds_store_update(&server->store, type, set, &changed, err);
    server->stats.resources[type] = server->store.lists[type].count;
    if (!changed)
        return code;
    server->stats.generation++;
    server->stats.last_publish_wall_ms = clock_wall_ms();
    for (struct stream *stream = server->streams; stream; stream = stream->next)
        pump(stream);
    prune(server, type);
    return code;
}

/* --- begin and end --------------------------------------------------------------------------- */

struct xds_server *xds_server_new(struct timers *timers, const struct xds_server_config *config,
                                  struct err *err)
{
    struct xds_server *server = calloc(1, sizeof *server);
    if (!server) {
        err_set(err, ERR_NO_MEMORY, "no memory for the control protocol");
        return NULL;
    }
    server->timers = timers;
    if (config)
        server->config = *config;
    if (!server->config.streams_max)
        server->config.streams_max = XDS_SERVER_STREAMS_MAX;
    if (!server->config.send_deadline_ms)
        server->config.send_deadline_ms = SEND_DEADLINE_MS;
    if (!server->config.node_deadline_ms)
        server->config.node_deadline_ms = NODE_DEADLINE_MS;
    xds_store_init(&server->store);
    return server;
}

void xds_server_close(struct xds_server *server, void (*on_closed)(void *arg), void *arg)
{
    server->closing = true;
    server->on_closed = on_closed;
    server->closed_arg = arg;
    for (struct stream *stream = server->streams; stream; stream = stream->next)
        cut(stream, RPC_UNAVAILABLE, "the control plane ends");
    finish_close(server);
}

const struct xds_server_stats *xds_server_stats(const struct xds_server *server)
{
    return &server->stats;
}
