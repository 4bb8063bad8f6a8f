/* A listening socket of one worker: accepts, asks the kernel where the connection was going, and
 * hands it on.
 *
 *   a redirected connection -> on_accept with a prepared fd and the original destination
 *   never redirected, one of our own ports -> on_refuse, reset
 *   no file descriptor left -> the reserve is spent on accepting and resetting one -> on_refuse
 *   the kernel is out of memory -> accepting pauses for LISTENER_PAUSE_MS */
#ifndef LISTENER_H
#define LISTENER_H

#include "base/addr.h"
#include "loop/timer.h"
#include "relay/socket.h"

enum {
    LISTENER_BACKLOG = 4096,
    LISTENER_ACCEPTS_MAX = 64, /* in one turn; then others have theirs */
    LISTENER_PAUSE_MS = 100,
};

struct listener_ports {
    uint16_t outbound, inbound; /* the proxy's own: nobody is relayed to them */
};

struct listener {
    struct poll_item item; /* item.fd is -1 when closed */
    struct timer pause;
    struct loop *loop;
    struct timers *timers;
    struct socket_limits limits;
    struct listener_ports own;
    int reserve_fd;
    void *owner;
    /* `fd` is the callee's. */
    void (*on_accept)(struct listener *listener, int fd, const struct addr_port *source,
                      const struct addr_port *original);
    /* The connection has been reset. Unknown addresses are empty. */
    void (*on_refuse)(struct listener *listener, const struct addr_port *source,
                      const struct addr_port *original, const struct err *err);
};

/* Listens on `at` with SO_REUSEPORT and accepts from now on. The callbacks, owner, limits and own
 * ports are set by the caller before. ERR_SYSTEM, and then there is nothing to undo. Loop thread,
 * or before the loop runs. */
enum err_code listener_open(struct listener *listener, struct loop *loop, struct timers *timers,
                            const struct addr_port *at, struct err *err);
/* Stops listening; connections that were not accepted yet are reset by the kernel. Harmless when
 * closed. */
void listener_close(struct listener *listener);

/* Where the connection on `fd` was going before the redirect. ERR_CONN_NOT_REDIRECTED. */
enum err_code listener_original_destination(int fd, struct addr_port *original, struct err *err);

#endif
