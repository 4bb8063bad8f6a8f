#include "relay/relay.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "relay/socket.h"
#include "relay/watch.h"

enum {
    /* Chunks from one side before the others on this loop have a turn. */
    RELAY_TURN_CHUNKS = 4,
    /* A socket's own key updates may queue behind what it holds; nothing else is added to a full
       one. */
    RELAY_HELD_MAX = 2 * RELAY_OUT_BYTES,
};

/* STOP: a cause to end is recorded; return to step(), which ends. */
enum outcome { GOES_ON, STOP };

/* Records why the relay ends. The first cause wins, but an alert explains the reset that follows
 * it. */
static enum outcome stop(struct relay *relay, enum err_code code, int side, const struct err *err)
{
    if (relay->code == ERR_OK || (relay->code == ERR_CONN_RESET && code == ERR_TLS_ALERT)) {
        relay->code = code;
        relay->failed_side = side;
        *relay->err = *err;
    }
    return STOP;
}

static enum outcome stop_plain(struct relay *relay, enum err_code code, int side)
{
    struct err err;
    err_set(&err, code, "%s", err_sentence(code));
    return stop(relay, code, side, &err);
}

/* The socket of side `i` failed with errno `sys`. */
static enum outcome stop_socket(struct relay *relay, int i, int sys)
{
    struct err err = {0};
    if (sys == ETIMEDOUT)
        return stop_plain(relay, ERR_CONN_USER_TIMEOUT, i);
    if (sys != EHOSTUNREACH && sys != ENETUNREACH)
        return stop_plain(relay, ERR_CONN_RESET, i);
    err_sys(&err, ERR_CONN_UNREACHABLE, sys, "the peer vanished");
    return stop(relay, err.code, i, &err);
}

/* Keeps `len` bytes for side `i` until its socket takes them. */
static bool hold(struct relay_side *side, const uint8_t *bytes, size_t len)
{
    size_t waiting = side->held_len - side->held_at;
    if (waiting + len > RELAY_HELD_MAX)
        return false;
    uint8_t *grown = malloc(waiting + len);
    if (!grown)
        return false;
    if (waiting)
        memcpy(grown, side->held + side->held_at, waiting);
    memcpy(grown + waiting, bytes, len);
    free(side->held);
    side->held = grown;
    side->held_at = 0;
    side->held_len = (uint32_t)(waiting + len);
    return true;
}

/* Writes to side `i`'s socket, or holds what it does not take. */
static enum outcome put(struct relay *relay, int i, const uint8_t *bytes, size_t len)
{
    struct relay_side *side = &relay->side[i];
    while (len > 0 && !side->held) {
        ssize_t sent = send(side->item.fd, bytes, len, MSG_NOSIGNAL);
        if (sent < 0 && errno == EAGAIN)
            break;
        if (sent < 0)
            return stop_socket(relay, i, errno);
        bytes += sent;
        len -= (size_t)sent;
    }
    if (len > 0 && !hold(side, bytes, len))
        return stop_plain(relay, ERR_NO_MEMORY, -1);
    return GOES_ON;
}

/* Sends FIN on side `i` when it is due, close_notify first (RFC 8446 section 6.1). */
static enum outcome put_fin(struct relay *relay, int i)
{
    struct relay_side *side = &relay->side[i];
    if (!side->fin_wanted || side->write_ended || side->held)
        return GOES_ON;
    if (side->tls && !side->notified) {
        struct err err = {0};
        struct tls_io io = {.out = relay->env->out, .out_size = RELAY_OUT_BYTES};
        if (tls_conn_close_notify(side->tls, &io, &err) == TLS_FAILED)
            return stop(relay, err.code, i, &err);
        side->notified = true;
        if (put(relay, i, io.out, io.out_len) == STOP)
            return STOP;
        if (side->held)
            return GOES_ON;
    }
    side->write_ended = true;
    return shutdown(side->item.fd, SHUT_WR) < 0 ? stop_socket(relay, i, errno) : GOES_ON;
}

/* Application bytes from the other side go out on side `i`. */
static enum outcome forward(struct relay *relay, int i, const uint8_t *plain, size_t len)
{
    struct relay_side *side = &relay->side[i];
    struct relay_side *from = &relay->side[1 - i];
    struct err err = {0};
    __atomic_store_n(&from->bytes, from->bytes + len, __ATOMIC_RELAXED);
    if (!side->tls)
        return put(relay, i, plain, len);
    struct tls_io io = {.out = relay->env->out, .out_size = RELAY_OUT_BYTES};
    if (tls_conn_write(side->tls, &io, plain, len, &err) == TLS_FAILED)
        return stop(relay, err.code, i, &err);
    return put(relay, i, io.out, io.out_len);
}

/* Opens ciphertext that arrived on side `i` and forwards what is in it. */
static enum outcome open_records(struct relay *relay, int i, const uint8_t *bytes, size_t len)
{
    struct relay_side *side = &relay->side[i];
    struct err err = {0};
    struct tls_io io = {
        .in = bytes, .in_len = len, .out = relay->env->out, .out_size = RELAY_OUT_BYTES};
    enum tls_status status;
    size_t opened = 0;
    do {
        size_t got = 0;
        status = tls_conn_read(side->tls, &io, relay->env->plain + opened,
                               RELAY_PLAIN_BYTES - opened, &got, &err);
        opened += got;
    } while (status == TLS_OK && opened < RELAY_PLAIN_BYTES);
    /* A chunk and the record it completes always fit: only then is all input consumed. */
    if (status == TLS_OK)
        abort();
    /* The answer to a key update, or the alert that says why we end. */
    if (io.out_len > 0 && put(relay, i, io.out, io.out_len) == STOP)
        return STOP;
    if (opened > 0 && forward(relay, 1 - i, relay->env->plain, opened) == STOP)
        return STOP;
    if (status == TLS_FAILED)
        return stop(relay, err.code, i, &err);
    if (status == TLS_CLOSED)
        side->read_ended = true;
    return GOES_ON;
}

/* The TCP connection of side `i` said FIN. Under TLS that is the end of the story only after
 * close_notify. */
static enum outcome end_of_file(struct relay *relay, int i)
{
    struct relay_side *side = &relay->side[i];
    if (side->tls)
        return stop_plain(relay, ERR_CONN_TRUNCATED, i);
    side->read_ended = true;
    return GOES_ON;
}

/* Takes one chunk from side `i`, if there is one. */
static enum outcome take_chunk(struct relay *relay, int i)
{
    struct relay_side *side = &relay->side[i];
    uint8_t *early = side->early, *bytes = early;
    size_t len = side->early_len;
    if (!early) {
        ssize_t got = recv(side->item.fd, relay->env->in, RELAY_CHUNK_BYTES, 0);
        if (got < 0 && errno == EAGAIN) {
            side->readable = false;
            return GOES_ON;
        }
        if (got < 0)
            return stop_socket(relay, i, errno);
        if (got == 0)
            return end_of_file(relay, i);
        bytes = relay->env->in;
        len = (size_t)got;
        /* A short read has emptied the socket (epoll(7)); a FIN that came before it has set
         * hung_up. */
        if (len < RELAY_CHUNK_BYTES && !side->hung_up)
            side->readable = false;
    }
    side->early = NULL;
    enum outcome outcome =
        side->tls ? open_records(relay, i, bytes, len) : forward(relay, 1 - i, bytes, len);
    free(early);
    return outcome;
}

/* Moves what there is from side `i` to the other, as long as the other takes it. */
static enum outcome pump(struct relay *relay, int i)
{
    struct relay_side *from = &relay->side[i], *to = &relay->side[1 - i];
    for (int turn = 0; !from->read_ended && !to->held && (from->readable || from->early); turn++) {
        if (turn == RELAY_TURN_CHUNKS) {
            poll_item_again(relay->env->loop, &from->item);
            break;
        }
        if (take_chunk(relay, i) == STOP)
            return STOP;
    }
    if (from->read_ended)
        to->fin_wanted = !to->write_ended;
    return put_fin(relay, 1 - i);
}

/* Writes what side `i` holds. */
static enum outcome flush(struct relay *relay, int i)
{
    struct relay_side *side = &relay->side[i];
    while (side->held) {
        ssize_t sent = send(side->item.fd, side->held + side->held_at,
                            side->held_len - side->held_at, MSG_NOSIGNAL);
        if (sent < 0 && errno == EAGAIN)
            return GOES_ON;
        if (sent < 0)
            return stop_socket(relay, i, errno);
        side->held_at += (uint32_t)sent;
        if (side->held_at == side->held_len) {
            free(side->held);
            side->held = NULL;
            side->held_at = side->held_len = 0;
        }
    }
    return put_fin(relay, i);
}

/* A reset may have overtaken our reading: what the far end sent before it is still in the socket,
 * and a direct connection would have delivered it. So would we, as far as the other side takes it
 * at once. */
static void deliver_last_words(struct relay *relay, int i)
{
    struct relay_side *from = &relay->side[i];
    from->readable = from->hung_up = true;
    for (int turn = 0; turn < RELAY_TURN_CHUNKS && !from->read_ended && !relay->side[1 - i].held;
         turn++) {
        if (take_chunk(relay, i) == STOP)
            return;
    }
}

static void close_side(struct relay *relay, int i)
{
    struct relay_side *side = &relay->side[i];
    int fd = side->item.fd;
    poll_item_remove(relay->env->loop, &side->item);
    if (relay->code == ERR_OK)
        socket_close_clean(fd);
    else
        socket_close_reset(fd);
    tls_conn_free(side->tls);
    free(side->held);
    free(side->early);
}

static void finish(struct relay *relay)
{
    if (relay->code == ERR_CONN_RESET)
        deliver_last_words(relay, relay->failed_side);
    watch_remove(relay);
    close_side(relay, 0);
    close_side(relay, 1);
    relay->on_end(relay, relay->code, relay->failed_side, relay->err);
}

static bool is_complete(const struct relay *relay)
{
    const struct relay_side *a = &relay->side[0], *b = &relay->side[1];
    return a->read_ended && b->read_ended && a->write_ended && b->write_ended;
}

/* Everything that an event on side `i` allows. */
static enum outcome move(struct relay *relay, int i, uint32_t events)
{
    struct relay_side *side = &relay->side[i];
    if (relay->abort_code != ERR_OK)
        return stop_plain(relay, relay->abort_code, relay->failed_side);
    if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
        side->readable = true;
    if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
        side->hung_up = true;
    if ((events & EPOLLOUT) && flush(relay, i) == STOP)
        return STOP;
    if (pump(relay, i) == STOP || pump(relay, 1 - i) == STOP)
        return STOP;
    /* An error that no recv() met, because the other side is full or this one had ended: nobody
     * will read on to find it, and a peer that is gone takes nothing any more. */
    if ((events & EPOLLERR) && (side->read_ended || relay->side[1 - i].held))
        return stop_socket(relay, i, socket_error(side->item.fd));
    return GOES_ON;
}

static void step(struct relay *relay, int i, uint32_t events)
{
    struct err err = {0};
    relay->err = &err;
    if (move(relay, i, events) == STOP || is_complete(relay))
        finish(relay);
}

static void on_events_0(struct poll_item *item, uint32_t events)
{
    step((struct relay *)((char *)item - offsetof(struct relay, side[0].item)), 0, events);
}

static void on_events_1(struct poll_item *item, uint32_t events)
{
    step((struct relay *)((char *)item - offsetof(struct relay, side[1].item)), 1, events);
}

enum err_code relay_start(struct relay *relay, struct relay_env *env, const struct relay_socket *a,
                          const struct relay_socket *b,
                          void (*on_end)(struct relay *, enum err_code, int, struct err *),
                          struct err *err)
{
    *relay = (struct relay){.env = env, .on_end = on_end, .failed_side = -1};
    const struct relay_socket *ends[2] = {a, b};
    int added = 0;
    relay->side[0].item.fd = relay->side[1].item.fd = -1;
    for (; added < 2; added++) {
        struct relay_side *side = &relay->side[added];
        /* The first event of a connected socket comes at once: it is writable. Early bytes are
         * taken then. */
        if (poll_item_add(env->loop, &side->item, ends[added]->fd,
                          added == 0 ? on_events_0 : on_events_1, err) != ERR_OK)
            break;
        side->tls = ends[added]->tls;
        side->early = ends[added]->early;
        side->early_len = (uint32_t)ends[added]->early_len;
    }
    if (added == 2) {
        watch_add(relay);
        return ERR_OK;
    }
    for (int i = 0; i < 2; i++) {
        poll_item_remove(env->loop, &relay->side[i].item);
        socket_close_reset(ends[i]->fd);
        tls_conn_free(ends[i]->tls);
        free(ends[i]->early);
    }
    return ERR_SYSTEM;
}

void relay_abort_side(struct relay *relay, enum err_code code, int side)
{
    relay->abort_code = code;
    relay->failed_side = side;
    poll_item_again(relay->env->loop, &relay->side[0].item);
}

void relay_abort(struct relay *relay, enum err_code code)
{
    relay_abort_side(relay, code, -1);
}
