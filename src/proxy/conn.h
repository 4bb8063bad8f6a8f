/* One application connection, from accept to its end: what inbound and outbound share. Its worker's
 * thread.
 *
 *   conn_new -> (hold) -> sniff, handshake, connect in whichever order -> conn_relay -> its end
 *   any step fails -> conn_fail: both sockets reset, one access line, gone
 *
 * `near` is the socket that was accepted, `far` the one that we made. Before the relay starts the
 * near socket is watched, so that a client that resets is not served any longer; a FIN is no such
 * thing: it half-closes. */
#ifndef CONN_H
#define CONN_H

#include "admin/metrics.h"
#include "proxy/balance.h"
#include "proxy/hold.h"
#include "relay/connect.h"
#include "relay/handshake.h"
#include "relay/relay.h"

struct worker;

enum conn_direction { CONN_OUTBOUND, CONN_INBOUND };
enum conn_state {
    CONN_NEW,
    CONN_HELD,
    CONN_QUEUED, /* for its turn to open a TLS connection to that workload */
    CONN_SNIFFING,
    CONN_HANDSHAKING,
    CONN_CONNECTING,
    CONN_OPEN,
};

enum {
    CONN_POLICY_MAX = 256,
    CONN_QUEUE_MS = 60000, /* the longest wait for a turn */
};

/* Who the far sidecar proved to be. Immutable, reference-counted. */
struct conn_peer {
    struct ref ref;
    int64_t not_after_s;
    char serial[48];
    unsigned id_len;
    char id[];
};

/* Why policy ended it; made only then. */
struct conn_denial {
    enum err_code code;
    char policy[CONN_POLICY_MAX];
    char text[ERR_TEXT_MAX];
};

/* The sum of what a connection can become; a test caps its size. */
struct conn {
    struct worker *worker;
    struct conn **link, *next; /* the worker's live list, newest first */
    uint64_t id;
    int64_t started_ms;
    struct mesh_workload *source, *destination; /* own references; NULL: not of the mesh */
    struct mesh_service *service;               /* own reference; NULL: none */
    struct conn_peer *peer;                     /* own reference; NULL in plaintext */
    struct conn_denial *denial;
    struct balance_load *load;
    struct metrics_row *row; /* where bytes are counted; set when the relay starts */
    uint64_t counted[2];     /* bytes of each relay side that are in `row` already */
    struct tls_conn *tls;    /* until the relay takes it */
    uint8_t *early;          /* bytes behind the handshake, until the relay takes them */
    uint32_t early_len;
    int near_fd, far_fd;                          /* -1: none, or the relay's */
    struct addr_port source_at, original, target; /* target: where far goes */
    uint8_t direction, state;
    uint16_t place; /* at the worker's door; 0: none */
    bool tls_used, retried;
    bool opening; /* counted in load->opening */
    bool sniffed_longer;
    bool near_ended; /* the near socket's FIN has been seen */
    union {
        struct {
            struct poll_item watch;
            union {
                struct hold hold;
                struct timer timer;
                struct connect connect;
                struct handshake handshake;
            } step;
        } opening;
        struct relay relay;
    } u;
};

#define CONN_OF(pointer, member)                                                                   \
    ((struct conn *)(void *)((char *)(pointer)-offsetof(struct conn, member)))

/* Makes a connection of an accepted, prepared fd, which it takes over: on failure fd is reset, the
 * end is logged and counted, and NULL returned. */
struct conn *conn_new(struct worker *worker, enum conn_direction direction, int fd,
                      const struct addr_port *source, const struct addr_port *original);

/* Takes a place at the door (door.h) for an inbound connection; `mesh`: the snapshot knows its
 * source as a workload of the mesh. False: there is none for it, and *err says why. */
bool conn_knock(struct conn *conn, bool mesh, struct err *err);
/* Gives the place back: the client is proven, or let in without a proof. Harmless without one. */
void conn_proven(struct conn *conn);

/* Sets who talks to whom; takes references. NULL clears. */
void conn_set_source(struct conn *conn, const struct mesh_workload *workload);
void conn_set_destination(struct conn *conn, const struct mesh_workload *workload);
void conn_set_service(struct conn *conn, const struct mesh_service *service);

/* Starts watching the near socket; `on_events` NULL: only for its end. False: the connection has
 * failed and is gone. */
bool conn_watch(struct conn *conn, void (*on_events)(struct poll_item *, uint32_t));
/* True when `events` mean that the near socket is gone: the connection has failed and is gone. */
bool conn_near_gone(struct conn *conn, uint32_t events);
void conn_unwatch(struct conn *conn);

/* Waits for a new view, at most until hold_ms after the start; *why is what it waits for, and what
 * is said when the wait ends in vain. `on_wake` as in hold.h. */
void conn_hold(struct conn *conn, void (*on_wake)(struct hold *, bool), const struct err *why);
/* Starts connecting to `target`. */
void conn_connect(struct conn *conn, const struct addr_port *target,
                  void (*on_done)(struct connect *, int, struct err *));
/* Takes a place among those that open a TLS connection to the destination's workload; the place is
 * given back when the connection is open or has failed. False: there is none, and on_wake (as in
 * hold.h) comes when there is, or the connection has failed and is gone. */
bool conn_take_turn(struct conn *conn, void (*on_wake)(struct hold *, bool));
/* Counts the connection as one to its destination, for balance and turns. */
void conn_set_load(struct conn *conn);
/* Call first in every callback of a step (hold, sniff timer, connect, handshake): it is over. */
void conn_step_ended(struct conn *conn);
/* Starts the TLS handshake on `fd` (near or far) with conn->tls, which is set. */
void conn_handshake(struct conn *conn, int fd,
                    void (*on_done)(struct handshake *, enum err_code, struct err *));
/* Call in on_done of a handshake that succeeded: keeps early bytes and the peer's proven identity.
 * False: the connection has failed and is gone. */
bool conn_handshake_done(struct conn *conn, struct handshake *handshake);
/* Both sides stand: hands them to the relay. */
void conn_relay(struct conn *conn);

/* Ends a connection that is not relaying yet, with a reset and one line that says why; frees it. */
void conn_fail(struct conn *conn, const struct err *err);
/* Ends it in any state; an open one ends a moment later. */
void conn_abort(struct conn *conn, enum err_code code);
/* Logs and counts the end of a connection that never was one: the fd is reset already. */
void conn_refused(struct worker *worker, enum conn_direction direction,
                  const struct addr_port *source, const struct addr_port *original,
                  const struct err *err);
/* Adds the bytes since the last time to the metrics. */
void conn_count_bytes(struct conn *conn);

/* The client's and the server's bytes so far. */
uint64_t conn_request_bytes(const struct conn *conn);
uint64_t conn_response_bytes(const struct conn *conn);

struct conn_peer *conn_peer_ref(struct conn_peer *peer);
void conn_peer_unref(struct conn_peer *peer);

#endif
