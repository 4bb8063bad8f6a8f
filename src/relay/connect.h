/* An outgoing TCP connection with a deadline.
 *
 *   connect_start -> the socket becomes writable -> on_done with a connected, prepared fd
 *   refused -> ERR_CONN_REFUSED
 *   no route -> ERR_CONN_UNREACHABLE
 *   silence -> ERR_CONN_CONNECT_TIMEOUT */
#ifndef RELAY_CONNECT_H
#define RELAY_CONNECT_H

#include "base/addr.h"
#include "loop/timer.h"
#include "relay/env.h"
#include "relay/socket.h"

struct connect {
    struct poll_item item;
    struct timer deadline;
    struct relay_env *env;
    struct addr_port to;
    int64_t timeout_ms;
    /* `fd` is connected and now the callee's, or -1 and *err says why. The struct may be freed in
     * the callback. */
    void (*on_done)(struct connect *connect, int fd, struct err *err);
};

/* Starts connecting to `to`. An error means that on_done never comes; ERR_OK that it comes once,
 * later. */
enum err_code connect_start(struct connect *connect, struct relay_env *env,
                            const struct addr_port *to, const struct socket_limits *limits,
                            int64_t timeout_ms,
                            void (*on_done)(struct connect *, int, struct err *), struct err *err);
/* Gives up; on_done does not come. */
void connect_cancel(struct connect *connect);

#endif
