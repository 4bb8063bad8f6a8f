/* From a name to a TLS connection. Loop thread.
 *
 *   kube_dial_start -> resolve -> connect -> handshake -> on_done with a connection
 *   any step fails -> the next address -> none is left -> on_done with the reason of the last */
#ifndef KUBE_DIAL_H
#define KUBE_DIAL_H

#include "relay/connect.h"
#include "relay/handshake.h"
#include "tls/context.h"

enum {
    KUBE_DIAL_ADDRESSES_MAX = 8,
    KUBE_DIAL_CONNECT_MS = 5000,
    KUBE_DIAL_HANDSHAKE_MS = 10000,
    KUBE_DIAL_USER_TIMEOUT_MS = 30000, /* keepalive below HTTP/2's own PING */
};

/* A connection, as handed over. */
struct kube_dialed {
    int fd;
    struct tls_conn *tls;
    uint8_t *early; /* ciphertext behind the handshake, malloc'd, or NULL */
    size_t early_len;
};

enum kube_dial_state {
    KUBE_DIAL_IDLE,
    KUBE_DIAL_RESOLVING,
    KUBE_DIAL_CONNECTING,
    KUBE_DIAL_HANDSHAKING
};

struct kube_dial {
    struct relay_env *env; /* this and the next five are set by the owner */
    struct tls_context *context;
    const char *host, *server_name;
    uint16_t port;
    void *owner;
    /* `dialed` is the callee's, or NULL and *err says why. May come from inside kube_dial_start. */
    void (*on_done)(struct kube_dial *dial, const struct kube_dialed *dialed,
                    const struct err *err);

    enum kube_dial_state state;
    bool closing;
    struct addr_port to[KUBE_DIAL_ADDRESSES_MAX];
    unsigned to_count, to_at;
    uv_getaddrinfo_t resolve;
    union {
        struct connect connect;
        struct handshake handshake;
    } step;
    struct tls_conn *tls;
    int fd;
    void (*on_closed)(struct kube_dial *dial);
};

/* One attempt; on_done comes once. Not while another is under way. */
void kube_dial_start(struct kube_dial *dial);
/* Gives up; on_done does not come any more, on_closed says when the memory is free, perhaps at
 * once. */
void kube_dial_close(struct kube_dial *dial, void (*on_closed)(struct kube_dial *));

#endif
