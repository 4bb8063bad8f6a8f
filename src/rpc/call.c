/* Happy path:  the owner starts the first batches (client.c, server.c); messages are read one at a
 * time, each handed to on_message before the next is asked for; sends go out one at a time from a
 * small ring, then the finish; the peer's word (status or close) sets `ended`; when no batch is
 * pending any more, on_end, and the memory goes. It ends otherwise by:
 *   - rpc_call_cancel, a deadline, a broken connection: gRPC completes every pending batch, most of
 * them as failed, and the peer's word with them; the same countdown follows;
 *   - a message that is too large: the read fails and gRPC cancels the call with
 * RESOURCE_EXHAUSTED;
 *   - an OK that overtakes a paused reader: waits until the message that is held was delivered. */
#include "rpc/call.h"

#include <grpc/byte_buffer.h>
#include <grpc/byte_buffer_reader.h>
#include <grpc/slice.h>
#include <grpc/support/alloc.h>
#include <stdlib.h>
#include <string.h>

static void text_copy(char out[RPC_TEXT_MAX], const void *text, size_t len)
{
    if (len >= RPC_TEXT_MAX)
        len = RPC_TEXT_MAX - 1;
    if (len)
        memcpy(out, text, len);
    out[len] = '\0';
}

struct rpc_call *call_new(struct rpc *rpc, struct rpc_call **list, const char *path,
                          size_t path_len)
{
    struct rpc_call *call = calloc(1, sizeof *call);
    char *copy = strndup(path, path_len);
    if (!call || !copy) {
        free(call);
        free(copy);
        return NULL;
    }
    call->rpc = rpc;
    call->path = copy;
    call->details = grpc_empty_slice();
    call->finish_details = grpc_empty_slice();
    grpc_metadata_array_init(&call->initial);
    grpc_metadata_array_init(&call->trailing);
    call->next = *list;
    call->prev = list;
    if (call->next)
        call->next->prev = &call->next;
    *list = call;
    rpc_hold(rpc);
    return call;
}

static void free_sent_metadata(struct rpc_call *call)
{
    for (unsigned i = 0; i < call->sent_count; i++) {
        grpc_slice_unref(call->sent[i].key);
        grpc_slice_unref(call->sent[i].value);
    }
    free(call->sent);
    call->sent = NULL;
    call->sent_count = 0;
}

void call_free(struct rpc_call *call)
{
    struct rpc *rpc = call->rpc;
    struct rpc_channel *channel = call->channel;
    struct rpc_connection *connection = call->connection;
    *call->prev = call->next;
    if (call->next)
        call->next->prev = call->prev;
    for (; call->queue_count > 0; call->queue_count--) {
        grpc_byte_buffer_destroy(call->queue[call->queue_first]);
        call->queue_first = (call->queue_first + 1) % RPC_SEND_QUEUE_MAX;
    }
    grpc_byte_buffer_destroy(call->received);
    grpc_metadata_array_destroy(&call->initial);
    grpc_metadata_array_destroy(&call->trailing);
    grpc_slice_unref(call->details);
    grpc_slice_unref(call->finish_details);
    free_sent_metadata(call);
    if (call->grpc)
        grpc_call_unref(call->grpc);
    free(call->path);
    free(call);
    if (channel)
        channel_call_gone(channel);
    if (connection)
        connection_call_gone(connection);
    rpc_release(rpc);
}

enum err_code call_set_metadata(struct rpc_call *call, const struct rpc_metadata *metadata,
                                unsigned count, struct err *err)
{
    if (count == 0)
        return ERR_OK;
    if (count > RPC_METADATA_MAX)
        return err_set(err, ERR_INVALID, "call %s: %u metadata entries, at most %d", call->path,
                       count, RPC_METADATA_MAX);
    call->sent = calloc(count, sizeof *call->sent);
    if (!call->sent)
        return err_set(err, ERR_NO_MEMORY, "call %s: out of memory", call->path);
    for (unsigned i = 0; i < count; i++) {
        grpc_slice key = grpc_slice_from_copied_string(metadata[i].key);
        grpc_slice value = grpc_slice_from_copied_buffer(metadata[i].value, metadata[i].value_len);
        call->sent[i].key = key;
        call->sent[i].value = value;
        call->sent_count = i + 1;
        /* The value may be a token: only the key is named. */
        if (!grpc_header_key_is_legal(key) ||
            (!grpc_is_binary_header(key) && !grpc_header_nonbin_value_is_legal(value))) {
            err_set(err, ERR_INVALID, "call %s: HTTP/2 cannot carry the metadata \"%.64s\"",
                    call->path, metadata[i].key);
            free_sent_metadata(call);
            return ERR_INVALID;
        }
    }
    return ERR_OK;
}

void call_batch(struct rpc_call *call, const grpc_op *ops, size_t count, struct rpc_op *tag,
                void (*done)(struct rpc_op *, bool))
{
    call->pending++;
    grpc_call_error failed =
        grpc_call_start_batch(call->grpc, ops, count, rpc_op_start(tag, call, done), NULL);
    /* What a peer or a caller can get wrong was checked before: this would be our own mistake. */
    if (failed != GRPC_CALL_OK)
        abort();
}

void call_batch_done(struct rpc_op *op, bool ok)
{
    (void)ok;
    struct rpc_call *call = op->owner;
    call->pending--;
    call_settle(call);
}

/* --- the end ---------------------------------------------------------------------------------- */

/* Status and message (in call->text) for on_end. */
static int end_status(struct rpc_call *call)
{
    if (call->channel) {
        text_copy(call->text, GRPC_SLICE_START_PTR(call->details),
                  GRPC_SLICE_LENGTH(call->details));
        return (int)call->status;
    }
    if (call->cancelled)
        return call->cancel_status;
    if (call->finished && !call->server_cancelled) {
        text_copy(call->text, GRPC_SLICE_START_PTR(call->finish_details),
                  GRPC_SLICE_LENGTH(call->finish_details));
        return call->finish_status;
    }
    const char *why = "the client cancelled, its deadline passed or the connection broke";
    if (call->read_failed)
        why = "a message is larger than 4 MiB";
    text_copy(call->text, why, strlen(why));
    return call->read_failed ? RPC_RESOURCE_EXHAUSTED : RPC_CANCELLED;
}

void call_settle(struct rpc_call *call)
{
    if (!call->ended || call->pending > 0)
        return;
    bool held = call->received && call->channel && call->status == GRPC_STATUS_OK;
    if (held && !call->cancelled)
        return;
    if (call->accepted) {
        int status = end_status(call);
        call->events->on_end(call, status, call->text, call->arg);
    }
    call_free(call);
}

void rpc_call_cancel(struct rpc_call *call, int status, const char *message)
{
    if (call->ended || call->cancelled)
        return;
    if (call->in_open && !call->accepted) {
        rpc_call_finish(call, status, message);
        return;
    }
    call->cancelled = true;
    call->cancel_status = status == RPC_OK ? RPC_CANCELLED : status;
    text_copy(call->text, message, message ? strlen(message) : 0);
    grpc_call_cancel_with_status(call->grpc, (grpc_status_code)call->cancel_status, call->text,
                                 NULL);
}

/* --- reading ---------------------------------------------------------------------------------- */

static void deliver_message(struct rpc_call *call)
{
    grpc_byte_buffer *buffer = call->received;
    call->received = NULL;
    if (call->cancelled) {
        grpc_byte_buffer_destroy(buffer);
        return;
    }
    grpc_byte_buffer_reader reader;
    if (!grpc_byte_buffer_reader_init(&reader, buffer))
        abort();
    const grpc_slice_buffer *slices = &buffer->data.raw.slice_buffer;
    grpc_slice whole = slices->count == 1 ? grpc_slice_ref(slices->slices[0])
                                          : grpc_byte_buffer_reader_readall(&reader);
    grpc_byte_buffer_reader_destroy(&reader);
    grpc_byte_buffer_destroy(buffer);
    size_t len = GRPC_SLICE_LENGTH(whole);
    call->reading = true; /* so that a resume in the callback does not ask for the next one */
    call->events->on_message(call, len ? (const void *)GRPC_SLICE_START_PTR(whole) : "", len,
                             call->arg);
    call->reading = false;
    grpc_slice_unref(whole);
    call_read(call);
}

static void on_read(struct rpc_op *op, bool ok)
{
    struct rpc_call *call = op->owner;
    call->pending--;
    call->reading = false;
    if (call->received) {
        if (call->connection)
            connection_took(call->connection, grpc_byte_buffer_length(call->received));
        if (!call->paused)
            deliver_message(call);
    } else {
        call->read_over = true;
        call->read_failed = !ok;
        bool clean = ok && !grpc_call_failed_before_recv_message(call->grpc);
        if (clean && call->connection && !call->cancelled && !call->ended &&
            call->events->on_half_closed)
            call->events->on_half_closed(call, call->arg);
    }
    call_settle(call);
}

void call_read(struct rpc_call *call)
{
    if (call->reading || call->paused || call->read_over || call->ended || call->cancelled ||
        call->received)
        return;
    call->reading = true;
    grpc_op op = {.op = GRPC_OP_RECV_MESSAGE};
    op.data.recv_message.recv_message = &call->received;
    call_batch(call, &op, 1, &call->read_op, on_read);
}

void rpc_call_read_pause(struct rpc_call *call)
{
    call->paused = true;
}

static void on_resumed(struct rpc_op *op, bool ok)
{
    (void)ok;
    struct rpc_call *call = op->owner;
    call->pending--;
    call->resuming = false;
    if (call->received && !call->paused)
        deliver_message(call);
    call_settle(call);
}

void rpc_call_read_resume(struct rpc_call *call)
{
    call->paused = false;
    if (!call->received || call->reading) {
        if (call->accepted && !call->in_open)
            call_read(call);
    } else if (!call->resuming) {
        call->resuming = true;
        call->pending++;
        rpc_op_later(call->rpc, &call->resume_op, call, on_resumed);
    }
}

/* --- sending ---------------------------------------------------------------------------------- */

static void on_sent(struct rpc_op *op, bool ok)
{
    struct rpc_call *call = op->owner;
    call->pending--;
    call->sending = false;
    grpc_byte_buffer_destroy(call->queue[call->queue_first]);
    call->queue_first = (call->queue_first + 1) % RPC_SEND_QUEUE_MAX;
    call->queue_count--;
    if (ok && !call->cancelled && !call->ended && call->events->on_sent)
        call->events->on_sent(call, call->arg);
    call_pump(call);
    call_settle(call);
}

static void finish(struct rpc_call *call)
{
    call->finished = true;
    grpc_op op = {.op = GRPC_OP_SEND_CLOSE_FROM_CLIENT};
    if (call->connection) {
        op.op = GRPC_OP_SEND_STATUS_FROM_SERVER;
        op.data.send_status_from_server.status = (grpc_status_code)call->finish_status;
        op.data.send_status_from_server.status_details = &call->finish_details;
    }
    call_batch(call, &op, 1, &call->finish_op, call_batch_done);
}

void call_pump(struct rpc_call *call)
{
    if (call->sending || call->ended || call->cancelled)
        return;
    if (call->queue_count > 0) {
        call->sending = true;
        grpc_op op = {.op = GRPC_OP_SEND_MESSAGE};
        op.data.send_message.send_message = call->queue[call->queue_first];
        call_batch(call, &op, 1, &call->send_op, on_sent);
    } else if (call->finishing && !call->finished) {
        finish(call);
    }
}

/* Takes `slice` when it returns ERR_OK. */
static enum err_code queue_slice(struct rpc_call *call, grpc_slice slice)
{
    grpc_byte_buffer *buffer = grpc_raw_byte_buffer_create(&slice, 1);
    grpc_slice_unref(slice);
    unsigned at = (call->queue_first + call->queue_count) % RPC_SEND_QUEUE_MAX;
    call->queue[at] = buffer;
    call->queue_count++;
    call_pump(call);
    return ERR_OK;
}

static enum err_code may_send(const struct rpc_call *call)
{
    if (!call->accepted || call->ended || call->cancelled || call->finishing)
        return ERR_CANCELLED;
    return call->queue_count < RPC_SEND_QUEUE_MAX ? ERR_OK : ERR_BUSY;
}

enum err_code rpc_call_send(struct rpc_call *call, const void *data, size_t len)
{
    enum err_code code = may_send(call);
    return code != ERR_OK ? code : queue_slice(call, grpc_slice_from_copied_buffer(data, len));
}

enum err_code rpc_call_send_take(struct rpc_call *call, void *data, size_t len)
{
    enum err_code code = may_send(call);
    return code != ERR_OK ? code : queue_slice(call, grpc_slice_new(data, len, free));
}

unsigned rpc_call_send_queued(const struct rpc_call *call)
{
    return call->queue_count;
}

/* --- looking at it ---------------------------------------------------------------------------- */

static const char *find(const grpc_metadata_array *array, const char *key, size_t *len)
{
    for (size_t i = 0; i < array->count; i++) {
        const grpc_metadata *entry = &array->metadata[i];
        if (grpc_slice_str_cmp(entry->key, key) != 0)
            continue;
        if (len)
            *len = GRPC_SLICE_LENGTH(entry->value);
        /* An inlined slice lies in the array itself, which stays as long as the call. */
        return (const char *)GRPC_SLICE_START_PTR(entry->value);
    }
    return NULL;
}

const char *rpc_call_initial(const struct rpc_call *call, const char *key, size_t *len)
{
    return call->has_initial ? find(&call->initial, key, len) : NULL;
}

const char *rpc_call_path(const struct rpc_call *call)
{
    return call->path;
}

void *rpc_call_arg(const struct rpc_call *call)
{
    return call->arg;
}
