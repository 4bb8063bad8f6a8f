/* Remote procedure calls: gRPC over one end of a socketpair, in plaintext; who carries the other
 * end (over TLS) is no concern of this folder.
 *
 * Everything belongs to the loop thread given to rpc_start(), and every callback runs there. A call
 * (struct rpc_call) is made by rpc_call_start() on a client's channel or handed to a method's
 * on_open by a server, and lives until its on_end has returned, which happens exactly once for
 * every call that was started or accepted, never inside a function of this header.
 *
 * Inside any callback every function here may be called, on any call that has not ended. */
#ifndef RPC_H
#define RPC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "loop/loop.h"

struct rpc; /* the runtime: gRPC itself, its completion queue and the thread that waits on it */
struct rpc_channel;    /* a client's connection */
struct rpc_server;     /* a table of methods and its connections */
struct rpc_connection; /* a server's connection */
struct rpc_call;

enum {
    RPC_MESSAGE_MAX_BYTES =
        4 * 1024 * 1024, /* received; more ends the call with RESOURCE_EXHAUSTED */
    RPC_CONNECTION_MAX_BYTES = 16 * 1024 * 1024, /* received on one connection and not yet read */
    RPC_HELD_MAX_BYTES = 256 * 1024 * 1024, /* of incomplete messages, all of a server's clients */
    RPC_HELD_SMALL_BYTES = 256 * 1024,  /* who holds more than this is cut when it is too much */
    RPC_SEND_QUEUE_MAX = 16,            /* messages of one call given to us and not yet sent */
    RPC_STREAMS_MAX = 100,              /* calls at once on one connection of a server ... */
    RPC_CALLS_MAX = 150,                /* ... a client that does not keep to that is cut off */
    RPC_METADATA_MAX = 16,              /* entries that we send with one call */
    RPC_METADATA_MAX_BYTES = 16 * 1024, /* received with one call; more ends the connection too */
    RPC_TEXT_MAX = 1024,                /* a status message is cut here, with its null */
    RPC_PING_MS = 30 * 1000,            /* a server pings this often ... */
    RPC_PING_TIMEOUT_MS = 20 * 1000,    /* ... and gives up a connection that does not answer */
    RPC_CLIENT_PING_MS = 60 * 1000,     /* a client with a live call */
    RPC_CLIENT_PING_MIN_MS = 10 * 1000, /* a client that pings a server more often is sent away */
};

/* gRPC's status codes, as on the wire. */
enum rpc_status {
    RPC_OK = 0,
    RPC_CANCELLED = 1,
    RPC_UNKNOWN = 2,
    RPC_INVALID_ARGUMENT = 3,
    RPC_DEADLINE_EXCEEDED = 4,
    RPC_NOT_FOUND = 5,
    RPC_ALREADY_EXISTS = 6,
    RPC_PERMISSION_DENIED = 7,
    RPC_RESOURCE_EXHAUSTED = 8,
    RPC_FAILED_PRECONDITION = 9,
    RPC_ABORTED = 10,
    RPC_OUT_OF_RANGE = 11,
    RPC_UNIMPLEMENTED = 12,
    RPC_INTERNAL = 13,
    RPC_UNAVAILABLE = 14,
    RPC_DATA_LOSS = 15,
    RPC_UNAUTHENTICATED = 16,
};

/* "UNAVAILABLE"; "UNKNOWN" for a number that is none of ours. Never NULL. */
const char *rpc_status_name(int status);

/* --- the runtime ----------------------------------------------------------------------------- */

/* Starts gRPC and its thread; callbacks come on `loop`. NULL on failure (ERR_NO_MEMORY,
 * ERR_SYSTEM), and then there is nothing to undo. gRPC's own log lines become event=grpc. */
struct rpc *rpc_start(struct loop *loop, struct err *err);

/* Closes every channel and server that is still open, ends every call (on_end with CANCELLED), then
 * calls on_closed (may be NULL); after that `rpc` is gone and the loop has nothing of it. */
void rpc_close(struct rpc *rpc, void (*on_closed)(void *arg), void *arg);

/* --- a call, either side --------------------------------------------------------------------- */

struct rpc_metadata {
    const char *key;   /* lower case; one that ends in "-bin" has a binary value */
    const char *value; /* value_len bytes; printable ASCII unless the key ends in "-bin" */
    size_t value_len;
};

struct rpc_call_events {
    /* A message came; the bytes are borrowed for the time of the callback (data is not NULL, also
     * when len is 0). The next one is not read before this returns. */
    void (*on_message)(struct rpc_call *call, const void *data, size_t len, void *arg);
    /* One message given to rpc_call_send() has passed the peer's flow control: as many of these, in
     * order, as sends that succeeded, unless the call ends first. May be NULL. */
    void (*on_sent)(struct rpc_call *call, void *arg);
    /* Server only: the client will send no more. May be NULL. */
    void (*on_half_closed)(struct rpc_call *call, void *arg);
    /* The call is over and gone when this returns. A client gets the server's status and message; a
     * broken connection is UNAVAILABLE, an own cancellation what rpc_call_cancel() was given. A
     * server gets the status that it finished with when the client could be told, what it cancelled
     * with, or CANCELLED when the client cancelled, its deadline passed or the connection broke, or
     * RESOURCE_EXHAUSTED when a message was too large. `message` is never NULL. */
    void (*on_end)(struct rpc_call *call, int status, const char *message, void *arg);
};

/* Queues a copy of the message. ERR_BUSY: RPC_SEND_QUEUE_MAX are waiting. ERR_CANCELLED: the call
 * is half closed, finished or over. ERR_NO_MEMORY. */
enum err_code rpc_call_send(struct rpc_call *call, const void *data, size_t len);
/* The same without the copy: takes `data`, which came from malloc, on success only. It is freed in
 * any thread. */
enum err_code rpc_call_send_take(struct rpc_call *call, void *data, size_t len);
/* Messages queued and not yet sent, the one being sent included. */
unsigned rpc_call_send_queued(const struct rpc_call *call);

/* No on_message until resumed; what the peer goes on sending waits in its own flow-control window.
 * A server's status comes after the messages before it, so it waits too; a cancellation, a deadline
 * or a broken connection does not, and takes the place of what was not read. */
void rpc_call_read_pause(struct rpc_call *call);
void rpc_call_read_resume(struct rpc_call *call);

/* Ends the call now, whatever is queued or stuck. `message` may be NULL. A server's client is told
 * the status where the connection still allows; a client's server sees a cancellation. on_end
 * follows. Again, or after the end, it does nothing. */
void rpc_call_cancel(struct rpc_call *call, int status, const char *message);

/* The value of the first entry with this lower-case key, borrowed until the call ends, and its
 * length (len may be NULL); NULL when there is none. The value is followed by no null. Initial
 * metadata are the request's on a server and the response's on a client (there from the first
 * callback on). */
const char *rpc_call_initial(const struct rpc_call *call, const char *key, size_t *len);

/* --- client ---------------------------------------------------------------------------------- */

/* Speaks HTTP/2 on `fd`, one end of a connected stream socket, which it makes non-blocking and owns
 * from success on. `authority` goes into every request. Such a channel does not reconnect: when the
 * far end closes, its calls end with UNAVAILABLE, those started afterwards too. NULL:
 * ERR_NO_MEMORY, ERR_SYSTEM. */
struct rpc_channel *rpc_channel_new(struct rpc *rpc, int fd, const char *authority,
                                    struct err *err);

/* Closes the connection. Its calls end with CANCELLED, soon but not in here; the channel is gone
 * for the caller. */
void rpc_channel_close(struct rpc_channel *channel);

/* Calls `path`, "/package.Service/Method". `timeout_ms` counts from now, 0 = no deadline.
 * `metadata`, at most RPC_METADATA_MAX entries, are copied. on_message and on_end must be set.
 * NULL: ERR_INVALID (metadata that HTTP/2 cannot carry), ERR_NO_MEMORY; then no callback comes. */
struct rpc_call *rpc_call_start(struct rpc_channel *channel, const char *path,
                                const struct rpc_metadata *metadata, unsigned metadata_count,
                                int64_t timeout_ms, const struct rpc_call_events *events, void *arg,
                                struct err *err);

/* The client sends no more, once the queue is empty. A unary call is one send and this. */
void rpc_call_half_close(struct rpc_call *call);

/* --- server ---------------------------------------------------------------------------------- */

struct rpc_method {
    const char *path; /* "/package.Service/Method" */
    /* A client calls. Before it returns it must accept the call, finish it, or defer. `arg` is the
     * server's. */
    void (*on_open)(struct rpc_call *call, void *arg);
};

/* `methods`, ended by a null path, are borrowed until the server has closed. A method that is not
 * in the table is answered with UNIMPLEMENTED. NULL: ERR_NO_MEMORY. */
struct rpc_server *rpc_server_new(struct rpc *rpc, const struct rpc_method *methods, void *arg,
                                  struct err *err);

/* Closes every connection; calls end with CANCELLED. on_closed (may be NULL) comes after the last
 * on_end, later than this returns; then the server is gone. */
void rpc_server_close(struct rpc_server *server, void (*on_closed)(void *arg), void *arg);

/* Serves a client on `fd`, one end of a connected stream socket, which it makes non-blocking and
 * owns from success on. `arg` is what rpc_call_connection_arg() gives to its calls. What the client
 * sends is checked (guard.h) before gRPC sees it. NULL: ERR_NO_MEMORY, ERR_SYSTEM.
 *
 * The connection ends when the far end closes, or when gRPC or the guard has had enough of the
 * client (then the far end is closed); its calls end and its resources go. Whoever carries the far
 * end calls rpc_connection_close() exactly once, before or after that, unless the server is closed
 * first. */
struct rpc_connection *rpc_server_add_fd(struct rpc_server *server, int fd, void *arg,
                                         struct err *err);

/* What clients have sent of messages that are not complete yet, bytes, about. A client that holds
 * more than RPC_HELD_SMALL_BYTES of it is cut off when it sends more while all together hold over
 * RPC_HELD_MAX_BYTES, or over what rpc_server_limit_held() said. */
size_t rpc_server_held(const struct rpc_server *server);
void rpc_server_limit_held(struct rpc_server *server, size_t max_bytes);

/* Clients that were cut off by the guard or for what they hold or call, since the start of the
 * server: each is also event=rpc_refused at the level warn. */
uint64_t rpc_server_refused(const struct rpc_server *server);

/* Calls on the connection that were accepted and have not ended. */
unsigned rpc_connection_calls(const struct rpc_connection *connection);

/* Ends the connection: its calls end with CANCELLED, soon but not in here, no call is opened any
 * more, and fd is closed. The connection is gone for the caller; `arg` may go when this returns. */
void rpc_connection_close(struct rpc_connection *connection);

/* In on_open only: the decision comes later. The call must then be accepted or finished exactly
 * once, also when its connection or the server has closed meanwhile (which the server's on_closed
 * waits for): so whoever decides has a deadline. */
void rpc_call_defer(struct rpc_call *call);

/* In on_open, or later after rpc_call_defer(): takes the call, sends `metadata` (at most
 * RPC_METADATA_MAX entries, copied) to the client and starts reading when on_open returns.
 * on_message and on_end must be set. ERR_INVALID, ERR_NO_MEMORY: the call is still there to be
 * finished. */
enum err_code rpc_call_accept(struct rpc_call *call, const struct rpc_metadata *metadata,
                              unsigned metadata_count, const struct rpc_call_events *events,
                              void *arg);

/* The server's answer: goes out after the messages that are queued. `message` may be NULL. An
 * accepted call ends with on_end; one refused in on_open without being accepted is gone, with no
 * callback. A client that does not read holds this up: rpc_call_cancel() does not wait. */
void rpc_call_finish(struct rpc_call *call, int status, const char *message);

/* The path that the client called; borrowed, until the call ends. Either side. */
const char *rpc_call_path(const struct rpc_call *call);
/* The `arg` of the connection that the call came on; NULL once it is closed. Server only. */
void *rpc_call_connection_arg(const struct rpc_call *call);
/* The argument given to rpc_call_start() or rpc_call_accept(). */
void *rpc_call_arg(const struct rpc_call *call);

#endif
