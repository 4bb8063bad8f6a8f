/* The inside of a call: what a client's and a server's have in common. Only this folder includes
 * it. */
#ifndef RPC_CALL_H
#define RPC_CALL_H

#include "rpc/runtime.h"

struct rpc_call {
    struct rpc *rpc;
    struct rpc_channel *channel;       /* a client's, or NULL */
    struct rpc_connection *connection; /* a server's, or NULL */
    struct rpc_call *next, **prev;     /* among those of its channel or connection */
    grpc_call *grpc;
    const struct rpc_call_events *events;
    void *arg;
    char *path;

    /* What gRPC is busy with: one of each kind at most, `pending` in all. The call ends when the
     * peer's word is known (`ended`) and nothing is pending. */
    struct rpc_op start_op, initial_op, read_op, send_op, finish_op, end_op, resume_op;
    unsigned pending;

    grpc_metadata_array initial, trailing;
    grpc_metadata *sent; /* initial metadata that we send */
    unsigned sent_count;

    grpc_byte_buffer *received;
    grpc_byte_buffer *queue[RPC_SEND_QUEUE_MAX];
    unsigned queue_first, queue_count;

    grpc_slice details; /* a client's status message */
    grpc_status_code status;
    int server_cancelled;
    int finish_status;
    grpc_slice finish_details;
    int cancel_status;
    char text[RPC_TEXT_MAX];

    bool in_open;     /* a server's: nobody has decided about it yet */
    bool deferred;    /* on_open left the decision for later */
    bool accepted;    /* there is somebody to tell: a client's always */
    bool has_initial; /* `initial` may be looked at */
    bool reading, read_over, read_failed, paused;
    bool resuming;
    bool sending, finishing, finished; /* finish: the client's half close or the server's status */
    bool cancelled;                    /* by us */
    bool ended;
};

/* A zeroed call in the list of its owner, counted as live. NULL: out of memory. */
struct rpc_call *call_new(struct rpc *rpc, struct rpc_call **list, const char *path,
                          size_t path_len);
/* Frees it, gRPC's part included, without any callback, and tells its channel or connection. */
void call_free(struct rpc_call *call);

/* Checks and copies metadata into call->sent. ERR_INVALID, ERR_NO_MEMORY. */
enum err_code call_set_metadata(struct rpc_call *call, const struct rpc_metadata *metadata,
                                unsigned count, struct err *err);
/* Starts a batch and counts it. */
void call_batch(struct rpc_call *call, const grpc_op *ops, size_t count, struct rpc_op *tag,
                void (*done)(struct rpc_op *, bool));
/* Asks for the next message if one is wanted. */
void call_read(struct rpc_call *call);
/* Starts the next send: a message, or the finish once the queue is empty. */
void call_pump(struct rpc_call *call);
/* For the `done` of a batch that needs nothing more. */
void call_batch_done(struct rpc_op *op, bool ok);
/* Last thing in every `done`: counts the batch and ends the call when it was the last. */
void call_settle(struct rpc_call *call);

/* Told by call_free(), after the call left their list. */
void channel_call_gone(struct rpc_channel *channel);
void connection_call_gone(struct rpc_connection *connection);
/* A message has been taken out of gRPC: so many bytes of the client are held no longer. */
void connection_took(struct rpc_connection *connection, size_t bytes);

#endif
