/* The control plane's end of the control protocol: every proxy's stream, fed from one store. Loop
 * thread, callbacks included. */
#ifndef XDS_SERVER_H
#define XDS_SERVER_H

#include "loop/timer.h"
#include "rpc/rpc.h"
#include "xds/delta_server.h"
#include "xds/server_stats.h"
#include "xds/store.h"

struct xds_server;

enum { XDS_SERVER_STREAMS_MAX = 1000 };

struct xds_server_config {
    unsigned streams_max;         /* 0 = XDS_SERVER_STREAMS_MAX */
    int64_t send_deadline_ms;     /* a stream that does not read is cut after this; 0 = 30,000 */
    int64_t node_deadline_ms;     /* the first request must come within this; 0 = 30,000 */
    size_t response_target_bytes; /* 0 = 2 MiB; a response is closed when it is larger than this */
};

/* Who opened a stream, as its token proved. */
struct xds_peer {
    const char *namespace;          /* copied */
    const char *service_account;    /* copied; for the log */
    int64_t expires_wall_s;         /* the token's; the stream ends then. 0 = never */
    struct xds_delta_budget *names; /* shared with other streams; NULL: none but the stream's own */
    /* The stream is gone, or was refused: once, at the earliest inside xds_server_open(). May be
     * NULL. */
    void (*on_gone)(void *arg);
    void *arg;
};

/* `timers` outlives the server. NULL `config` = defaults. ERR_NO_MEMORY. */
struct xds_server *xds_server_new(struct timers *timers, const struct xds_server_config *config,
                                  struct err *err);
/* Cancels the streams that are still there; on_closed (may be NULL) when the last one has ended and
 * the server is gone, at the earliest inside this function. */
void xds_server_close(struct xds_server *server, void (*on_closed)(void *arg), void *arg);

/* For the on_open of XDS_METHOD_DELTA, once the token has been checked: accepts the call, or
 * finishes it with a reason. The stream belongs to the server. */
void xds_server_open(struct xds_server *server, struct rpc_call *call, const struct xds_peer *peer);

/* Makes `set` the present resources of `type`, or changes those as it says, and sends every stream
 * what changed. Takes `set`, also on failure (xds_store_update() in store.h says what then is so).
 * ERR_NO_MEMORY. */
enum err_code xds_server_publish(struct xds_server *server, enum xds_type type, struct xds_set *set,
                                 struct err *err);

const struct xds_server_stats *xds_server_stats(const struct xds_server *server);

#endif
