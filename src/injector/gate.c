#include "injector/gate.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "relay/handshake.h"
#include "relay/relay.h"

/* One client's connection. */
struct gate_visit {
    struct gate_visit *newer, *older;
    struct gate *gate;
    struct addr_port from;
    struct timer deadline;
    int fd;               /* until the relay has it; then -1 */
    struct tls_conn *tls; /* likewise */
    bool relaying, aborted;
    union {
        struct handshake handshake;
        struct relay relay;
    } u;
};

#define VISIT_OF(pointer, member)                                                                  \
    ((struct gate_visit *)(void *)((char *)(pointer)-offsetof(struct gate_visit, member)))

static void note_refused(struct gate *gate, const struct addr_port *from, const struct err *err)
{
    char text[ADDR_TEXT_MAX];
    atomic_fetch_add_explicit(&gate->tally->refused[err->code], 1, memory_order_relaxed);
    LOG_LIMITED(LOG_LEVEL_WARN, 10, "connection_refused",
                F_STR("from", addr_port_format(from, text)), F_ERR(err));
}

/* --- the end ---------------------------------------------------------------------------------- */

static void finish_close(struct gate *gate)
{
    if (!gate->closing || gate->newest)
        return;
    tls_context_unref(gate->context);
    gate->context = NULL;
    gate->closing = false;
    gate->on_closed(gate);
}

static void visit_free(struct gate_visit *visit)
{
    struct gate *gate = visit->gate;
    timer_stop(gate->env->timers, &visit->deadline);
    if (visit->fd >= 0)
        socket_close_reset(visit->fd);
    tls_conn_free(visit->tls);
    *(visit->newer ? &visit->newer->older : &gate->newest) = visit->older;
    *(visit->older ? &visit->older->newer : &gate->oldest) = visit->newer;
    atomic_store_explicit(&gate->tally->now, --gate->visit_count, memory_order_relaxed);
    free(visit);
    finish_close(gate);
}

/* The visit goes: at once, or with the end of its relay. */
static void end_visit(struct gate_visit *visit, enum err_code code)
{
    if (!visit->relaying) {
        handshake_cancel(&visit->u.handshake);
        visit_free(visit);
    } else if (!visit->aborted) {
        visit->aborted = true;
        relay_abort(&visit->u.relay, code);
    }
}

static void on_deadline(struct timer *timer)
{
    end_visit(VISIT_OF(timer, deadline), ERR_TIMEOUT);
}

static void on_relay_end(struct relay *relay, enum err_code code, int side, struct err *err)
{
    struct gate_visit *visit = VISIT_OF(relay, u.relay);
    char from[ADDR_TEXT_MAX];
    (void)side;
    if (code != ERR_OK)
        LOG_DEBUG("connection_ended", F_STR("from", addr_port_format(&visit->from, from)),
                  F_ERR(err));
    visit_free(visit);
}

/* --- from TLS to HTTP ------------------------------------------------------------------------- */

static enum err_code go_inside(struct gate_visit *visit, struct handshake *done, struct err *err)
{
    struct gate *gate = visit->gate;
    struct relay_socket wire = {
        .fd = visit->fd, .tls = visit->tls, .early = done->early, .early_len = done->early_len};
    struct relay_socket plain = {
        .fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)};
    if (plain.fd < 0 || connect(plain.fd, (struct sockaddr *)&gate->inside, gate->inside_len) < 0) {
        int sys = errno;
        if (plain.fd >= 0)
            close(plain.fd);
        free(done->early);
        return err_sys(err, sys == EAGAIN ? ERR_BUSY : ERR_SYSTEM, sys, "reach the HTTP server");
    }
    visit->fd = -1;
    visit->tls = NULL;
    visit->relaying = true;
    return relay_start(&visit->u.relay, gate->env, &plain, &wire, on_relay_end, err);
}

static void on_handshake(struct handshake *handshake, enum err_code code, struct err *err)
{
    struct gate_visit *visit = VISIT_OF(handshake, u.handshake);
    struct handshake done = *handshake;
    if (code == ERR_OK)
        code = go_inside(visit, &done, err);
    if (code == ERR_OK) {
        atomic_fetch_add_explicit(&visit->gate->tally->opened, 1, memory_order_relaxed);
        return;
    }
    note_refused(visit->gate, &visit->from, err);
    visit_free(visit);
}

/* --- accepting -------------------------------------------------------------------------------- */

static struct gate_visit *visit_new(struct gate *gate, int fd, const struct addr_port *from)
{
    struct gate_visit *visit = calloc(1, sizeof *visit);
    if (!visit)
        return NULL;
    *visit = (struct gate_visit){.gate = gate,
                                 .from = *from,
                                 .fd = fd,
                                 .older = gate->newest,
                                 .tls = tls_conn_new_server(gate->context)};
    *(visit->older ? &visit->older->newer : &gate->oldest) = visit;
    gate->newest = visit;
    atomic_store_explicit(&gate->tally->now, ++gate->visit_count, memory_order_relaxed);
    return visit;
}

static void take(struct gate *gate, int fd, const struct addr_port *from)
{
    static const struct socket_limits limits = {.user_timeout_ms = GATE_DEADLINE_MS};
    struct err err = {0};
    struct gate_visit *visit = NULL;
    if (!gate->context)
        err_set(&err, ERR_TLS_NO_CERTIFICATE, "there is no certificate of our own yet");
    else if (!socket_prepare(fd, &limits))
        err_set(&err, ERR_CONN_RESET, "the connection was gone before it was accepted");
    else if (!(visit = visit_new(gate, fd, from)))
        err_set(&err, ERR_NO_MEMORY, "no memory for a connection");
    if (!visit) {
        socket_close_reset(fd);
        note_refused(gate, from, &err);
        return;
    }
    if (gate->visit_count > GATE_CONNECTIONS_MAX)
        end_visit(gate->oldest, ERR_BUSY);
    if (!visit->tls ||
        !timer_start(gate->env->timers, &visit->deadline, GATE_DEADLINE_MS, on_deadline))
        err_set(&err, ERR_NO_MEMORY, "no memory for a TLS connection");
    else if (handshake_start(&visit->u.handshake, gate->env, fd, visit->tls, GATE_HANDSHAKE_MS,
                             on_handshake, &err) == ERR_OK)
        return;
    note_refused(gate, from, &err);
    visit_free(visit);
}

static void on_accept(struct poll_item *item, uint32_t events)
{
    struct gate *gate = ((struct gate_socket *)(void *)item)->gate;
    (void)events;
    for (int i = 0; i < GATE_ACCEPTS_MAX; i++) {
        struct sockaddr_storage address;
        struct addr_port from = {0};
        socklen_t len = sizeof address;
        int fd = accept4(item->fd, (struct sockaddr *)&address, &len, SOCK_CLOEXEC);
        if (fd < 0 && (errno == EAGAIN || errno == EMFILE || errno == ENFILE || errno == ENOBUFS ||
                       errno == ENOMEM)) {
            if (errno != EAGAIN)
                LOG_LIMITED(LOG_LEVEL_ERROR, 1, "accept_failed", F_STR("error", strerror(errno)));
            return; /* what still waits is taken at the next sweep */
        }
        if (fd < 0)
            continue; /* gone before we took it: accept(2) passes its error on */
        addr_from_sockaddr(&from, &address);
        take(gate, fd, &from);
    }
    poll_item_again(gate->env->loop, item);
}

static void on_sweep(struct timer *timer)
{
    struct gate *gate = (struct gate *)(void *)((char *)timer - offsetof(struct gate, sweep));
    for (unsigned i = 0; i < gate->count; i++)
        poll_item_again(gate->env->loop, &gate->sockets[i].item);
    timer_start(gate->env->timers, timer, GATE_SWEEP_MS, on_sweep);
}

/* --- open and close --------------------------------------------------------------------------- */

static void close_sockets(struct gate *gate)
{
    while (gate->count > 0) {
        struct poll_item *item = &gate->sockets[--gate->count].item;
        int fd = item->fd;
        poll_item_remove(gate->env->loop, item);
        close(fd);
    }
}

static enum err_code open_socket(struct gate *gate, const struct addr_port *at, struct err *err)
{
    struct gate_socket *socket = &gate->sockets[gate->count];
    int fd;
    enum err_code code = socket_listen(at, false, 1024, &fd, err);
    if (code != ERR_OK)
        return code;
    code = poll_item_add(gate->env->loop, &socket->item, fd, on_accept, err);
    if (code != ERR_OK) {
        close(fd);
        return code;
    }
    socket->gate = gate;
    gate->count++;
    return ERR_OK;
}

enum err_code gate_open(struct gate *gate, const struct addr_port *at, unsigned count,
                        struct err *err)
{
    for (unsigned i = 0; i < count && i < GATE_SOCKETS_MAX; i++) {
        enum err_code code = open_socket(gate, &at[i], err);
        bool no_ipv6 = at[i].ip.len == 16 && err->sys == EAFNOSUPPORT;
        if (code != ERR_OK && !no_ipv6) {
            close_sockets(gate);
            return code;
        }
        if (code != ERR_OK)
            LOG_WARN("no_ipv6", F_ERR(err));
    }
    if (gate->count == 0)
        return err_set(err, ERR_SYSTEM, "no address to listen on");
    timer_start(gate->env->timers, &gate->sweep, GATE_SWEEP_MS, on_sweep);
    return ERR_OK;
}

uint16_t gate_port(const struct gate *gate, unsigned index)
{
    struct sockaddr_storage bound = {0};
    socklen_t len = sizeof bound;
    struct addr_port at = {0};
    if (getsockname(gate->sockets[index].item.fd, (struct sockaddr *)&bound, &len) < 0)
        return 0;
    addr_from_sockaddr(&at, &bound);
    return at.port;
}

void gate_set_context(struct gate *gate, struct tls_context *context)
{
    struct tls_context *old = gate->context;
    gate->context = tls_context_ref(context);
    tls_context_unref(old);
}

void gate_close(struct gate *gate, void (*on_closed)(struct gate *))
{
    close_sockets(gate);
    timer_stop(gate->env->timers, &gate->sweep);
    for (struct gate_visit *visit = gate->newest, *older; visit; visit = older) {
        older = visit->older;
        end_visit(visit, ERR_CANCELLED);
    }
    gate->on_closed = on_closed;
    gate->closing = true;
    finish_close(gate);
}
