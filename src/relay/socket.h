/* Socket options that make the kernel tell the truth about the far end. Any thread. */
#ifndef RELAY_SOCKET_H
#define RELAY_SOCKET_H

#include <stdbool.h>

#include "base/addr.h"
#include "base/err.h"

struct socket_limits {
    int user_timeout_ms; /* a peer that answers nothing for this long is gone (RFC 5482, RFC 9293
                            section 3.8.4) */
};

/* Non-blocking, TCP_NODELAY, keepalive, and SO_LINGER 0: from now on a close,
 * also the kernel's when the process is killed, is a reset. relay disarms it at a clean end. False:
 * the socket is already dead. */
bool socket_prepare(int fd, const struct socket_limits *limits);
/* From now on a close is a clean end, whoever does it. */
void socket_disarm(int fd);
/* close() as a reset, and as a clean end. */
void socket_close_reset(int fd);
void socket_close_clean(int fd);
/* The pending error (SO_ERROR), or 0. */
int socket_error(int fd);
/* A listening TCP socket, non-blocking, SO_REUSEADDR, with SO_REUSEPORT when `shared`; IPv6 ones
 * are IPv6 only. */
enum err_code socket_listen(const struct addr_port *at, bool shared, int backlog, int *fd,
                            struct err *err);

#endif
