#include "client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "suite.h"

#define LINE_OF(pointer, member)                                                                   \
    ((struct line *)(void *)((char *)(pointer)-offsetof(struct line, member)))
#define CLIENT_OF(pointer, member)                                                                 \
    ((struct client *)(void *)((char *)(pointer)-offsetof(struct client, member)))

/* --- the loop --------------------------------------------------------------------------------- */

/* So that the loop comes back to look at the deadline. */
static void on_tick(struct timer *timer)
{
    struct client *client = CLIENT_OF(timer, tick);
    timer_start(&client->timers, timer, 50, on_tick);
}

bool client_wait(struct client *client, bool (*done)(void *arg), void *arg)
{
    int64_t start = clock_now_ms();
    while (!done(arg) && clock_now_ms() - start < CLIENT_WAIT_MS)
        uv_run(&client->loop.uv, UV_RUN_ONCE);
    return done(arg);
}

void client_start(struct client *client, struct plane *plane)
{
    struct err err = {0};
    struct tls_bundle *bundle;
    char *root = plane_root(plane);
    *client = (struct client){0};
    CU_ASSERT_EQUAL_FATAL(tls_bundle_new(&bundle, "test.mesh", root, strlen(root), &err), ERR_OK);
    CU_ASSERT_EQUAL_FATAL(tls_context_new_roots(&client->roots, bundle, &err), ERR_OK);
    tls_bundle_unref(bundle);
    free(root);
    CU_ASSERT_EQUAL_FATAL(loop_init(&client->loop, &err), ERR_OK);
    CU_ASSERT_EQUAL_FATAL(timers_init(&client->timers, &client->loop, &err), ERR_OK);
    CU_ASSERT_EQUAL_FATAL(relay_env_init(&client->env, &client->loop, &client->timers, &err),
                          ERR_OK);
    client->rpc = rpc_start(&client->loop, &err);
    CU_ASSERT_FATAL(client->rpc != NULL);
    on_tick(&client->tick);
}

static void on_timers_closed(struct timers *timers)
{
    CLIENT_OF(timers, timers)->closed = true;
}

static void on_rpc_closed(void *arg)
{
    struct client *client = arg;
    timer_stop(&client->timers, &client->tick);
    timers_close(&client->timers, on_timers_closed);
}

static bool is_closed(void *arg)
{
    return ((struct client *)arg)->closed;
}

void client_stop(struct client *client)
{
    CU_ASSERT_EQUAL(client->open, 0);
    rpc_close(client->rpc, on_rpc_closed, client);
    CU_ASSERT_FATAL(client_wait(client, is_closed, client));
    relay_env_deinit(&client->env);
    loop_deinit(&client->loop);
    tls_context_unref(client->roots);
}

/* --- a connection ----------------------------------------------------------------------------- */

static void fail(struct line *line, const struct err *err)
{
    line->err = *err;
    line->done = true;
    line->ended = true;
    tls_conn_free(line->tls);
    if (line->fd >= 0)
        socket_close_reset(line->fd);
}

static void on_relay_end(struct relay *relay, enum err_code code, int side, struct err *err)
{
    struct line *line = LINE_OF(relay, u.relay);
    (void)code;
    (void)side;
    line->err = *err;
    line->ended = true;
}

static void on_handshake(struct handshake *handshake, enum err_code code, struct err *err)
{
    struct line *line = LINE_OF(handshake, u.handshake);
    struct relay_socket near, far = {.fd = line->fd,
                                     .tls = line->tls,
                                     .early = handshake->early,
                                     .early_len = handshake->early_len};
    int pair[2];
    if (code != ERR_OK) {
        fail(line, err);
        return;
    }
    CU_ASSERT_FATAL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) == 0);
    near = (struct relay_socket){.fd = pair[1]};
    line->channel = rpc_channel_new(line->client->rpc, pair[0], "control.test", err);
    CU_ASSERT_FATAL(line->channel != NULL);
    line->relaying = true;
    CU_ASSERT_EQUAL_FATAL(
        relay_start(&line->u.relay, &line->client->env, &near, &far, on_relay_end, err), ERR_OK);
    line->done = true;
}

static const char *line_name;

static void on_connected(struct connect *connect, int fd, struct err *err)
{
    struct line *line = LINE_OF(connect, u.connect);
    line->fd = fd;
    if (fd < 0) {
        fail(line, err);
        return;
    }
    line->tls = tls_conn_new_client_dns(line->client->roots, line_name);
    CU_ASSERT_FATAL(line->tls != NULL);
    CU_ASSERT_EQUAL_FATAL(handshake_start(&line->u.handshake, &line->client->env, fd, line->tls,
                                          CLIENT_WAIT_MS, on_handshake, err),
                          ERR_OK);
}

static bool line_is_done(void *arg)
{
    return ((struct line *)arg)->done;
}

bool line_open(struct line *line, struct client *client, uint16_t port, const char *dns_name)
{
    const struct socket_limits limits = {.user_timeout_ms = 60000};
    struct addr_port to;
    struct err err = {0};
    addr_port_parse(&to, "127.0.0.1:1");
    to.port = port;
    *line = (struct line){.client = client, .fd = -1};
    line_name = dns_name;
    CU_ASSERT_EQUAL_FATAL(connect_start(&line->u.connect, &client->env, &to, &limits,
                                        CLIENT_WAIT_MS, on_connected, &err),
                          ERR_OK);
    client->open++;
    CU_ASSERT_FATAL(client_wait(client, line_is_done, line));
    if (!line->channel)
        client->open--;
    return line->channel != NULL;
}

static bool line_has_ended(void *arg)
{
    return ((struct line *)arg)->ended;
}

void line_close(struct line *line)
{
    rpc_channel_close(line->channel);
    CU_ASSERT_FATAL(client_wait(line->client, line_has_ended, line));
    line->client->open--;
}

/* --- a call ----------------------------------------------------------------------------------- */

static void on_message(struct rpc_call *call, const void *data, size_t len, void *arg)
{
    struct answer *answer = arg;
    (void)call;
    if (answer->data)
        return;
    answer->data = calloc(1, len + 1);
    CU_ASSERT_FATAL(answer->data != NULL);
    memcpy(answer->data, data, len);
    answer->len = len;
}

static void on_end(struct rpc_call *call, int status, const char *message, void *arg)
{
    struct answer *answer = arg;
    (void)call;
    answer->status = status;
    snprintf(answer->message, sizeof answer->message, "%s", message);
}

static bool is_answered(void *arg)
{
    return ((struct answer *)arg)->status >= 0;
}

struct answer line_call(struct line *line, const struct request *request)
{
    static const struct rpc_call_events events = {.on_message = on_message, .on_end = on_end};
    struct rpc_metadata metadata[2];
    unsigned count = 0;
    char header[TOKEN_MAX * 2];
    struct answer answer = {.status = -1};
    struct err err = {0};
    if (request->token)
        snprintf(header, sizeof header, "Bearer %s", request->token);
    else if (request->header)
        snprintf(header, sizeof header, "%s", request->header);
    if (request->token || request->header)
        metadata[count++] = (struct rpc_metadata){"authorization", header, strlen(header)};
    if (request->cluster)
        metadata[count++] =
            (struct rpc_metadata){"clusterid", request->cluster, strlen(request->cluster)};
    struct rpc_call *call = rpc_call_start(line->channel, request->path, metadata, count,
                                           CLIENT_WAIT_MS, &events, &answer, &err);
    CU_ASSERT_FATAL(call != NULL);
    if (request->data)
        CU_ASSERT_EQUAL(rpc_call_send(call, request->data, request->len), ERR_OK);
    if (!request->stream)
        rpc_call_half_close(call);
    CU_ASSERT_FATAL(client_wait(line->client, is_answered, &answer));
    return answer;
}

void answer_free(struct answer *answer)
{
    free(answer->data);
    answer->data = NULL;
}
