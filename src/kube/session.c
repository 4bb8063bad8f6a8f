/* Bytes: socket -> TLS -> nghttp2 and back. Everything ends in one place, finish(), at the end of a
 * turn of the loop, so that no callback finds the session gone under its feet. */
#include "kube/session.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "kube/session_impl.h"

enum {
    TURNS_MAX = 16, /* reads before others get their turn */
};

#define SESSION_OF(pointer, member)                                                                \
    ((struct kube_session *)(void *)((char *)(pointer)-offsetof(struct kube_session, member)))

void kube_session_end(struct kube_session *session, const struct err *err)
{
    if (session->ended)
        return;
    session->ended = true;
    session->end = *err;
    poll_item_again(session->env->loop, &session->item);
}

__attribute__((format(printf, 3, 4))) static void
end_with(struct kube_session *session, enum err_code code, const char *format, ...)
{
    struct err err = {.code = code};
    va_list args;
    va_start(args, format);
    vsnprintf(err.text, sizeof err.text, format, args);
    va_end(args);
    kube_session_end(session, &err);
}

/* --- out -------------------------------------------------------------------------------------- */

/* Gives the socket what it takes of `out`; keeps the rest. */
static void push(struct kube_session *session)
{
    size_t sent = 0;
    if (session->out_len == 0)
        return;
    if (session->held.len == 0) {
        ssize_t n = send(session->item.fd, session->out, session->out_len, MSG_NOSIGNAL);
        sent = n > 0 ? (size_t)n : 0; /* an error is named by the next recv */
    }
    if (!kube_buffer_add(&session->held, session->out + sent, session->out_len - sent))
        end_with(session, ERR_NO_MEMORY, "no memory for what the server does not take");
    session->out_len = 0;
}

static void push_held(struct kube_session *session)
{
    if (session->held.len == 0)
        return;
    ssize_t n = send(session->item.fd, session->held.bytes + session->held_at,
                     session->held.len - session->held_at, MSG_NOSIGNAL);
    session->held_at += n > 0 ? (size_t)n : 0;
    if (session->held_at < session->held.len)
        return;
    kube_buffer_clear(&session->held);
    session->held_at = 0;
}

static void seal(struct kube_session *session, const uint8_t *bytes, size_t len)
{
    while (len > 0 && !session->ended) {
        size_t part = len < TLS_RECORD_PLAIN_MAX ? len : TLS_RECORD_PLAIN_MAX;
        if (SESSION_OUT_BYTES - session->out_len < TLS_SEALED_SIZE(part))
            push(session);
        struct tls_io io = {.out = session->out + session->out_len,
                            .out_size = SESSION_OUT_BYTES - session->out_len};
        struct err err = {0};
        if (tls_conn_write(session->tls, &io, bytes, part, &err) != TLS_OK)
            kube_session_end(session, &err);
        session->out_len += io.out_len;
        bytes += part;
        len -= part;
    }
}

/* Sends what HTTP/2 wants to say, as far as the socket takes it: what is held is bounded by one
 * frame more. */
static void flush(struct kube_session *session)
{
    push_held(session);
    while (session->held.len == 0 && !session->ended) {
        const uint8_t *frame = NULL;
        ssize_t len = nghttp2_session_mem_send(session->h2, &frame);
        if (len < 0)
            end_with(session, ERR_RPC_PROTOCOL, "HTTP/2: %s", nghttp2_strerror((int)len));
        if (len <= 0)
            break;
        seal(session, frame, (size_t)len);
    }
    push(session);
}

/* --- in --------------------------------------------------------------------------------------- */

static void take_plain(struct kube_session *session, size_t len)
{
    ssize_t used = nghttp2_session_mem_recv(session->h2, session->plain, len);
    if (used < 0)
        end_with(session, ERR_RPC_PROTOCOL, "HTTP/2: %s",
                 session->complaint[0] ? session->complaint : nghttp2_strerror((int)used));
}

/* Opens `len` bytes of ciphertext and handles what is inside. */
static void take(struct kube_session *session, const uint8_t *bytes, size_t len)
{
    struct tls_io io = {.in = bytes, .in_len = len};
    while (!session->ended) {
        struct err err = {0};
        size_t plain_len = 0;
        push(session); /* room for a key update */
        io.out = session->out;
        io.out_size = SESSION_OUT_BYTES;
        io.out_len = 0;
        enum tls_status status =
            tls_conn_read(session->tls, &io, session->plain, SESSION_PLAIN_BYTES, &plain_len, &err);
        session->out_len = io.out_len;
        if (status == TLS_WANT_INPUT)
            return;
        if (status == TLS_OK)
            take_plain(session, plain_len);
        else if (status == TLS_CLOSED)
            end_with(session, ERR_RPC_UNAVAILABLE, "the server closed the connection");
        else
            kube_session_end(session, &err);
    }
}

static void end_read(struct kube_session *session, ssize_t got, int sys)
{
    if (got == 0)
        end_with(session, ERR_CONN_TRUNCATED,
                 "the server ended the connection without close_notify");
    else
        end_with(session, sys == ETIMEDOUT ? ERR_CONN_USER_TIMEOUT : ERR_CONN_RESET,
                 "reading from the server: %s", strerror(sys));
}

static void read_socket(struct kube_session *session)
{
    for (int turn = 0; !session->ended; turn++) {
        if (turn == TURNS_MAX) {
            poll_item_again(session->env->loop, &session->item);
            return;
        }
        ssize_t got = recv(session->item.fd, session->in, SESSION_IN_BYTES, 0);
        if (got < 0 && errno == EAGAIN)
            return;
        if (got <= 0) {
            end_read(session, got, errno);
            return;
        }
        session->received_ms = clock_now_ms();
        take(session, session->in, (size_t)got);
    }
}

/* --- life ------------------------------------------------------------------------------------- */

static void free_session(struct kube_session *session)
{
    if (session->item.fd >= 0)
        poll_item_remove(session->env->loop, &session->item);
    timer_stop(session->env->timers, &session->alive);
    nghttp2_session_del(session->h2);
    tls_conn_free(session->tls);
    kube_buffer_deinit(&session->held);
    free(session->early);
    free(session);
}

/* Our own end is said politely where the socket takes it at once; nobody waits for an answer. */
static void say_goodbye(struct kube_session *session)
{
    struct tls_io io = {.out = session->out, .out_size = SESSION_OUT_BYTES};
    session->ended = false;
    nghttp2_session_terminate_session(session->h2, NGHTTP2_NO_ERROR);
    flush(session);
    if (session->held.len == 0 && tls_conn_close_notify(session->tls, &io, NULL) == TLS_OK)
        (void)!send(session->item.fd, io.out, io.out_len, MSG_NOSIGNAL);
    session->ended = true;
}

static void finish(struct kube_session *session)
{
    struct err err = session->end;
    int fd = session->item.fd;
    if (err.code == ERR_CANCELLED)
        say_goodbye(session);
    poll_item_remove(session->env->loop, &session->item);
    if (err.code == ERR_CANCELLED)
        socket_close_clean(fd);
    else
        socket_close_reset(fd);
    session->events->on_end(session, &err, session->owner);
    free_session(session);
}

static void on_alive(struct timer *timer);

/* The time for an answer to PING is over. Only now that the socket has been read is it the server
 * that was silent, and not we who did not get to run. */
static void judge_silence(struct kube_session *session)
{
    session->overdue = false;
    if (session->received_ms >= session->pinged_ms)
        on_alive(&session->alive);
    else
        end_with(session, ERR_TIMEOUT,
                 "the server was silent for %lld ms and did not answer a PING",
                 (long long)(clock_now_ms() - session->received_ms));
}

static void on_events(struct poll_item *item, uint32_t events)
{
    struct kube_session *session = SESSION_OF(item, item);
    (void)events;
    if (session->early) {
        uint8_t *early = session->early;
        session->early = NULL;
        take(session, early, session->early_len);
        free(early);
    }
    if (!session->ended)
        read_socket(session);
    if (!session->ended && session->overdue)
        judge_silence(session);
    if (!session->ended)
        flush(session);
    if (!session->ended && !nghttp2_session_want_read(session->h2) &&
        !nghttp2_session_want_write(session->h2))
        end_with(session, ERR_RPC_UNAVAILABLE, "the server ended the HTTP/2 connection%s%s",
                 session->complaint[0] ? ": " : "", session->complaint);
    if (session->ended)
        finish(session);
}

static void on_alive(struct timer *timer)
{
    struct kube_session *session = SESSION_OF(timer, alive);
    int64_t next_ms = session->received_ms + session->timing.ping_idle_ms - clock_now_ms();
    if (session->pinged && session->received_ms < session->pinged_ms) {
        session->overdue = true;
        poll_item_again(session->env->loop, &session->item);
        return;
    }
    session->pinged = next_ms <= 0;
    if (session->pinged) {
        session->pinged_ms = clock_now_ms();
        next_ms = session->timing.ping_answer_ms;
        nghttp2_submit_ping(session->h2, NGHTTP2_FLAG_NONE, NULL);
        poll_item_again(session->env->loop, &session->item);
    }
    timer_start(session->env->timers, timer, next_ms, on_alive);
}

struct kube_session *kube_session_new(struct relay_env *env, const struct kube_dialed *dialed,
                                      const struct kube_session_timing *timing,
                                      const struct kube_session_events *events, void *owner,
                                      struct err *err)
{
    struct kube_session *session = calloc(1, sizeof *session);
    if (!session) {
        tls_conn_free(dialed->tls);
        free(dialed->early);
        socket_close_reset(dialed->fd);
        err_set(err, ERR_NO_MEMORY, "no memory for a connection");
        return NULL;
    }
    session->env = env;
    session->tls = dialed->tls;
    session->early = dialed->early;
    session->early_len = dialed->early_len;
    session->timing = *timing;
    session->events = events;
    session->owner = owner;
    session->held.max = SESSION_HELD_MAX;
    session->item.fd = -1;
    session->since_ms = session->received_ms = clock_now_ms();
    if (!session_start_h2(session) ||
        !timer_start(env->timers, &session->alive, timing->ping_idle_ms, on_alive))
        err_set(err, ERR_NO_MEMORY, "no memory for a connection");
    else if (poll_item_add(env->loop, &session->item, dialed->fd, on_events, err) == ERR_OK)
        return session;
    free_session(session);
    socket_close_reset(dialed->fd);
    return NULL;
}

void kube_session_reset(struct kube_session *session, int32_t stream)
{
    if (session->ended)
        return;
    nghttp2_submit_rst_stream(session->h2, NGHTTP2_FLAG_NONE, stream, NGHTTP2_CANCEL);
    poll_item_again(session->env->loop, &session->item);
}

int64_t kube_session_since_ms(const struct kube_session *session)
{
    return session->since_ms;
}
