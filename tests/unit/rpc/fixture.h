/* A loop with gRPC on it, a server with a few methods, and clients that note what happened to them.
 */
#ifndef FIXTURE_H
#define FIXTURE_H

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "loop/loop.h"
#include "rpc/rpc.h"
#include "suite.h"

enum { FIXTURE_WATCHDOG_MS = 30 * 1000 };

struct fixture {
    struct loop loop;
    struct rpc *rpc;
    struct rpc_server *server;
    uv_timer_t watchdog;
    bool timed_out, closed;
};

/* One end of a call: the client's, or the server's when a method accepts with `server_events`. */
struct peer {
    struct rpc_call *call; /* NULL once ended */
    unsigned opens, messages, sent, half_closes, ends;
    int status;
    char text[RPC_TEXT_MAX];
    char last[64]; /* the start of the last message */
    size_t last_len;
    char initial[64], trailing[64];
    void (*on_message)(struct peer *peer, const void *data, size_t len);
    void (*on_sent)(struct peer *peer);
    void (*on_end)(struct peer *peer);
    void *context;
};

static void peer_on_message(struct rpc_call *call, const void *data, size_t len, void *arg)
{
    struct peer *peer = arg;
    peer->messages++;
    peer->last_len = len;
    memset(peer->last, 0, sizeof peer->last);
    memcpy(peer->last, data, len < sizeof peer->last ? len : sizeof peer->last - 1);
    CU_ASSERT_PTR_EQUAL(rpc_call_arg(call), peer);
    if (peer->on_message)
        peer->on_message(peer, data, len);
}

static void peer_on_sent(struct rpc_call *call, void *arg)
{
    (void)call;
    struct peer *peer = arg;
    peer->sent++;
    if (peer->on_sent)
        peer->on_sent(peer);
}

static void peer_on_half_closed(struct rpc_call *call, void *arg)
{
    (void)call;
    struct peer *peer = arg;
    peer->half_closes++;
}

static void note_metadata(char out[64], const char *value, size_t len)
{
    memset(out, 0, 64);
    if (value)
        memcpy(out, value, len < 64 ? len : 63);
}

static void peer_on_end(struct rpc_call *call, int status, const char *message, void *arg)
{
    struct peer *peer = arg;
    size_t len = 0;
    peer->ends++;
    peer->status = status;
    snprintf(peer->text, sizeof peer->text, "%s", message);
    const char *value = rpc_call_initial(call, "x-greeting", &len);
    note_metadata(peer->initial, value, len);
    if (peer->on_end)
        peer->on_end(peer);
    peer->call = NULL;
}

static const struct rpc_call_events peer_events = {
    .on_message = peer_on_message,
    .on_sent = peer_on_sent,
    .on_half_closed = peer_on_half_closed,
    .on_end = peer_on_end,
};

/* --- methods --------------------------------------------------------------------------------- */

static void echo_on_message(struct rpc_call *call, const void *data, size_t len, void *arg)
{
    (void)arg;
    CU_ASSERT_EQUAL(rpc_call_send(call, data, len), ERR_OK);
    if (rpc_call_send_queued(call) == RPC_SEND_QUEUE_MAX)
        rpc_call_read_pause(call);
}

static void echo_on_sent(struct rpc_call *call, void *arg)
{
    (void)arg;
    rpc_call_read_resume(call);
}

static void echo_on_half_closed(struct rpc_call *call, void *arg)
{
    (void)arg;
    rpc_call_finish(call, RPC_OK, NULL);
}

static void echo_on_end(struct rpc_call *call, int status, const char *message, void *arg)
{
    (void)call, (void)status, (void)message, (void)arg;
}

static const struct rpc_call_events echo_events = {
    .on_message = echo_on_message,
    .on_sent = echo_on_sent,
    .on_half_closed = echo_on_half_closed,
    .on_end = echo_on_end,
};

/* Sends every message back and ends when the client has no more. */
static void echo_on_open(struct rpc_call *call, void *arg)
{
    (void)arg;
    CU_ASSERT_EQUAL(rpc_call_accept(call, NULL, 0, &echo_events, NULL), ERR_OK);
}

/* The server's end of the last call to /test.Test/Watch; one at a time. */
static struct peer watched;

/* Accepts and does nothing that `watched` was not told to. */
static void watch_on_open(struct rpc_call *call, void *arg)
{
    (void)arg;
    const struct rpc_metadata greeting = {"x-greeting", "hello", 5};
    watched.call = call;
    watched.opens++;
    CU_ASSERT_EQUAL(rpc_call_accept(call, &greeting, 1, &peer_events, &watched), ERR_OK);
}

/* --- the fixture ----------------------------------------------------------------------------- */

static void on_watchdog(uv_timer_t *timer)
{
    struct fixture *fixture = timer->data;
    fixture->timed_out = true;
}

static void fixture_start(struct fixture *fixture, const struct rpc_method *methods)
{
    struct err err = {0};
    memset(fixture, 0, sizeof *fixture);
    memset(&watched, 0, sizeof watched);
    CU_ASSERT_EQUAL_FATAL(loop_init(&fixture->loop, &err), ERR_OK);
    uv_timer_init(&fixture->loop.uv, &fixture->watchdog);
    fixture->watchdog.data = fixture;
    uv_timer_start(&fixture->watchdog, on_watchdog, FIXTURE_WATCHDOG_MS, 0);
    fixture->rpc = rpc_start(&fixture->loop, &err);
    CU_ASSERT_PTR_NOT_NULL_FATAL(fixture->rpc);
    if (methods) {
        fixture->server = rpc_server_new(fixture->rpc, methods, fixture, &err);
        CU_ASSERT_PTR_NOT_NULL_FATAL(fixture->server);
    }
}

/* Runs the loop until the condition holds; a failed test when that does not come about. */
#define WAIT_UNTIL(fixture, condition)                                                             \
    do {                                                                                           \
        while (!(condition) && !(fixture)->timed_out)                                              \
            uv_run(&(fixture)->loop.uv, UV_RUN_ONCE);                                              \
        CU_ASSERT_FATAL(condition);                                                                \
    } while (0)

static void fixture_on_closed(void *arg)
{
    bool *closed = arg;
    *closed = true;
}

static void fixture_stop(struct fixture *fixture)
{
    rpc_close(fixture->rpc, fixture_on_closed, &fixture->closed);
    CU_ASSERT_FALSE(fixture->closed);
    WAIT_UNTIL(fixture, fixture->closed);
    uv_close((uv_handle_t *)&fixture->watchdog, NULL);
    loop_deinit(&fixture->loop);
}

static void make_pair(int pair[2])
{
    CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
}

static struct rpc_connection *serve(struct fixture *fixture, int fd, void *arg)
{
    struct err err = {0};
    struct rpc_connection *connection = rpc_server_add_fd(fixture->server, fd, arg, &err);
    CU_ASSERT_PTR_NOT_NULL_FATAL(connection);
    return connection;
}

static struct rpc_channel *dial(struct fixture *fixture, int fd)
{
    struct err err = {0};
    struct rpc_channel *channel = rpc_channel_new(fixture->rpc, fd, "control.test", &err);
    CU_ASSERT_PTR_NOT_NULL_FATAL(channel);
    return channel;
}

/* A channel and the server's end of it, with nothing in between. */
static struct rpc_channel *connect_direct(struct fixture *fixture,
                                          struct rpc_connection **connection)
{
    int pair[2];
    make_pair(pair);
    struct rpc_connection *served = serve(fixture, pair[1], NULL);
    if (connection)
        *connection = served;
    return dial(fixture, pair[0]);
}

static void call_with(struct rpc_channel *channel, struct peer *peer, const char *path,
                      const struct rpc_metadata *metadata, unsigned count, int64_t timeout_ms)
{
    struct err err = {0};
    peer->call =
        rpc_call_start(channel, path, metadata, count, timeout_ms, &peer_events, peer, &err);
    CU_ASSERT_PTR_NOT_NULL_FATAL(peer->call);
    peer->opens++;
}

static void call(struct rpc_channel *channel, struct peer *peer, const char *path)
{
    call_with(channel, peer, path, NULL, 0, 0);
}

/* A whole unary echo; afterwards everything about it has been checked. */
static inline void check_echo(struct fixture *fixture, struct rpc_channel *channel)
{
    struct peer peer = {0};
    call(channel, &peer, "/test.Test/Echo");
    CU_ASSERT_EQUAL(rpc_call_send(peer.call, "ping", 4), ERR_OK);
    rpc_call_half_close(peer.call);
    WAIT_UNTIL(fixture, peer.ends == 1);
    CU_ASSERT_EQUAL(peer.status, RPC_OK);
    CU_ASSERT_EQUAL(peer.messages, 1);
    CU_ASSERT_EQUAL(peer.sent, 1);
    CU_ASSERT_STRING_EQUAL(peer.last, "ping");
}

/* A client's call to /test.Test/Watch, up to where both ends have the call. */
static inline void open_watched(struct fixture *fixture, struct rpc_channel *channel,
                                struct peer *peer)
{
    unsigned before = watched.opens;
    call(channel, peer, "/test.Test/Watch");
    WAIT_UNTIL(fixture, watched.opens == before + 1);
}

static const struct rpc_method test_methods[] = {
    {"/test.Test/Echo", echo_on_open},
    {"/test.Test/Watch", watch_on_open},
    {NULL, NULL},
};

#endif
