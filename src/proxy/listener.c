#include "proxy/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ORIGINAL_DST = 80 }; /* SO_ORIGINAL_DST and IP6T_SO_ORIGINAL_DST, one number for both */

static const struct addr_port nowhere;

enum err_code listener_original_destination(int fd, struct addr_port *original, struct err *err)
{
    struct sockaddr_storage local, target;
    struct addr_port own = {0};
    char text[ADDR_TEXT_MAX];
    socklen_t len = sizeof local;
    if (getsockname(fd, (struct sockaddr *)&local, &len) < 0 || !addr_from_sockaddr(&own, &local))
        return err_sys(err, ERR_CONN_NOT_REDIRECTED, errno, "read the socket's own address");
    len = sizeof target;
    int level = local.ss_family == AF_INET6 ? SOL_IPV6 : SOL_IP;
    if (getsockopt(fd, level, ORIGINAL_DST, &target, &len) < 0)
        return err_sys(err, ERR_CONN_NOT_REDIRECTED, errno,
                       "connection straight to %s: the kernel knows no original destination",
                       addr_port_format(&own, text));
    if (!addr_from_sockaddr(original, &target) || addr_port_equal(original, &own))
        return err_set(err, ERR_CONN_NOT_REDIRECTED,
                       "connection straight to %s, which did not come through the redirect",
                       addr_port_format(&own, text));
    return ERR_OK;
}

static void refuse(struct listener *listener, int fd, const struct addr_port *source,
                   const struct addr_port *original, const struct err *err)
{
    socket_close_reset(fd);
    listener->on_refuse(listener, source, original, err);
}

static void take(struct listener *listener, int fd, const struct sockaddr_storage *from)
{
    struct err err;
    struct addr_port source = {0}, original = {0};
    char text[ADDR_TEXT_MAX];
    if (!addr_from_sockaddr(&source, from) || !socket_prepare(fd, &listener->limits)) {
        err_set(&err, ERR_CONN_RESET, "the connection was gone before it was accepted");
        refuse(listener, fd, &source, &nowhere, &err);
    } else if (listener_original_destination(fd, &original, &err) != ERR_OK) {
        refuse(listener, fd, &source, &nowhere, &err);
    } else if (original.port == listener->own.outbound || original.port == listener->own.inbound) {
        err_set(&err, ERR_CONN_OWN_PORT, "the destination %s is one of the proxy's own ports",
                addr_port_format(&original, text));
        refuse(listener, fd, &source, &original, &err);
    } else {
        listener->on_accept(listener, fd, &source, &original);
    }
}

enum spent { SPENT, NOBODY_WAITS, RESERVE_LOST };

/* The client of a connection that nobody can accept would wait for ever; so one descriptor is kept
 * to accept it with, only to reset it. NOBODY_WAITS: accept(2) asks for a descriptor first, and
 * there was no connection behind that question. RESERVE_LOST: somebody else has the descriptor. */
static enum spent spend_reserve(struct listener *listener)
{
    struct err err;
    struct addr_port source = {0};
    struct sockaddr_storage from;
    socklen_t len = sizeof from;
    if (listener->reserve_fd >= 0)
        close(listener->reserve_fd);
    int fd = accept4(listener->item.fd, (struct sockaddr *)&from, &len, SOCK_CLOEXEC);
    if (fd >= 0)
        addr_from_sockaddr(&source, &from);
    bool nobody = fd < 0 && errno == EAGAIN;
    err_set(&err, ERR_BUSY, "no file descriptor left for another connection");
    if (fd >= 0)
        refuse(listener, fd, &source, &nowhere, &err);
    listener->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (listener->reserve_fd < 0)
        return RESERVE_LOST;
    return nobody ? NOBODY_WAITS : SPENT;
}

static void on_pause_over(struct timer *timer)
{
    struct listener *listener =
        (struct listener *)((char *)timer - offsetof(struct listener, pause));
    poll_item_again(listener->loop, &listener->item);
}

static void on_events(struct poll_item *item, uint32_t events)
{
    struct listener *listener = (struct listener *)((char *)item - offsetof(struct listener, item));
    enum spent spent;
    (void)events;
    for (unsigned i = 0; i < LISTENER_ACCEPTS_MAX; i++) {
        struct sockaddr_storage from;
        socklen_t len = sizeof from;
        int fd = accept4(item->fd, (struct sockaddr *)&from, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            take(listener, fd, &from);
            continue;
        }
        switch (errno) {
        case EAGAIN:
            return;
        case EMFILE:
            spent = spend_reserve(listener);
            if (spent == NOBODY_WAITS)
                return;
            if (spent == SPENT)
                break;
            __attribute__((fallthrough)); /* trying again at once would only spin */
        case ENFILE:
        case ENOBUFS:
        case ENOMEM:
            timer_start(listener->timers, &listener->pause, LISTENER_PAUSE_MS, on_pause_over);
            return;
        default:
            /* The connection failed before we took it (accept(2) passes its error on). */
            break;
        }
    }
    poll_item_again(listener->loop, item);
}

enum err_code listener_open(struct listener *listener, struct loop *loop, struct timers *timers,
                            const struct addr_port *at, struct err *err)
{
    int fd = -1;
    listener->loop = loop;
    listener->timers = timers;
    listener->item.fd = -1;
    listener->reserve_fd = -1;
    if (socket_listen(at, true, LISTENER_BACKLOG, &fd, err) != ERR_OK)
        return err->code;
    if (poll_item_add(loop, &listener->item, fd, on_events, err) != ERR_OK) {
        close(fd);
        listener->item.fd = -1;
        return err->code;
    }
    listener->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    return ERR_OK;
}

void listener_close(struct listener *listener)
{
    if (listener->item.fd < 0)
        return;
    int fd = listener->item.fd;
    timer_stop(listener->timers, &listener->pause);
    poll_item_remove(listener->loop, &listener->item);
    close(fd);
    listener->item.fd = -1;
    if (listener->reserve_fd >= 0)
        close(listener->reserve_fd);
    listener->reserve_fd = -1;
}
