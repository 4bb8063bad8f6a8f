/* Start:  grpc_init, a completion queue, one thread that waits on it.
 * Event:  the thread posts the tag, which is a message, to the loop's mailbox; it looks at nothing
 * else. Close:  channels and servers close, their calls end; when nothing is live the queue is shut
 * down, the thread sees that, posts its last message and ends; the loop joins it and puts gRPC
 * away. */
#include "rpc/rpc.h"

#include <signal.h>
#include <stdlib.h>

#include "rpc/grpclog.h"
#include "rpc/runtime.h"

static void deliver(struct mail *mail, void *owner)
{
    (void)owner;
    struct rpc_op *op = (struct rpc_op *)mail;
    op->done(op, op->ok);
}

/* The mailbox closes after the last message was delivered. */
static void discard(struct mail *mail)
{
    (void)mail;
    abort();
}

void *rpc_op_start(struct rpc_op *op, void *owner, void (*done)(struct rpc_op *, bool))
{
    op->mail = (struct mail){.deliver = deliver, .discard = discard};
    op->owner = owner;
    op->done = done;
    op->ok = true;
    atomic_store_explicit(&op->state, 1, memory_order_release);
    return op;
}

void rpc_op_later(struct rpc *rpc, struct rpc_op *op, void *owner,
                  void (*done)(struct rpc_op *, bool))
{
    rpc_op_start(op, owner, done);
    mailbox_post(&rpc->mailbox, &op->mail);
}

static void *poll_queue(void *arg)
{
    struct rpc *rpc = arg;
    for (;;) {
        grpc_event event =
            grpc_completion_queue_next(rpc->queue, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
        if (event.type == GRPC_QUEUE_SHUTDOWN)
            break;
        struct rpc_op *op = event.tag;
        if (atomic_load_explicit(&op->state, memory_order_acquire) != 1)
            abort();
        op->ok = event.success != 0;
        mailbox_post(&rpc->mailbox, &op->mail);
    }
    mailbox_post(&rpc->mailbox, &rpc->stopped.mail);
    return NULL;
}

static void on_mailbox_closed(struct mailbox *mailbox)
{
    struct rpc *rpc = mailbox->owner;
    void (*on_closed)(void *) = rpc->on_closed;
    void *arg = rpc->arg;
    free(rpc);
    if (on_closed)
        on_closed(arg);
}

static void on_stopped(struct rpc_op *op, bool ok)
{
    (void)ok;
    struct rpc *rpc = op->owner;
    pthread_join(rpc->thread, NULL);
    grpc_completion_queue_destroy(rpc->queue);
    grpc_shutdown();
    mailbox_close(&rpc->mailbox, on_mailbox_closed);
}

/* Signals are the main thread's: gRPC's threads and ours inherit a mask that blocks all of them. */
static int start_thread(struct rpc *rpc)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    grpclog_start();
    grpc_init();
    rpc->queue = grpc_completion_queue_create_for_next(NULL);
    int failed = pthread_create(&rpc->thread, NULL, poll_queue, rpc);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed) {
        grpc_completion_queue_shutdown(rpc->queue);
        grpc_completion_queue_destroy(rpc->queue);
        grpc_shutdown();
    }
    return failed;
}

struct rpc *rpc_start(struct loop *loop, struct err *err)
{
    struct rpc *rpc = calloc(1, sizeof *rpc);
    if (!rpc) {
        err_set(err, ERR_NO_MEMORY, "start gRPC: out of memory");
        return NULL;
    }
    rpc->loop = loop;
    if (mailbox_open(&rpc->mailbox, loop, rpc, err) != ERR_OK) {
        free(rpc);
        return NULL;
    }
    rpc_op_start(&rpc->stopped, rpc, on_stopped);
    int failed = start_thread(rpc);
    if (failed) {
        err_sys(err, ERR_SYSTEM, failed, "start gRPC's thread");
        mailbox_close(&rpc->mailbox, on_mailbox_closed);
        return NULL;
    }
    pthread_setname_np(rpc->thread, "rpc");
    return rpc;
}

static void stop_when_idle(struct rpc *rpc)
{
    if (rpc->closing && rpc->live == 0)
        grpc_completion_queue_shutdown(rpc->queue);
}

void rpc_hold(struct rpc *rpc)
{
    rpc->live++;
}

void rpc_release(struct rpc *rpc)
{
    rpc->live--;
    stop_when_idle(rpc);
}

void rpc_close(struct rpc *rpc, void (*on_closed)(void *), void *arg)
{
    rpc->on_closed = on_closed;
    rpc->arg = arg;
    rpc_channels_close(rpc);
    rpc_servers_close(rpc);
    rpc->closing = true;
    stop_when_idle(rpc);
}

static const char *const status_names[] = {
    [RPC_OK] = "OK",
    [RPC_CANCELLED] = "CANCELLED",
    [RPC_UNKNOWN] = "UNKNOWN",
    [RPC_INVALID_ARGUMENT] = "INVALID_ARGUMENT",
    [RPC_DEADLINE_EXCEEDED] = "DEADLINE_EXCEEDED",
    [RPC_NOT_FOUND] = "NOT_FOUND",
    [RPC_ALREADY_EXISTS] = "ALREADY_EXISTS",
    [RPC_PERMISSION_DENIED] = "PERMISSION_DENIED",
    [RPC_RESOURCE_EXHAUSTED] = "RESOURCE_EXHAUSTED",
    [RPC_FAILED_PRECONDITION] = "FAILED_PRECONDITION",
    [RPC_ABORTED] = "ABORTED",
    [RPC_OUT_OF_RANGE] = "OUT_OF_RANGE",
    [RPC_UNIMPLEMENTED] = "UNIMPLEMENTED",
    [RPC_INTERNAL] = "INTERNAL",
    [RPC_UNAVAILABLE] = "UNAVAILABLE",
    [RPC_DATA_LOSS] = "DATA_LOSS",
    [RPC_UNAUTHENTICATED] = "UNAUTHENTICATED",
};

const char *rpc_status_name(int status)
{
    if (status < 0 || (size_t)status >= sizeof status_names / sizeof status_names[0])
        return "UNKNOWN";
    return status_names[status];
}
