/* Port 15017: TCP and TLS in, a local socket behind, where the HTTP server listens.
 *
 *   accept -> TLS handshake (5 s) -> connect to the local socket -> relay -> either ends
 *   no certificate yet, garbage, silence, a wrong ALPN -> reset or alert, counted by reason
 *   GATE_DEADLINE_MS after accept -> reset
 *   GATE_CONNECTIONS_MAX are open -> the oldest goes: a request takes milliseconds, so the oldest
 * is somebody who only holds on
 *
 * Loop thread, except what gate_tally says. */
#ifndef INJECTOR_GATE_H
#define INJECTOR_GATE_H

#include <stdatomic.h>
#include <sys/un.h>

#include "relay/env.h"
#include "relay/socket.h"

enum {
    GATE_SOCKETS_MAX = 8,
    GATE_CONNECTIONS_MAX = 480, /* an API server has some hundreds of requests under way at most */
    GATE_HANDSHAKE_MS = 5000,
    GATE_DEADLINE_MS = 15000,
    GATE_SWEEP_MS = 2000, /* when what could not be accepted is looked at again */
    GATE_ACCEPTS_MAX = 64,
};

/* Counted by the loop thread, read by any. */
struct gate_tally {
    atomic_ullong opened, refused[ERR_COUNT_];
    atomic_uint now;
};

struct gate;
struct gate_visit;

struct gate_socket {
    struct poll_item item;
    struct gate *gate;
};

struct gate {
    /* set by the caller, borrowed */
    struct relay_env *env;
    struct gate_tally *tally;
    struct sockaddr_un inside; /* where the HTTP server listens */
    socklen_t inside_len;
    /* private */
    struct tls_context *context;
    struct gate_socket sockets[GATE_SOCKETS_MAX];
    unsigned count, visit_count;
    struct gate_visit *newest, *oldest;
    struct timer sweep;
    bool closing;
    void (*on_closed)(struct gate *gate);
};

/* Listens on `count` addresses; IPv6 that the machine lacks is logged, as long as one address
 * works. ERR_SYSTEM, and then there is nothing to undo. */
enum err_code gate_open(struct gate *gate, const struct addr_port *at, unsigned count,
                        struct err *err);
/* The port of socket number `index`. */
uint16_t gate_port(const struct gate *gate, unsigned index);
/* Handshakes use `context` from now on. */
void gate_set_context(struct gate *gate, struct tls_context *context);
/* Listens no more, resets what is open; on_closed follows, inside or later. */
void gate_close(struct gate *gate, void (*on_closed)(struct gate *));

#endif
