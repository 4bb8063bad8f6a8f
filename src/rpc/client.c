/* Happy path:  send and receive initial metadata, receive the status; read and send as call.c does.
 * It ends otherwise by:
 *   - a connection that is broken already: every batch fails, the status is UNAVAILABLE;
 *   - rpc_channel_close: every call is cancelled; the last one takes the channel with it. */
#include <grpc/grpc_posix.h>
#include <grpc/grpc_security.h>
#include <grpc/slice.h>
#include <stdlib.h>
#include <string.h>

#include "rpc/call.h"
#include "rpc/channel.h"

struct rpc_channel {
    struct rpc *rpc;
    struct rpc_channel *next, **prev;
    grpc_channel *grpc; /* NULL once closed */
    struct rpc_call *calls;
};

struct rpc_channel *rpc_channel_new(struct rpc *rpc, int fd, const char *authority, struct err *err)
{
    struct rpc_channel *channel = calloc(1, sizeof *channel);
    if (!channel) {
        err_set(err, ERR_NO_MEMORY, "gRPC channel to %s: out of memory", authority);
        return NULL;
    }
    if (channel_set_nonblocking(fd, err) != ERR_OK) {
        err_wrap(err, "gRPC channel to %s", authority);
        free(channel);
        return NULL;
    }
    struct channel_args args;
    channel_args_client(&args, authority);
    grpc_channel_credentials *plaintext = grpc_insecure_credentials_create();
    channel->grpc = grpc_channel_create_from_fd(authority, fd, plaintext, &args.args);
    grpc_channel_credentials_release(plaintext);
    channel_args_deinit(&args);
    channel->rpc = rpc;
    channel->next = rpc->channels;
    channel->prev = &rpc->channels;
    if (channel->next)
        channel->next->prev = &channel->next;
    rpc->channels = channel;
    return channel;
}

void channel_call_gone(struct rpc_channel *channel)
{
    if (!channel->grpc && !channel->calls)
        free(channel);
}

void rpc_channel_close(struct rpc_channel *channel)
{
    *channel->prev = channel->next;
    if (channel->next)
        channel->next->prev = channel->prev;
    for (struct rpc_call *call = channel->calls; call; call = call->next)
        rpc_call_cancel(call, RPC_CANCELLED, "the channel was closed");
    grpc_channel_destroy(channel->grpc);
    channel->grpc = NULL;
    channel_call_gone(channel);
}

void rpc_channels_close(struct rpc *rpc)
{
    while (rpc->channels)
        rpc_channel_close(rpc->channels);
}

static void on_initial(struct rpc_op *op, bool ok)
{
    struct rpc_call *call = op->owner;
    call->pending--;
    call->has_initial = ok;
    call_settle(call);
}

static void on_status(struct rpc_op *op, bool ok)
{
    (void)ok; /* always true */
    struct rpc_call *call = op->owner;
    call->pending--;
    call->ended = true;
    call_settle(call);
}

static void start_batches(struct rpc_call *call)
{
    grpc_op send = {.op = GRPC_OP_SEND_INITIAL_METADATA};
    send.data.send_initial_metadata.count = call->sent_count;
    send.data.send_initial_metadata.metadata = call->sent;
    call_batch(call, &send, 1, &call->start_op, call_batch_done);

    grpc_op initial = {.op = GRPC_OP_RECV_INITIAL_METADATA};
    initial.data.recv_initial_metadata.recv_initial_metadata = &call->initial;
    call_batch(call, &initial, 1, &call->initial_op, on_initial);

    grpc_op status = {.op = GRPC_OP_RECV_STATUS_ON_CLIENT};
    status.data.recv_status_on_client.trailing_metadata = &call->trailing;
    status.data.recv_status_on_client.status = &call->status;
    status.data.recv_status_on_client.status_details = &call->details;
    call_batch(call, &status, 1, &call->end_op, on_status);

    call_read(call);
}

struct rpc_call *rpc_call_start(struct rpc_channel *channel, const char *path,
                                const struct rpc_metadata *metadata, unsigned metadata_count,
                                int64_t timeout_ms, const struct rpc_call_events *events, void *arg,
                                struct err *err)
{
    struct rpc_call *call = call_new(channel->rpc, &channel->calls, path, strlen(path));
    if (!call) {
        err_set(err, ERR_NO_MEMORY, "call %s: out of memory", path);
        return NULL;
    }
    call->channel = channel;
    if (call_set_metadata(call, metadata, metadata_count, err) != ERR_OK) {
        call_free(call);
        return NULL;
    }
    call->events = events;
    call->arg = arg;
    call->accepted = true;
    gpr_timespec deadline = gpr_inf_future(GPR_CLOCK_MONOTONIC);
    if (timeout_ms > 0)
        deadline = gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
                                gpr_time_from_millis(timeout_ms, GPR_TIMESPAN));
    grpc_slice method = grpc_slice_from_copied_string(path);
    call->grpc = grpc_channel_create_call(channel->grpc, NULL, GRPC_PROPAGATE_DEFAULTS,
                                          channel->rpc->queue, method, NULL, deadline, NULL);
    grpc_slice_unref(method);
    start_batches(call);
    return call;
}

void rpc_call_half_close(struct rpc_call *call)
{
    call->finishing = true;
    call_pump(call);
}
