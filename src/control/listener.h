/* Port 15012: TCP and TLS in, gRPC behind.
 *
 *   accept -> TLS handshake (5 s) -> a socketpair: one end to gRPC, the other relayed to the TLS
 * socket -> either ends
 *   too many, garbage, silence, a wrong ALPN -> reset or alert, counted by reason, logged at a
 * bounded rate
 *   no call with a good token within LISTENER_UNPROVEN_MS -> reset, counted
 *
 * Loop thread. */
#ifndef CONTROL_LISTENER_H
#define CONTROL_LISTENER_H

#include "base/map.h"
#include "control/tally.h"
#include "relay/env.h"
#include "relay/socket.h"
#include "rpc/rpc.h"

enum {
    LISTENERS_MAX = 8,
    LISTENER_CONNECTIONS_MAX = 2000,
    LISTENER_PER_ADDRESS_MAX = 600,
    LISTENER_HANDSHAKES_MAX = 256,
    LISTENER_HANDSHAKE_MS = 5000,
    LISTENER_SWEEP_MS =
        2000, /* a client that does not hang up when gRPC has is reset by the second sweep */
    LISTENER_UNPROVEN_MS = 15000, /* a connection must show a good token within this */
    LISTENER_FLUSH_MS = 100,      /* at the end: for last answers to reach their clients ... */
    LISTENER_GRACE_MS = 400,      /* ... and then for clients to hang up */
    LISTENER_ACCEPTS_MAX = 64,
};

struct carrier;
struct control_listener;

struct control_socket {
    struct poll_item item;
    struct control_listener *owner;
};

struct control_listener {
    struct relay_env *env;
    struct rpc_server *server;
    struct tally *tally;
    int64_t handshake_ms, unproven_ms;
    struct tls_context *context; /* own reference; swapped by control_listener_set_context */
    struct control_socket sockets[LISTENERS_MAX];
    unsigned count;
    struct carrier *carriers;
    unsigned connections, handshakes;
    struct map per_address; /* address -> count, as a number in the pointer */
    struct timer sweep, grace;
    struct socket_limits limits;
    bool server_closed; /* its connections are no longer ours to close */
    bool closing;       /* the server is closed, too */
    void (*on_closed)(struct control_listener *listener);
};

/* Listens on `count` addresses. env, server, tally and the two deadlines are set by the caller.
 * Takes a reference to `context`; the rest is borrowed. ERR_SYSTEM, nothing to undo. IPv6 that the
 * machine lacks is logged, as long as one address works. */
enum err_code control_listener_open(struct control_listener *listener, struct tls_context *context,
                                    const struct addr_port *at, unsigned count, struct err *err);
/* New handshakes use `context` from now on. */
void control_listener_set_context(struct control_listener *listener, struct tls_context *context);
/* The connection of this call has shown a good token. */
void control_listener_prove(struct rpc_call *call);
/* Listens no more and gives up handshakes; closes the gRPC server LISTENER_FLUSH_MS later (calls
 * that come until then should be refused), and resets what is still there after LISTENER_GRACE_MS.
 * on_closed when the last connection is gone and the server too. */
void control_listener_close(struct control_listener *listener,
                            void (*on_closed)(struct control_listener *));

#endif
