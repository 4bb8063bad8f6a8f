/* The proxy's dealings with the control plane: the link, our identity, the xDS stream. Turns what
 * arrives into views and keeps the last good one when the control plane is gone. Main loop. */
#ifndef CONTROL_H
#define CONTROL_H

#include "proxy/identity.h"
#include "proxy/link.h"
#include "proxy/news.h"
#include "proxy/stats.h"
#include "proxy/view.h"
#include "xds/client.h"

enum { CONTROL_BACKOFF_FIRST_MS = 10, CONTROL_BACKOFF_MAX_MS = 15000 };

struct control {
    const struct config *config;
    struct relay_env *env;
    struct stats *stats; /* main's */
    void *owner;
    /* Another view; borrowed. */
    void (*on_view)(struct control *control, struct view *view);

    struct rpc *rpc;
    struct link link;
    struct identity identity;
    struct xds_client *xds;
    struct rpc_channel *channel; /* NULL while there is no link */
    struct timer attach_timer;
    struct backoff backoff;
    struct news news;
    struct view *view;     /* the present one, own reference; NULL before anything is known */
    struct err last_error; /* why it is not connected, or the last time was not; ERR_OK from a
                              stream's first answer until link or stream fail */
    bool connected;        /* private: what control_connected() was when it was last looked at */
    int64_t changed_ms;    /* monotonic: when control_connected() last changed, or the start */
    uint64_t connects;     /* links that came up */
    bool closing;
    void (*on_closed)(struct control *control);
};

/* Starts everything; config, env, stats, owner and on_view are set by the caller. ERR_SYSTEM,
 * ERR_NO_MEMORY, ERR_INVALID, and then there is nothing to undo. */
enum err_code control_start(struct control *control, struct err *err);
/* Ends everything; on_closed says when the memory is free. */
void control_close(struct control *control, void (*on_closed)(struct control *));

/* True while certificates and configuration can be brought up to date: a stream is on, and has
 * answered. */
bool control_connected(const struct control *control);

#endif
