/* The proxy's end of the control protocol: keeps what the mesh looks like and brings it up to date
 * over one stream after another. Main loop thread, callbacks included; no callback comes from
 * inside a function of this header. */
#ifndef XDS_CLIENT_H
#define XDS_CLIENT_H

#include "loop/timer.h"
#include "mesh/snapshot.h"
#include "rpc/rpc.h"
#include "xds/bundle.h"

struct xds_client;

struct xds_client_events {
    /* The mesh changed: at most one call for a burst of answers, and none before the first answer
     * of every type that readiness waits for. After a reconnect none before each of them has been
     * answered on the new stream, or new records would be in force with old policies; a server that
     * has nothing to say about one and is silent is waited for for catch_up_ms. The receiver gets a
     * reference of its own. */
    void (*on_snapshot)(struct mesh_snapshot *snapshot, void *arg);
    /* The trust bundle came or changed; borrowed. PEM is not looked into: when it turns out bad,
     * keep the old one and say so. */
    void (*on_bundle)(const struct xds_bundle *bundle, void *arg);
    /* A stream's first good answer: it works, whether or not it changes anything. May be NULL. */
    void (*on_answer)(void *arg);
    /* The stream is over; the client holds what it knows. Attach it again, with backoff and a fresh
     * token. `err` says why; ERR_CANCELLED after xds_client_detach(). `answered`: the server had
     * sent something useful (backoff may be reset). */
    void (*on_end)(const struct err *err, bool answered, void *arg);
};

struct xds_client_config {
    const char *pod_ip, *pod_name, *namespace; /* for the node identifier */
    const char *cluster_id;                    /* sent as `clusterid`; "" leaves it out */
    const char *trust_domain;                  /* the mesh's */
    int64_t catch_up_ms;                       /* from the first answer of a stream; 0 means 5000 */
};

/* For metrics; written by the loop thread, read it there. */
struct xds_client_stats {
    uint64_t messages;  /* responses received */
    uint64_t resources; /* accepted */
    uint64_t removed;   /* names removed */
    uint64_t rejected;  /* resources refused */
    uint64_t nacks;
    uint64_t malformed; /* responses that ended the stream */
    uint64_t attached;  /* streams started; reconnects are this minus one */
    uint64_t snapshots;
    int64_t last_update_wall_ms; /* 0 = never */
    bool connected;              /* a stream is on and has answered */
    bool ready;
    char last_nack[ERR_TEXT_MAX]; /* the last refusal, "" = none */
};

/* Copies the configuration. `timers` outlives the client. NULL: ERR_NO_MEMORY, ERR_INVALID (the
 * node cannot be named). */
struct xds_client *xds_client_new(struct timers *timers, const struct xds_client_config *config,
                                  const struct xds_client_events *events, void *arg,
                                  struct err *err);
/* Frees it when its call has ended: cancels a call that still runs and gives no callback any more.
 */
void xds_client_close(struct xds_client *client, void (*on_closed)(void *arg), void *arg);

/* Starts the stream on `channel` with `token` as bearer (copied into the call only); the channel
 * stays the caller's. on_end follows exactly once when this returned ERR_OK, never when it failed.
 * ERR_BUSY when a stream is on. */
enum err_code xds_client_attach(struct xds_client *client, struct rpc_channel *channel,
                                const char *token, struct err *err);
/* Cancels the stream; on_end follows. Nothing happens without one. */
void xds_client_detach(struct xds_client *client);

/* First answers are there (silence to ROOTCA does not count). */
bool xds_client_ready(const struct xds_client *client);
/* The present snapshot, borrowed; empty before the first answers. */
struct mesh_snapshot *xds_client_snapshot(const struct xds_client *client);
const struct xds_client_stats *xds_client_stats(const struct xds_client *client);

#endif
