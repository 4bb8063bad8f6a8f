#include "rpc/channel.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "rpc/rpc.h"

/* How much of one call's messages gRPC takes from a connection before anybody asked for it. A
 * client receives the whole mesh and waits a round trip for each window; a server receives small
 * requests, from many. */
enum { CLIENT_WINDOW_BYTES = 1024 * 1024, SERVER_WINDOW_BYTES = 64 * 1024 };

static void add_int(struct channel_args *args, const char *key, int value)
{
    if (args->args.num_args == CHANNEL_ARGS_MAX)
        abort();
    grpc_arg *arg = &args->list[args->args.num_args++];
    arg->type = GRPC_ARG_INTEGER;
    arg->key = (char *)(uintptr_t)key;
    arg->value.integer = value;
}

static void add_string(struct channel_args *args, const char *key, const char *value)
{
    if (args->args.num_args == CHANNEL_ARGS_MAX)
        abort();
    grpc_arg *arg = &args->list[args->args.num_args++];
    arg->type = GRPC_ARG_STRING;
    arg->key = (char *)(uintptr_t)key;
    arg->value.string = (char *)(uintptr_t)value;
}

/* gRPC looks at a message's size only when it has all of it, and it believes any length that the
 * peer announces, up to 4 GiB. Out of this much memory for a connection it ends calls with
 * RESOURCE_EXHAUSTED. */
static void add_quota(struct channel_args *args)
{
    args->quota = grpc_resource_quota_create(NULL);
    grpc_resource_quota_resize(args->quota, RPC_CONNECTION_MAX_BYTES);
    if (args->args.num_args == CHANNEL_ARGS_MAX)
        abort();
    grpc_arg *arg = &args->list[args->args.num_args++];
    arg->type = GRPC_ARG_POINTER;
    arg->key = (char *)(uintptr_t)GRPC_ARG_RESOURCE_QUOTA;
    arg->value.pointer.p = args->quota;
    arg->value.pointer.vtable = grpc_resource_quota_arg_vtable();
}

static void add_common(struct channel_args *args)
{
    args->args = (grpc_channel_args){.num_args = 0, .args = args->list};
    add_quota(args);
    add_int(args, GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, RPC_MESSAGE_MAX_BYTES);
    add_int(args, GRPC_ARG_MAX_METADATA_SIZE, RPC_METADATA_MAX_BYTES);
    add_int(args, GRPC_ARG_ENABLE_CENSUS, 0);
    add_int(args, GRPC_ARG_ENABLE_LOAD_REPORTING, 0);
    add_int(args, GRPC_ARG_ENABLE_CHANNELZ, 0);
    /* A few hundred bytes that unpack to gigabytes: no compression, so none to fall for. */
    add_int(args, GRPC_ARG_ENABLE_PER_MESSAGE_COMPRESSION, 0);
    add_int(args, GRPC_COMPRESSION_CHANNEL_ENABLED_ALGORITHMS_BITSET, 1);
    /* Probing would let windows grow to megabytes for each call, and its pings count as strikes. */
    add_int(args, GRPC_ARG_HTTP2_BDP_PROBE, 0);
    /* Without this a connection with no data to send stops pinging after the second one. */
    add_int(args, GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
    add_int(args, GRPC_ARG_KEEPALIVE_TIMEOUT_MS, RPC_PING_TIMEOUT_MS);
}

void channel_args_client(struct channel_args *args, const char *authority)
{
    add_common(args);
    add_string(args, GRPC_ARG_DEFAULT_AUTHORITY, authority);
    add_string(args, GRPC_ARG_PRIMARY_USER_AGENT_STRING, "handfast/" HANDFAST_VERSION);
    add_int(args, GRPC_ARG_ENABLE_RETRIES, 0);
    add_int(args, GRPC_ARG_ENABLE_HTTP_PROXY, 0);
    add_int(args, GRPC_ARG_SERVICE_CONFIG_DISABLE_RESOLUTION, 1);
    add_int(args, GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, CLIENT_WINDOW_BYTES);
    add_int(args, GRPC_ARG_KEEPALIVE_TIME_MS, RPC_CLIENT_PING_MS);
    add_int(args, GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 0);
}

void channel_args_server(struct channel_args *args)
{
    add_common(args);
    add_int(args, GRPC_ARG_MAX_CONCURRENT_STREAMS, RPC_STREAMS_MAX);
    add_int(args, GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, SERVER_WINDOW_BYTES);
    add_int(args, GRPC_ARG_KEEPALIVE_TIME_MS, RPC_PING_MS);
    add_int(args, GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
    add_int(args, GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, RPC_CLIENT_PING_MIN_MS);
}

void channel_args_deinit(struct channel_args *args)
{
    grpc_resource_quota_unref(args->quota);
}

enum err_code channel_set_nonblocking(int fd, struct err *err)
{
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
        return err_sys(err, ERR_SYSTEM, errno, "make descriptor %d non-blocking", fd);
    return ERR_OK;
}
