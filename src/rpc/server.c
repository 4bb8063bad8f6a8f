/* A connection is a grpc_server of its own: gRPC tells a server's connections apart by "fd:N"
 * alone, and descriptors are used again, so this is how a call surely has the connection that it
 * came on, and how one connection can be cut.
 *
 * Happy path:  one request for the next call is always open; the call looks its method up, on_open
 *              accepts it, call.c carries it; the client is told the status, which closes it.
 * It ends otherwise by:
 *   - an unknown method, or on_open refusing: initial metadata and status at once, no events;
 *   - the client cancelling, its deadline, a broken connection: the close comes with cancelled = 1;
 *   - the pump: either side has closed, or the guard refused what the client sent;
 *   - rpc_connection_close: either way gRPC cuts the connection, which ends its calls. The memory
 * goes when gRPC is done, no call is left and the caller has closed it. */
#include <errno.h>
#include <grpc/grpc_posix.h>
#include <grpc/grpc_security.h>
#include <grpc/slice.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "rpc/call.h"
#include "rpc/channel.h"
#include "rpc/pump.h"

struct rpc_connection {
    struct rpc_server *server;
    struct rpc_connection *next, **prev;
    grpc_server *grpc;
    void *arg;
    struct rpc_call *calls;
    unsigned call_count;
    struct rpc_op request_op, shutdown_op;
    grpc_call *request; /* the next call, when request_op is done */
    grpc_call_details details;
    grpc_metadata_array metadata;
    struct pump pump;   /* between the caller's socket and gRPC's */
    uint64_t data_seen; /* of the guard's data_bytes */
    size_t held;        /* of it, what is not a complete message yet */
    bool requesting;
    bool cut;       /* gRPC has been told to end it */
    bool shut_down; /* and has done so */
    bool released;  /* the caller has no more use for it */
};

struct rpc_server {
    struct rpc *rpc;
    struct rpc_server *next, **prev;
    const struct rpc_method *methods;
    void *arg;
    struct rpc_connection *connections;
    struct rpc_op closed_op;
    uint64_t refused;
    size_t held, held_max; /* by all connections */
    bool closing;
    void (*on_closed)(void *arg);
    void *on_closed_arg;
};

/* --- the server ------------------------------------------------------------------------------- */

struct rpc_server *rpc_server_new(struct rpc *rpc, const struct rpc_method *methods, void *arg,
                                  struct err *err)
{
    struct rpc_server *server = calloc(1, sizeof *server);
    if (!server) {
        err_set(err, ERR_NO_MEMORY, "gRPC server: out of memory");
        return NULL;
    }
    server->rpc = rpc;
    server->methods = methods;
    server->held_max = RPC_HELD_MAX_BYTES;
    server->arg = arg;
    server->next = rpc->servers;
    server->prev = &rpc->servers;
    if (server->next)
        server->next->prev = &server->next;
    rpc->servers = server;
    rpc_hold(rpc);
    return server;
}

static void on_server_closed(struct rpc_op *op, bool ok)
{
    (void)ok;
    struct rpc_server *server = op->owner;
    struct rpc *rpc = server->rpc;
    void (*on_closed)(void *) = server->on_closed;
    void *arg = server->on_closed_arg;
    free(server);
    if (on_closed)
        on_closed(arg);
    rpc_release(rpc);
}

static void server_settle(struct rpc_server *server)
{
    if (server->closing && !server->connections)
        rpc_op_later(server->rpc, &server->closed_op, server, on_server_closed);
}

void rpc_server_close(struct rpc_server *server, void (*on_closed)(void *), void *arg)
{
    *server->prev = server->next;
    if (server->next)
        server->next->prev = server->prev;
    server->on_closed = on_closed;
    server->on_closed_arg = arg;
    for (struct rpc_connection *connection = server->connections, *next; connection;
         connection = next) {
        next = connection->next;
        if (!connection->released)
            rpc_connection_close(connection); /* frees it when nothing is left to wait for */
    }
    server->closing = true;
    server_settle(server);
}

uint64_t rpc_server_refused(const struct rpc_server *server)
{
    return server->refused;
}

size_t rpc_server_held(const struct rpc_server *server)
{
    return server->held;
}

void rpc_server_limit_held(struct rpc_server *server, size_t max_bytes)
{
    server->held_max = max_bytes;
}

void rpc_servers_close(struct rpc *rpc)
{
    while (rpc->servers)
        rpc_server_close(rpc->servers, NULL, NULL);
}

/* --- a connection ----------------------------------------------------------------------------- */

enum { MESSAGE_PREFIX_BYTES = 5 }; /* of gRPC's, in front of each message in the DATA frames */

static void let_go(struct rpc_connection *connection, size_t bytes)
{
    if (bytes > connection->held)
        bytes = connection->held;
    connection->held -= bytes;
    connection->server->held -= bytes;
}

void connection_took(struct rpc_connection *connection, size_t bytes)
{
    let_go(connection, bytes + MESSAGE_PREFIX_BYTES);
}

/* gRPC collects a message until it is complete, for as long as the client likes: a few thousand
 * clients that never end theirs would take all of the memory. */
static bool may_pass(struct pump *pump, struct err *err)
{
    struct rpc_connection *connection =
        (struct rpc_connection *)((char *)pump - offsetof(struct rpc_connection, pump));
    struct rpc_server *server = connection->server;
    size_t more = (size_t)(pump->guard.data_bytes - connection->data_seen);
    connection->data_seen = pump->guard.data_bytes;
    connection->held += more;
    server->held += more;
    if (more == 0 || server->held <= server->held_max || connection->held <= RPC_HELD_SMALL_BYTES)
        return true;
    err_set(err, ERR_RPC_PROTOCOL,
            "the client sends %zu bytes of messages that are not complete, while all clients hold "
            "%zu, at most %zu",
            connection->held, server->held, server->held_max);
    return false;
}

static void connection_settle(struct rpc_connection *connection)
{
    if (!connection->released || !connection->shut_down || connection->requesting ||
        connection->calls)
        return;
    struct rpc_server *server = connection->server;
    *connection->prev = connection->next;
    if (connection->next)
        connection->next->prev = connection->prev;
    free(connection);
    server_settle(server);
    rpc_release(server->rpc);
}

void connection_call_gone(struct rpc_connection *connection)
{
    connection->call_count--;
    /* What it had not read went with it. Of several calls the last one tells. */
    if (!connection->calls)
        let_go(connection, connection->held);
    connection_settle(connection);
}

static void on_shut_down(struct rpc_op *op, bool ok)
{
    (void)ok;
    struct rpc_connection *connection = op->owner;
    connection->shut_down = true;
    grpc_server_destroy(connection->grpc);
    connection->grpc = NULL;
    connection_settle(connection);
}

/* Ends it for the client and for gRPC; its calls end soon. */
static void connection_cut(struct rpc_connection *connection)
{
    if (connection->cut)
        return;
    connection->cut = true;
    let_go(connection, connection->held);
    pump_stop(&connection->pump);
    grpc_server_shutdown_and_notify(
        connection->grpc, connection->server->rpc->queue,
        rpc_op_start(&connection->shutdown_op, connection, on_shut_down));
    grpc_server_cancel_all_calls(connection->grpc);
}

unsigned rpc_connection_calls(const struct rpc_connection *connection)
{
    unsigned count = 0;
    for (const struct rpc_call *call = connection->calls; call; call = call->next)
        count += call->accepted && !call->ended;
    return count;
}

void rpc_connection_close(struct rpc_connection *connection)
{
    if (connection->released)
        abort();
    connection->released = true;
    connection->arg = NULL;
    connection_cut(connection);
    connection_settle(connection);
}

static void connection_refuse(struct rpc_connection *connection, const struct err *why)
{
    connection->server->refused++;
    LOG_LIMITED(LOG_LEVEL_WARN, 10, "rpc_refused", F_ERR(why));
    connection_cut(connection);
}

static void on_pump_end(struct pump *pump, const struct err *why)
{
    struct rpc_connection *connection =
        (struct rpc_connection *)((char *)pump - offsetof(struct rpc_connection, pump));
    if (why->code != ERR_OK)
        connection_refuse(connection, why);
    else
        connection_cut(connection);
}

static void on_requested(struct rpc_op *op, bool ok);

static void request_next(struct rpc_connection *connection)
{
    grpc_completion_queue *queue = connection->server->rpc->queue;
    connection->requesting = true;
    grpc_call_details_init(&connection->details);
    grpc_metadata_array_init(&connection->metadata);
    if (grpc_server_request_call(connection->grpc, &connection->request, &connection->details,
                                 &connection->metadata, queue, queue,
                                 rpc_op_start(&connection->request_op, connection, on_requested)) !=
        GRPC_CALL_OK)
        abort();
}

/* Puts a pump between `fd` and a socket of our own, and gives the other end of that to *grpc_fd. */
static enum err_code connect_pump(struct rpc_connection *connection, int fd, int *grpc_fd,
                                  struct err *err)
{
    int pair[2];
    enum err_code code = channel_set_nonblocking(fd, err);
    if (code != ERR_OK)
        return code;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) != 0)
        return err_sys(err, ERR_SYSTEM, errno, "serve gRPC on descriptor %d", fd);
    connection->pump.may_pass = may_pass;
    code =
        pump_start(&connection->pump, connection->server->rpc->loop, fd, pair[0], on_pump_end, err);
    if (code != ERR_OK) {
        close(pair[0]);
        close(pair[1]);
        return code;
    }
    *grpc_fd = pair[1];
    return ERR_OK;
}

/* Gives one end of the pump to a gRPC server of its own. */
static void start_grpc(struct rpc_connection *connection, int grpc_fd)
{
    struct channel_args args;
    channel_args_server(&args);
    connection->grpc = grpc_server_create(&args.args, NULL);
    grpc_server_register_completion_queue(connection->grpc, connection->server->rpc->queue, NULL);
    grpc_server_start(connection->grpc);
    grpc_server_credentials *plaintext = grpc_insecure_server_credentials_create();
    grpc_server_add_channel_from_fd(connection->grpc, grpc_fd, plaintext);
    grpc_server_credentials_release(plaintext);
    channel_args_deinit(&args);
}

struct rpc_connection *rpc_server_add_fd(struct rpc_server *server, int fd, void *arg,
                                         struct err *err)
{
    int grpc_fd = -1;
    struct rpc_connection *connection = calloc(1, sizeof *connection);
    if (!connection) {
        err_set(err, ERR_NO_MEMORY, "serve gRPC on descriptor %d: out of memory", fd);
        return NULL;
    }
    connection->server = server;
    connection->arg = arg;
    if (connect_pump(connection, fd, &grpc_fd, err) != ERR_OK) {
        free(connection);
        return NULL;
    }
    connection->next = server->connections;
    connection->prev = &server->connections;
    if (connection->next)
        connection->next->prev = &connection->next;
    server->connections = connection;
    rpc_hold(server->rpc);
    start_grpc(connection, grpc_fd);
    request_next(connection);
    return connection;
}

/* --- its calls -------------------------------------------------------------------------------- */

static void on_close(struct rpc_op *op, bool ok)
{
    (void)ok; /* always true */
    struct rpc_call *call = op->owner;
    call->pending--;
    call->ended = true;
    call_settle(call);
}

static void start_batches(struct rpc_call *call)
{
    grpc_op initial = {.op = GRPC_OP_SEND_INITIAL_METADATA};
    initial.data.send_initial_metadata.count = call->sent_count;
    initial.data.send_initial_metadata.metadata = call->sent;
    call_batch(call, &initial, 1, &call->start_op, call_batch_done);

    grpc_op close = {.op = GRPC_OP_RECV_CLOSE_ON_SERVER};
    close.data.recv_close_on_server.cancelled = &call->server_cancelled;
    call_batch(call, &close, 1, &call->end_op, on_close);
}

enum err_code rpc_call_accept(struct rpc_call *call, const struct rpc_metadata *metadata,
                              unsigned metadata_count, const struct rpc_call_events *events,
                              void *arg)
{
    if (!call->in_open || call->accepted || call->finishing)
        abort();
    enum err_code code = call_set_metadata(call, metadata, metadata_count, NULL);
    if (code != ERR_OK)
        return code;
    call->events = events;
    call->arg = arg;
    call->accepted = true;
    start_batches(call);
    if (call->deferred) { /* open_call() has returned long ago */
        call->in_open = false;
        call_read(call);
    }
    return ERR_OK;
}

void rpc_call_defer(struct rpc_call *call)
{
    if (!call->in_open || call->accepted || call->finishing)
        abort();
    call->deferred = true;
}

void rpc_call_finish(struct rpc_call *call, int status, const char *message)
{
    if (call->finishing || call->ended || call->cancelled)
        return;
    if (!call->accepted)
        start_batches(call);
    call->finishing = true;
    call->finish_status = status;
    size_t len = message ? strlen(message) : 0;
    call->finish_details =
        grpc_slice_from_copied_buffer(message, len < RPC_TEXT_MAX ? len : RPC_TEXT_MAX - 1);
    call_pump(call);
}

void *rpc_call_connection_arg(const struct rpc_call *call)
{
    return call->connection->arg;
}

static void open_call(struct rpc_call *call)
{
    struct rpc_server *server = call->connection->server;
    const struct rpc_method *method = server->methods;
    while (method->path && strcmp(method->path, call->path) != 0)
        method++;
    call->in_open = true;
    if (method->path)
        method->on_open(call, server->arg);
    else
        rpc_call_finish(call, RPC_UNIMPLEMENTED, "there is no such method");
    if (call->deferred && !call->accepted && !call->finishing)
        return;
    call->in_open = false;
    if (!call->accepted && !call->finishing)
        abort(); /* on_open did neither */
    if (call->accepted && !call->deferred)
        call_read(call);
}

static struct rpc_call *take_request(struct rpc_connection *connection)
{
    const grpc_slice method = connection->details.method;
    const char *path = (const char *)GRPC_SLICE_START_PTR(method);
    size_t path_len = GRPC_SLICE_LENGTH(method);
    if (memchr(path, 0, path_len))
        path_len = 0; /* must not be taken for the method that its first part names */
    struct rpc_call *call = call_new(connection->server->rpc, &connection->calls, path, path_len);
    if (!call)
        return NULL;
    connection->call_count++;
    call->connection = connection;
    call->grpc = connection->request;
    call->initial = connection->metadata;
    call->has_initial = true;
    grpc_metadata_array_init(&connection->metadata);
    return call;
}

/* gRPC 1.51 holds a client to the ceiling in its SETTINGS only once that has acknowledged them. */
static void check_call_count(struct rpc_connection *connection)
{
    struct err err;
    if (connection->call_count < RPC_CALLS_MAX)
        return;
    err_set(&err, ERR_RPC_PROTOCOL, "the client has %u calls open, at most %d are allowed",
            connection->call_count, RPC_STREAMS_MAX);
    connection_refuse(connection, &err);
}

static void on_requested(struct rpc_op *op, bool ok)
{
    struct rpc_connection *connection = op->owner;
    struct rpc_call *call = NULL;
    connection->requesting = false;
    if (ok && !connection->cut)
        check_call_count(connection);
    if (ok && !connection->cut)
        call = take_request(connection);
    if (ok && !call) {
        grpc_call_cancel_with_status(connection->request, GRPC_STATUS_RESOURCE_EXHAUSTED,
                                     "out of memory", NULL);
        grpc_call_unref(connection->request);
    }
    grpc_call_details_destroy(&connection->details);
    grpc_metadata_array_destroy(&connection->metadata);
    if (!connection->cut)
        request_next(connection);
    if (call)
        open_call(call);
    else
        connection_settle(connection);
}
