#include "redirect/trap.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"

/* SO_ORIGINAL_DST and IP6T_SO_ORIGINAL_DST; the kernel's headers that name them do not go together
 * with <netinet/in.h>. */
enum { ORIGINAL_DESTINATION = 80 };

void trap_drop(int fd)
{
    struct linger reset = {.l_onoff = 1, .l_linger = 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    close(fd);
}

void trap_close(struct trap *trap)
{
    if (trap->fd >= 0)
        close(trap->fd);
    trap->fd = -1;
}

enum err_code trap_open(struct trap *trap, int family, uint16_t port, struct err *err)
{
    const char *name = family == AF_INET ? "IPv4" : "IPv6";
    int on = 1;
    struct addr_port any = {.ip.len = family == AF_INET ? 4 : 16, .port = port};
    struct sockaddr_storage address;
    socklen_t len = addr_to_sockaddr(&any, &address);
    trap->fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (trap->fd < 0 && errno == EAFNOSUPPORT)
        return err_set(err, ERR_NOT_FOUND, "this network namespace has no %s", name);
    if (trap->fd < 0)
        return err_sys(err, ERR_SYSTEM, errno, "cannot make a socket for %s", name);
    setsockopt(trap->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (family == AF_INET6)
        setsockopt(trap->fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    if (bind(trap->fd, (struct sockaddr *)&address, len) == 0 && listen(trap->fd, 16) == 0)
        return ERR_OK;
    int sys = errno;
    trap_close(trap);
    if (sys == EADDRINUSE)
        return ERR_OK;
    if (sys == EADDRNOTAVAIL)
        return err_set(err, ERR_NOT_FOUND, "this network namespace has no %s", name);
    return err_sys(err, ERR_SYSTEM, sys, "cannot listen on %s port %u for a moment", name, port);
}

static bool original_destination(int fd, uint8_t addr_len, struct addr_port *out)
{
    struct sockaddr_storage address = {0};
    socklen_t len = sizeof address;
    int level = addr_len == 4 ? SOL_IP : SOL_IPV6;
    return getsockopt(fd, level, ORIGINAL_DESTINATION, &address, &len) == 0 &&
           addr_from_sockaddr(out, &address);
}

static enum err_code check_destination(int fd, const struct addr_port *destination, struct err *err)
{
    char want[ADDR_TEXT_MAX], have[ADDR_TEXT_MAX];
    struct addr_port original;
    addr_port_format(destination, want);
    if (!original_destination(fd, destination->ip.len, &original))
        return err_sys(err, ERR_CAPTURE_FAILED, errno,
                       "a connection to %s arrived, but the kernel does not know where it was "
                       "going (SO_ORIGINAL_DST)",
                       want);
    if (!addr_port_equal(&original, destination))
        return err_set(err, ERR_CAPTURE_FAILED,
                       "a connection to %s arrived, but the kernel says that it was going to %s",
                       want, addr_port_format(&original, have));
    return ERR_OK;
}

enum err_code trap_catch(struct trap *trap, const struct addr_port *from,
                         const struct addr_port *destination, struct err *err)
{
    int64_t deadline_ms = clock_now_ms() + TRAP_WAIT_MS;
    for (;;) {
        int64_t left_ms = deadline_ms - clock_now_ms();
        struct pollfd ready = {.fd = trap->fd, .events = POLLIN};
        if (left_ms <= 0 || (poll(&ready, 1, (int)left_ms) < 0 && errno != EINTR))
            break;
        struct sockaddr_storage address;
        socklen_t len = sizeof address;
        struct addr_port peer;
        int fd = accept4(trap->fd, (struct sockaddr *)&address, &len, SOCK_CLOEXEC);
        if (fd < 0)
            continue;
        bool ours = addr_from_sockaddr(&peer, &address) && addr_port_equal(&peer, from);
        enum err_code code = ours ? check_destination(fd, destination, err) : ERR_OK;
        trap_drop(fd);
        if (ours)
            return code;
    }
    char text[ADDR_TEXT_MAX];
    return err_set(err, ERR_CAPTURE_FAILED,
                   "a connection to %s was answered, but not by the port it should be captured on",
                   addr_port_format(destination, text));
}

static bool nothing_sent(int sys)
{
    return sys == ENETUNREACH || sys == EHOSTUNREACH || sys == EADDRNOTAVAIL || sys == EACCES ||
           sys == EAFNOSUPPORT || sys == ENETDOWN || sys == EINVAL;
}

static enum trap_answer await(int fd)
{
    struct pollfd ready = {.fd = fd, .events = POLLOUT};
    int64_t deadline_ms = clock_now_ms() + TRAP_WAIT_MS;
    int count;
    do {
        int64_t left_ms = deadline_ms - clock_now_ms();
        count = poll(&ready, 1, left_ms > 0 ? (int)left_ms : 0);
    } while (count < 0 && errno == EINTR);
    if (count <= 0)
        return TRAP_SILENT;
    int sys = 0;
    socklen_t len = sizeof sys;
    getsockopt(fd, SOL_SOCKET, SO_ERROR, &sys, &len);
    if (sys == 0 || sys == ECONNRESET || sys == EPIPE)
        return TRAP_CONNECTED;
    return sys == ECONNREFUSED ? TRAP_REFUSED : TRAP_SILENT;
}

enum trap_answer trap_connect(const struct addr_port *to, int *fd, struct addr_port *local)
{
    struct sockaddr_storage address;
    socklen_t len = addr_to_sockaddr(to, &address);
    *fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (*fd < 0)
        return errno == EAFNOSUPPORT ? TRAP_NO_ROUTE : TRAP_BROKEN;
    if (connect(*fd, (struct sockaddr *)&address, len) != 0 && errno != EINPROGRESS) {
        int sys = errno;
        close(*fd);
        errno = sys;
        return nothing_sent(sys) ? TRAP_NO_ROUTE : TRAP_BROKEN;
    }
    len = sizeof address;
    if (getsockname(*fd, (struct sockaddr *)&address, &len) == 0)
        addr_from_sockaddr(local, &address);
    return await(*fd);
}
