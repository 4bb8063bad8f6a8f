#include "relay/connect.h"

#include <errno.h>
#include <sys/socket.h>

/* The code and sentence for a connect that ended with errno `sys`. */
static void explain(const struct connect *connect, int sys, struct err *err)
{
    char to[ADDR_TEXT_MAX];
    addr_port_format(&connect->to, to);
    switch (sys) {
    case ECONNREFUSED:
        err_set(err, ERR_CONN_REFUSED, "connect to %s: nobody is listening there", to);
        break;
    case ETIMEDOUT:
        err_set(err, ERR_CONN_CONNECT_TIMEOUT, "connect to %s: no answer within %lld ms", to,
                (long long)connect->timeout_ms);
        break;
    case ECONNRESET:
    case EPIPE:
        err_sys(err, ERR_CONN_RESET, sys, "connect to %s", to);
        break;
    default:
        err_sys(err, ERR_CONN_UNREACHABLE, sys, "connect to %s", to);
    }
    err->sys = sys;
}

/* Takes the socket out of the loop and gives it, or the reason, to the owner. */
static void finish(struct connect *connect, int sys)
{
    struct err err = {0};
    int fd = connect->item.fd;
    poll_item_remove(connect->env->loop, &connect->item);
    timer_stop(connect->env->timers, &connect->deadline);
    if (sys) {
        explain(connect, sys, &err);
        socket_close_reset(fd);
        fd = -1;
    }
    connect->on_done(connect, fd, &err);
}

static void on_events(struct poll_item *item, uint32_t events)
{
    struct connect *connect = (struct connect *)((char *)item - offsetof(struct connect, item));
    if (events & (EPOLLOUT | EPOLLERR | EPOLLHUP))
        finish(connect, socket_error(item->fd));
}

static void on_deadline(struct timer *timer)
{
    finish((struct connect *)((char *)timer - offsetof(struct connect, deadline)), ETIMEDOUT);
}

enum err_code connect_start(struct connect *connect_, struct relay_env *env,
                            const struct addr_port *to, const struct socket_limits *limits,
                            int64_t timeout_ms,
                            void (*on_done)(struct connect *, int, struct err *), struct err *err)
{
    *connect_ = (struct connect){
        .env = env, .to = *to, .timeout_ms = timeout_ms, .on_done = on_done, .item.fd = -1};
    struct sockaddr_storage address;
    socklen_t len = addr_to_sockaddr(to, &address);
    int fd = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return err_sys(err, ERR_SYSTEM, errno, "make a socket to connect with");
    struct err scratch;
    if (!err)
        err = &scratch;
    if (!socket_prepare(fd, limits)) {
        err_sys(err, ERR_SYSTEM, errno, "set socket options");
    } else if (connect(fd, (struct sockaddr *)&address, len) < 0 && errno != EINPROGRESS) {
        explain(connect_, errno, err);
    } else if (!timer_start(env->timers, &connect_->deadline, timeout_ms, on_deadline)) {
        err_set(err, ERR_NO_MEMORY, "no memory for a deadline");
    } else if (poll_item_add(env->loop, &connect_->item, fd, on_events, err) != ERR_OK) {
        timer_stop(env->timers, &connect_->deadline);
    } else {
        return ERR_OK;
    }
    socket_close_reset(fd);
    return err->code;
}

void connect_cancel(struct connect *connect)
{
    int fd = connect->item.fd;
    if (fd < 0)
        return;
    poll_item_remove(connect->env->loop, &connect->item);
    timer_stop(connect->env->timers, &connect->deadline);
    socket_close_reset(fd);
}
