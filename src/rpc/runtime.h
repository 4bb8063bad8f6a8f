/* The inside of the runtime: how an event of gRPC's completion queue comes to the loop. Only this
 * folder includes it. */
#ifndef RPC_RUNTIME_H
#define RPC_RUNTIME_H

#include <grpc/grpc.h>
#include <pthread.h>

#include "loop/mailbox.h"
#include "rpc/rpc.h"

/* Something that gRPC, or the loop itself, will finish later; embedded in what it belongs to, whose
 * memory stays until `done` has run. Its address is gRPC's tag. */
struct rpc_op {
    struct mail mail;                         /* first */
    void (*done)(struct rpc_op *op, bool ok); /* on the loop */
    void *owner;
    atomic_int state; /* hands what the loop wrote over to the poller thread: gRPC does that too,
                         but out of sight of ThreadSanitizer */
    bool ok;
};

struct rpc {
    struct loop *loop;
    grpc_completion_queue *queue;
    pthread_t thread;
    struct mailbox mailbox;
    struct rpc_op stopped; /* the thread's last message */
    struct rpc_channel *channels;
    struct rpc_server *servers;
    unsigned live; /* calls, connections and servers: whoever may still get an event */
    bool closing;
    void (*on_closed)(void *arg);
    void *arg;
};

/* Makes `op` ready to be a tag and returns it. */
void *rpc_op_start(struct rpc_op *op, void *owner, void (*done)(struct rpc_op *, bool));
/* Runs done(op, true) from the loop, later: for callbacks that must not come from inside a call. */
void rpc_op_later(struct rpc *rpc, struct rpc_op *op, void *owner,
                  void (*done)(struct rpc_op *, bool));

/* Everything counted in `live` takes one and gives it back when no event can come for it any more.
 */
void rpc_hold(struct rpc *rpc);
void rpc_release(struct rpc *rpc);

/* For rpc_close(). */
void rpc_channels_close(struct rpc *rpc);
void rpc_servers_close(struct rpc *rpc);

#endif
