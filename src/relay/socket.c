#include "relay/socket.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    KEEPALIVE_PROBES = 8,
    RTO_MAX_MS = 44, /* TCP_RTO_MAX_MS of linux/tcp.h, which Debian 12's header lacks */
};

static bool set(int fd, int level, int name, int value)
{
    return setsockopt(fd, level, name, &value, sizeof value) == 0;
}

static void set_linger(int fd, bool reset)
{
    struct linger linger = {.l_onoff = reset, .l_linger = 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
}

bool socket_prepare(int fd, const struct socket_limits *limits)
{
    /* An idle connection is probed: the first time after a third of the user timeout, then eight
     * times. What is not idle is watched by watch.c; TCP_USER_TIMEOUT would also end a reader that
     * lives and only takes its time. */
    int idle_s = limits->user_timeout_ms / 3000, interval_s = limits->user_timeout_ms / 12000;
    /* Probes to a peer whose window is closed back off to two minutes; where the kernel lets us
     * (6.15), not beyond a quarter of the user timeout. Elsewhere a peer that vanishes while it
     * does not read is found later. */
    int longest_ms = limits->user_timeout_ms / 4 > 1000 ? limits->user_timeout_ms / 4 : 1000;
    int flags = fcntl(fd, F_GETFL);
    set_linger(fd, true);
    set(fd, IPPROTO_TCP, RTO_MAX_MS, longest_ms < 120000 ? longest_ms : 120000);
    return flags >= 0 && fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0 &&
           set(fd, IPPROTO_TCP, TCP_NODELAY, 1) && set(fd, SOL_SOCKET, SO_KEEPALIVE, 1) &&
           set(fd, IPPROTO_TCP, TCP_KEEPIDLE, idle_s > 0 ? idle_s : 1) &&
           set(fd, IPPROTO_TCP, TCP_KEEPINTVL, interval_s > 0 ? interval_s : 1) &&
           set(fd, IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_PROBES);
}

void socket_disarm(int fd)
{
    set_linger(fd, false);
}

void socket_close_reset(int fd)
{
    set_linger(fd, true);
    close(fd);
}

void socket_close_clean(int fd)
{
    set_linger(fd, false);
    close(fd);
}

int socket_error(int fd)
{
    int sys = 0;
    socklen_t len = sizeof sys;
    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &sys, &len) == 0 ? sys : errno;
}

enum err_code socket_listen(const struct addr_port *at, bool shared, int backlog, int *out,
                            struct err *err)
{
    char text[ADDR_TEXT_MAX];
    struct sockaddr_storage address;
    socklen_t len = addr_to_sockaddr(at, &address);
    int fd = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return err_sys(err, ERR_SYSTEM, errno, "make a socket for %s", addr_port_format(at, text));
    set(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if ((shared && !set(fd, SOL_SOCKET, SO_REUSEPORT, 1)) ||
        (at->ip.len == 16 && !set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1)) ||
        bind(fd, (struct sockaddr *)&address, len) < 0 || listen(fd, backlog) < 0) {
        err_sys(err, ERR_SYSTEM, errno, "listen on %s", addr_port_format(at, text));
        close(fd);
        return ERR_SYSTEM;
    }
    *out = fd;
    return ERR_OK;
}
