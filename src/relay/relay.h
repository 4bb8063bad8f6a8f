/* The relay: two sockets, each plain or under TLS, and the truth between them.
 *
 * Bytes go both ways until both directions have ended or one side fails. FIN (or close_notify) on
 * one side becomes FIN (and close_notify) on the other, each direction alone, for as long as it
 * takes. A reset, a TLS end without close_notify, a vanished peer on one side becomes a reset on
 * both. A slow reader stops the reading from the other side: at most RELAY_CHUNK_BYTES and its TLS
 * overhead are held for each direction.
 *
 *   relay_start -> both directions end -> on_end(clean); sockets, TLS and buffers are gone by then
 *   relay_start -> reset, truncation, timeout, relay_abort -> both sockets reset -> on_end(reason) */
#ifndef RELAY_H
#define RELAY_H

#include "base/err.h"
#include "relay/env.h"

/* One end, as handed to relay_start. */
struct relay_socket {
    int fd; /* connected, from socket_prepare (SO_LINGER 0 armed); or a Unix stream socket */
    struct tls_conn *tls; /* after its handshake, or NULL for plaintext */
    uint8_t *early;       /* bytes read from it already (ciphertext under TLS), malloc'd, or NULL */
    size_t early_len;
};

struct relay_side {
    struct poll_item item;
    struct tls_conn *tls;
    uint8_t *held; /* bytes for this socket that it did not take yet; NULL when there are none */
    uint32_t held_len, held_at;
    uint8_t *early;
    uint32_t early_len;
    bool readable;     /* reading may give something: no EAGAIN since the last event */
    bool hung_up;      /* the kernel has seen a FIN or an error: read until it says so */
    bool read_ended;   /* FIN, or close_notify, has been read */
    bool fin_wanted;   /* send FIN (and close_notify) when nothing is held any more */
    bool notified;     /* close_notify is out, or held */
    bool write_ended;  /* FIN has been sent */
    uint32_t stuck_ms; /* since when the peer has answered nothing, see watch.h; 0: it answers */
    uint64_t bytes;    /* application bytes read from this side; one writer, see relay_bytes */
};

struct relay {
    struct relay_env *env;
    struct relay **link, *next; /* env->relays */
    struct relay_side side[2];
    /* code is ERR_OK for a clean end; `side` is the one that failed first (-1: neither, as for
     * relay_abort). Called once, from the loop, never from inside relay_start or relay_abort; the
     * relay's memory is the callee's again. */
    void (*on_end)(struct relay *relay, enum err_code code, int side, struct err *err);
    enum err_code code; /* private: why it ends; the first cause wins */
    int failed_side;
    struct err *err; /* private: lent by the event that is being handled */
    enum err_code abort_code;
};

/* Takes over both sockets, their TLS and early bytes: always, also on failure, when they are reset
 * and freed and on_end does not come. The memory of `relay` must stay until on_end. */
enum err_code relay_start(struct relay *relay, struct relay_env *env, const struct relay_socket *a,
                          const struct relay_socket *b,
                          void (*on_end)(struct relay *, enum err_code, int, struct err *),
                          struct err *err);
/* Resets both sides; on_end(code, -1) follows from the loop. */
void relay_abort(struct relay *relay, enum err_code code);

/* The same, and on_end says that it was the socket of `side`. */
void relay_abort_side(struct relay *relay, enum err_code code, int side);

/* Application bytes read from side 0 or 1. Any thread. */
static inline uint64_t relay_bytes(const struct relay *relay, int side)
{
    return __atomic_load_n(&relay->side[side].bytes, __ATOMIC_RELAXED);
}

#endif
