/* The connection to the control plane: gRPC speaks plaintext to one end of a socketpair, and our
 * own relay carries the other end over TLS. Main loop.
 *
 *   link_start -> resolve -> connect -> TLS -> on_up with a channel -> the relay ends -> on_down
 *   any step fails -> on_down with the reason -> another attempt after 10 ms to 15 s
 *
 * The file of roots is read again for every attempt, so that a rotated one needs no restart. It is
 * trusted for this link and nothing else. */
#ifndef LINK_H
#define LINK_H

#include "loop/backoff.h"
#include "proxy/config.h"
#include "relay/connect.h"
#include "relay/handshake.h"
#include "relay/relay.h"
#include "rpc/rpc.h"

enum {
    LINK_BACKOFF_FIRST_MS = 10,
    LINK_BACKOFF_MAX_MS = 15000,
    LINK_STABLE_MS = 5000, /* a link that lived this long starts the backoff anew */
    LINK_ADDRESSES_MAX = 8,
    LINK_CONNECT_TIMEOUT_MS = 5000,
    LINK_USER_TIMEOUT_MS = 20000,
};

enum link_state { LINK_WAITING, LINK_RESOLVING, LINK_CONNECTING, LINK_HANDSHAKING, LINK_UP };

struct link {
    const struct config *config;
    struct relay_env *env;
    struct rpc *rpc;
    void *owner;
    void (*on_up)(struct link *link, struct rpc_channel *channel);
    /* The link ended, or an attempt failed; `again`: as the one before it did, for the same reason.
     * The channel, when there was one, is closed already. */
    void (*on_down)(struct link *link, const struct err *err, bool again);

    enum link_state state;
    bool closing;
    struct addr_port to[LINK_ADDRESSES_MAX];
    unsigned to_count, to_at;
    struct link_lookup *lookup; /* a question to the resolver that is under way, or NULL */
    struct timer retry;
    struct backoff backoff;
    int64_t up_since_ms;
    struct tls_conn *tls;
    int fd; /* between connect and relay; -1 otherwise */
    union {
        struct connect connect;
        struct handshake handshake;
        struct relay relay;
    } step;
    struct rpc_channel *channel;
    struct err last; /* why it is down; code ERR_OK while it is up */
    void (*on_closed)(struct link *link);
};

/* Starts dialling; config, env, rpc, owner and callbacks are set by the caller. Failures are
 * reported and tried again, never returned. */
void link_start(struct link *link);
/* Ends the link; on_closed says when the memory is free. on_up and on_down do not come any more.
 * The channel must not be used after this. The resolver is not waited for: `lookup` is still set in
 * on_closed when it has not answered, and then the loop has a request that nobody can call off. */
void link_close(struct link *link, void (*on_closed)(struct link *));
/* "up", "connecting" and so on, for people. */
const char *link_state_name(const struct link *link);

#endif
