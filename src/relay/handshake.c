#include "relay/handshake.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "relay/socket.h"

static void finish(struct handshake *handshake, enum err_code code, struct err *err)
{
    poll_item_remove(handshake->env->loop, &handshake->item);
    timer_stop(handshake->env->timers, &handshake->deadline);
    free(handshake->unsent);
    handshake->unsent = NULL;
    if (code != ERR_OK) {
        free(handshake->early);
        handshake->early = NULL;
        handshake->early_len = 0;
    }
    handshake->on_done(handshake, code, err);
}

/* What the socket does not take is kept; a handshake's flights fit one socket buffer, so this is
 * rare. */
static bool send_flight(struct handshake *handshake, const uint8_t *bytes, size_t len)
{
    if (len == 0)
        return true;
    ssize_t sent = 0;
    if (!handshake->unsent)
        sent = send(handshake->item.fd, bytes, len, MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN)
        handshake->send_sys = errno; /* the peer's last words, an alert perhaps, come first */
    if (sent < 0)
        sent = 0;
    if ((size_t)sent == len)
        return true;
    size_t waiting = handshake->unsent_len - handshake->unsent_at, rest = len - (size_t)sent;
    uint8_t *grown = malloc(waiting + rest);
    if (!grown)
        return false;
    if (waiting)
        memcpy(grown, handshake->unsent + handshake->unsent_at, waiting);
    memcpy(grown + waiting, bytes + sent, rest);
    free(handshake->unsent);
    handshake->unsent = grown;
    handshake->unsent_len = waiting + rest;
    handshake->unsent_at = 0;
    return true;
}

static void send_unsent(struct handshake *handshake)
{
    if (!handshake->unsent)
        return;
    ssize_t sent = send(handshake->item.fd, handshake->unsent + handshake->unsent_at,
                        handshake->unsent_len - handshake->unsent_at, MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN)
        handshake->send_sys = errno;
    else if (sent > 0)
        handshake->unsent_at += (size_t)sent;
    if (handshake->unsent_at == handshake->unsent_len) {
        free(handshake->unsent);
        handshake->unsent = NULL;
        handshake->unsent_len = handshake->unsent_at = 0;
    }
}

/* One step with the bytes that arrived. False: on_done was called. */
static bool step(struct handshake *handshake, const uint8_t *bytes, size_t len)
{
    struct err err = {0};
    struct tls_io io = {
        .in = bytes, .in_len = len, .out = handshake->env->out, .out_size = RELAY_OUT_BYTES};
    enum tls_status status = tls_conn_handshake(handshake->tls, &io, &err);
    bool kept = send_flight(handshake, io.out, io.out_len);
    if (status == TLS_OK && kept && io.in_len > 0) {
        handshake->early = malloc(io.in_len);
        kept = handshake->early != NULL;
        if (kept) {
            memcpy(handshake->early, io.in, io.in_len);
            handshake->early_len = io.in_len;
        }
    }
    if (!kept) {
        err_set(&err, ERR_NO_MEMORY, "no memory for a TLS handshake");
        status = TLS_FAILED;
    }
    if (status == TLS_FAILED) {
        finish(handshake, err.code, &err);
        return false;
    }
    handshake->finished = status == TLS_OK;
    if (handshake->finished && !handshake->unsent) {
        finish(handshake, ERR_OK, &err);
        return false;
    }
    return true;
}

static void fail_read(struct handshake *handshake, ssize_t got, int sys)
{
    struct err err = {0};
    if (got == 0 && handshake->send_sys) {
        got = -1;
        sys = handshake->send_sys;
    }
    if (got == 0)
        err_set(&err, ERR_TLS_PEER_CLOSED, "%s", err_sentence(ERR_TLS_PEER_CLOSED));
    else
        err_sys(&err, sys == ETIMEDOUT ? ERR_CONN_USER_TIMEOUT : ERR_TLS_PEER_RESET, sys,
                "reading during the TLS handshake");
    finish(handshake, err.code, &err);
}

static void on_events(struct poll_item *item, uint32_t events)
{
    struct handshake *handshake =
        (struct handshake *)((char *)item - offsetof(struct handshake, item));
    (void)events;
    send_unsent(handshake);
    while (!handshake->finished) {
        ssize_t got = recv(item->fd, handshake->env->in, RELAY_CHUNK_BYTES, 0);
        if (got < 0 && errno == EAGAIN)
            return;
        if (got <= 0) {
            fail_read(handshake, got, errno);
            return;
        }
        if (!step(handshake, handshake->env->in, (size_t)got))
            return;
    }
    if (!handshake->unsent)
        finish(handshake, ERR_OK, &(struct err){0});
    else if (events & (EPOLLERR | EPOLLHUP))
        fail_read(handshake, -1, socket_error(item->fd));
}

static void on_deadline(struct timer *timer)
{
    struct handshake *handshake =
        (struct handshake *)((char *)timer - offsetof(struct handshake, deadline));
    struct err err;
    err_set(&err, ERR_TLS_TIMEOUT, "the peer did not finish the TLS handshake in time");
    finish(handshake, ERR_TLS_TIMEOUT, &err);
}

enum err_code handshake_start(struct handshake *handshake, struct relay_env *env, int fd,
                              struct tls_conn *tls, int64_t timeout_ms,
                              void (*on_done)(struct handshake *, enum err_code, struct err *),
                              struct err *err)
{
    *handshake = (struct handshake){.env = env, .tls = tls, .on_done = on_done, .item.fd = -1};
    if (!timer_start(env->timers, &handshake->deadline, timeout_ms, on_deadline))
        return err_set(err, ERR_NO_MEMORY, "no memory for a deadline");
    enum err_code code = poll_item_add(env->loop, &handshake->item, fd, on_events, err);
    if (code != ERR_OK) {
        timer_stop(env->timers, &handshake->deadline);
        return code;
    }
    /* A client speaks first; a server only learns here that it wants input. */
    struct tls_io io = {.out = env->out, .out_size = RELAY_OUT_BYTES};
    bool started = tls_conn_handshake(tls, &io, err) == TLS_WANT_INPUT;
    if (started && send_flight(handshake, io.out, io.out_len))
        return ERR_OK;
    handshake_cancel(handshake);
    if (started)
        err_set(err, ERR_NO_MEMORY, "no memory for the first flight");
    return err_wrap(err, "start of the TLS handshake");
}

void handshake_cancel(struct handshake *handshake)
{
    poll_item_remove(handshake->env->loop, &handshake->item);
    timer_stop(handshake->env->timers, &handshake->deadline);
    free(handshake->unsent);
    free(handshake->early);
    handshake->unsent = handshake->early = NULL;
}
