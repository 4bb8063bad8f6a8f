/* Port 15012: TCP and TLS in, gRPC behind.
 *
 *   accept -> TLS handshake (5 s) -> a socketpair: one end to gRPC, the other relayed to the TLS
 * socket -> either ends
 *   too many, garbage, silence, a wrong ALPN -> reset or alert, counted by reason, logged at a
 * bounded rate
 *   no call with a good token within LISTENER_UNPROVEN_MS -> reset, counted
 *   nothing called for LISTENER_IDLE_MS -> reset, counted
 *
 * Until its first good token a connection counts against the address that it came from, an IPv6
 * address with the rest of its /64, which is what one host may choose from. After that it counts
 * against the token's identity (quota.h) and no longer against the address: behind one address
 * there may be a whole cluster. When all places are taken, in the handshake or in all, the
 * connection that has gone longest without a token makes room.
 *
 * Loop thread. */
#ifndef CONTROL_LISTENER_H
#define CONTROL_LISTENER_H

#include "base/map.h"
#include "control/quota.h"
#include "control/tally.h"
#include "relay/env.h"
#include "relay/socket.h"
#include "rpc/rpc.h"
#include "token/token.h"

enum {
    LISTENERS_MAX = 8,
    LISTENER_PER_ADDRESS_MAX = 128, /* connections without a good token so far */
    LISTENER_IPV6_HOST_BYTES = 8,   /* RFC 4291 section 2.5.1: the rest is the host's to choose */
    LISTENER_HANDSHAKES_MAX = 1024, /* far more than one address can fill */
    LISTENER_HANDSHAKE_MS = 5000,
    LISTENER_SWEEP_MS =
        2000, /* a client that does not hang up when gRPC has is reset by the second sweep */
    LISTENER_UNPROVEN_MS = 15000, /* a connection must show a good token within this */
    LISTENER_IDLE_MS = 60000,     /* ... and then call something at least this often */
    LISTENER_EVICT_MS = 1000,     /* one that has no token after this makes room for others */
    LISTENER_FLUSH_MS = 100,      /* at the end: for last answers to reach their clients ... */
    LISTENER_GRACE_MS = 400,      /* ... and then for clients to hang up */
    LISTENER_ACCEPTS_MAX = 64,
};

struct carrier;
struct control_listener;

struct listener_limits {
    int64_t handshake_ms, unproven_ms, idle_ms, evict_ms;
    unsigned connections; /* at once: all, those in the TLS handshake, ... */
    unsigned handshakes;
    unsigned per_address; /* ... those from one address without a good token so far */
};

/* In the order in which they came. */
struct carriers {
    struct carrier *first, **end;
};

struct control_socket {
    struct poll_item item;
    struct control_listener *owner;
};

struct control_listener {
    struct relay_env *env;
    struct rpc_server *server;
    struct tally *tally;
    struct quota *quota;
    struct listener_limits limits;
    struct tls_context *context; /* own reference; swapped by control_listener_set_context */
    struct control_socket sockets[LISTENERS_MAX];
    unsigned count;
    struct carriers unproven, proven; /* without and with a good token so far */
    unsigned connections, handshakes, evicted;
    struct map per_address; /* address -> unproven ones, as a number in the pointer */
    struct timer sweep, grace;
    struct socket_limits socket_limits;
    bool server_closed; /* its connections are no longer ours to close */
    bool closing;       /* the server is closed, too */
    void (*on_closed)(struct control_listener *listener);
};

/* Listens on `count` addresses. env, server, tally, quota and limits are set by the caller.
 * Takes a reference to `context`; the rest is borrowed. ERR_SYSTEM, nothing to undo. IPv6 that the
 * machine lacks is logged, as long as one address works. */
enum err_code control_listener_open(struct control_listener *listener, struct tls_context *context,
                                    const struct addr_port *at, unsigned count, struct err *err);
/* New handshakes use `context` from now on. */
void control_listener_set_context(struct control_listener *listener, struct tls_context *context);
/* The call has shown a good token, and its connection with it. ERR_QUOTA: its identity has too many
 * connections already; the call is to be refused, and the connection ends soon. ERR_NO_MEMORY. */
enum err_code control_listener_admit(struct rpc_call *call, const struct token_subject *subject,
                                     struct err *err);
/* Listens no more and gives up handshakes; closes the gRPC server LISTENER_FLUSH_MS later (calls
 * that come until then should be refused), and resets what is still there after LISTENER_GRACE_MS.
 * on_closed when the last connection is gone and the server too. */
void control_listener_close(struct control_listener *listener,
                            void (*on_closed)(struct control_listener *));

#endif
