#include "control/listener.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "relay/handshake.h"
#include "relay/relay.h"

/* One client's connection. */
struct carrier {
    struct carrier **link, *next;
    struct control_listener *listener;
    struct addr_port from;
    int fd;               /* until the relay has it; then -1 */
    struct tls_conn *tls; /* likewise */
    struct rpc_connection *connection;
    struct quota_caller *caller; /* whose it is; NULL until a good token came */
    int64_t used_ms;             /* when it was made, or last called something */
    bool relaying, refused, overdue, evicted;
    union {
        struct handshake handshake;
        struct relay relay;
    } u;
};

#define CARRIER_OF(pointer, member)                                                                \
    ((struct carrier *)(void *)((char *)(pointer)-offsetof(struct carrier, member)))

/* --- lists ---------------------------------------------------------------------------------- */

static void carriers_add(struct carriers *list, struct carrier *carrier)
{
    carrier->next = NULL;
    carrier->link = list->end;
    *list->end = carrier;
    list->end = &carrier->next;
}

static void carriers_remove(struct carriers *list, struct carrier *carrier)
{
    *carrier->link = carrier->next;
    if (carrier->next)
        carrier->next->link = carrier->link;
    else
        list->end = carrier->link;
}

/* --- ceilings ------------------------------------------------------------------------------- */

static size_t address_len(const struct addr *ip)
{
    return ip->len == 16 ? LISTENER_IPV6_HOST_BYTES : ip->len;
}

static uintptr_t address_count(const struct control_listener *listener, const struct addr *ip)
{
    return (uintptr_t)map_get(&listener->per_address, ip->bytes, address_len(ip));
}

static bool address_add(struct control_listener *listener, const struct addr *ip, int change)
{
    uintptr_t now = address_count(listener, ip) + (uintptr_t)change;
    if (now > 0)
        return map_set(&listener->per_address, ip->bytes, address_len(ip), (void *)now, NULL);
    map_remove(&listener->per_address, ip->bytes, address_len(ip));
    return true;
}

static void note_refused(struct control_listener *listener, const struct addr_port *from,
                         const struct err *err)
{
    char text[ADDR_TEXT_MAX];
    listener->tally->connections_refused[err->code]++;
    LOG_LIMITED(LOG_LEVEL_WARN, 10, "connection_refused",
                F_STR("from", addr_port_format(from, text)), F_ERR(err));
}

/* --- the end of one ------------------------------------------------------------------------- */

static void finish_close(struct control_listener *listener)
{
    if (listener->connections > 0 || listener->server)
        return;
    timer_stop(listener->env->timers, &listener->grace);
    map_deinit(&listener->per_address);
    tls_context_unref(listener->context);
    listener->context = NULL;
    if (listener->on_closed)
        listener->on_closed(listener);
}

static void carrier_free(struct carrier *carrier)
{
    struct control_listener *listener = carrier->listener;
    if (carrier->connection && !listener->server_closed)
        rpc_connection_close(carrier->connection);
    if (carrier->fd >= 0)
        socket_close_reset(carrier->fd);
    tls_conn_free(carrier->tls);
    carriers_remove(carrier->caller ? &listener->proven : &listener->unproven, carrier);
    if (carrier->caller)
        quota_give(carrier->caller, QUOTA_CONNECTIONS);
    else
        address_add(listener, &carrier->from.ip, -1);
    listener->evicted -= carrier->evicted;
    listener->connections--;
    listener->tally->connections_now = listener->connections;
    free(carrier);
    finish_close(listener);
}

static void on_relay_end(struct relay *relay, enum err_code code, int side, struct err *err)
{
    struct carrier *carrier = CARRIER_OF(relay, u.relay);
    char from[ADDR_TEXT_MAX];
    (void)side;
    if (code != ERR_OK)
        LOG_DEBUG("connection_ended", F_STR("from", addr_port_format(&carrier->from, from)),
                  F_ERR(err));
    carrier_free(carrier);
}

/* --- from TLS to gRPC ----------------------------------------------------------------------- */

static enum err_code carry(struct carrier *carrier, struct handshake *done, struct err *err)
{
    struct control_listener *listener = carrier->listener;
    int pair[2];
    struct relay_socket wire = {
        .fd = carrier->fd, .tls = carrier->tls, .early = done->early, .early_len = done->early_len};
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) < 0) {
        free(done->early);
        return err_sys(err, ERR_SYSTEM, errno, "make a socketpair");
    }
    carrier->connection = rpc_server_add_fd(listener->server, pair[0], carrier, err);
    if (!carrier->connection) {
        close(pair[0]);
        close(pair[1]);
        free(done->early);
        return err->code;
    }
    struct relay_socket plain = {.fd = pair[1]};
    carrier->fd = -1;
    carrier->tls = NULL;
    carrier->relaying = true;
    return relay_start(&carrier->u.relay, listener->env, &plain, &wire, on_relay_end, err);
}

static void on_handshake(struct handshake *handshake, enum err_code code, struct err *err)
{
    struct carrier *carrier = CARRIER_OF(handshake, u.handshake);
    struct control_listener *listener = carrier->listener;
    struct handshake done = *handshake;
    listener->handshakes--;
    if (code == ERR_OK)
        code = carry(carrier, &done, err);
    if (code == ERR_OK) {
        listener->tally->connections_opened++;
        return;
    }
    note_refused(listener, &carrier->from, err);
    carrier_free(carrier);
}

/* --- accepting ------------------------------------------------------------------------------ */

/* Ends the connection that has gone longest without a good token, unless it is a new one: who has a
 * token shows it at once. Else a few hosts without any could keep everybody out. */
static bool evict(struct control_listener *listener, bool in_handshake)
{
    struct err err;
    struct carrier *oldest = listener->unproven.first;
    while (oldest && (oldest->evicted || (in_handshake && oldest->relaying)))
        oldest = oldest->next;
    if (!oldest || clock_now_ms() - oldest->used_ms < listener->limits.evict_ms)
        return false;
    err_set(&err, ERR_BUSY, "no good token came, and somebody else needs the place");
    note_refused(listener, &oldest->from, &err);
    if (oldest->relaying) {
        oldest->evicted = true;
        listener->evicted++;
        relay_abort(&oldest->u.relay, ERR_BUSY);
    } else {
        handshake_cancel(&oldest->u.handshake);
        listener->handshakes--;
        carrier_free(oldest);
    }
    return true;
}

static enum err_code may_accept(struct control_listener *listener, const struct addr_port *from,
                                struct err *err)
{
    if (address_count(listener, &from->ip) >= listener->limits.per_address)
        return err_set(err, ERR_BUSY,
                       "%u connections without a good token are open from this address already%s",
                       listener->limits.per_address, from->ip.len == 16 ? " (its /64)" : "");
    if (listener->connections - listener->evicted >= listener->limits.connections &&
        !evict(listener, false))
        return err_set(err, ERR_BUSY, "%u connections are open already",
                       listener->limits.connections);
    if (listener->handshakes >= listener->limits.handshakes && !evict(listener, true))
        return err_set(err, ERR_BUSY, "%u TLS handshakes are under way already",
                       listener->limits.handshakes);
    return ERR_OK;
}

static void take(struct control_listener *listener, int fd, const struct addr_port *from)
{
    struct err err = {0};
    struct carrier *carrier = NULL;
    enum err_code code = may_accept(listener, from, &err);
    if (code == ERR_OK && !socket_prepare(fd, &listener->socket_limits))
        code = err_set(&err, ERR_CONN_RESET, "the connection was gone before it was accepted");
    if (code == ERR_OK &&
        !((carrier = calloc(1, sizeof *carrier)) && address_add(listener, &from->ip, 1))) {
        free(carrier);
        code = err_set(&err, ERR_NO_MEMORY, "no memory for a connection");
    }
    if (code != ERR_OK) {
        socket_close_reset(fd);
        note_refused(listener, from, &err);
        return;
    }
    *carrier = (struct carrier){.listener = listener,
                                .from = *from,
                                .fd = fd,
                                .used_ms = clock_now_ms(),
                                .tls = tls_conn_new_server(listener->context)};
    carriers_add(&listener->unproven, carrier);
    listener->tally->connections_now = ++listener->connections;
    if (!carrier->tls)
        err_set(&err, ERR_NO_MEMORY, "no memory for a TLS connection");
    else if (handshake_start(&carrier->u.handshake, listener->env, fd, carrier->tls,
                             listener->limits.handshake_ms, on_handshake, &err) == ERR_OK) {
        listener->handshakes++;
        return;
    }
    note_refused(listener, from, &err);
    carrier_free(carrier);
}

static void on_accept(struct poll_item *item, uint32_t events)
{
    struct control_listener *listener = ((struct control_socket *)(void *)item)->owner;
    (void)events;
    for (int i = 0; i < LISTENER_ACCEPTS_MAX; i++) {
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
        take(listener, fd, &from);
    }
    poll_item_again(listener->env->loop, item);
}

/* True when gRPC has ended the connection, or its client was refused, and it is still there at the
 * second sweep. */
static bool is_overdue(struct carrier *carrier)
{
    if (!carrier->relaying || carrier->overdue)
        return carrier->relaying;
    carrier->overdue = carrier->refused || carrier->u.relay.side[0].read_ended;
    return false;
}

static bool is_unproven_too_long(const struct carrier *carrier, int64_t now_ms)
{
    struct err err;
    int64_t limit_ms = carrier->listener->limits.unproven_ms;
    if (!carrier->relaying || carrier->refused || now_ms - carrier->used_ms < limit_ms)
        return false;
    err_set(&err, ERR_TOKEN_MISSING, "no call with a good token came within %lld ms",
            (long long)limit_ms);
    note_refused(carrier->listener, &carrier->from, &err);
    return true;
}

/* A stream counts for as long as it is there, and it is there for as long as its token is good. */
static bool is_idle(struct carrier *carrier, int64_t now_ms)
{
    if (rpc_connection_calls(carrier->connection) > 0)
        carrier->used_ms = now_ms;
    if (now_ms - carrier->used_ms < carrier->listener->limits.idle_ms)
        return false;
    carrier->listener->tally->connections_idle++;
    return true;
}

/* Cuts clients that go on holding a connection that gRPC has ended or that they do nothing with,
 * and looks again at what could not be accepted. */
static void on_sweep(struct timer *timer)
{
    struct control_listener *listener =
        (struct control_listener *)(void *)((char *)timer -
                                            offsetof(struct control_listener, sweep));
    int64_t now_ms = clock_now_ms();
    for (struct carrier *carrier = listener->unproven.first; carrier; carrier = carrier->next) {
        if (is_overdue(carrier) || is_unproven_too_long(carrier, now_ms))
            relay_abort(&carrier->u.relay, ERR_TIMEOUT);
    }
    for (struct carrier *carrier = listener->proven.first; carrier; carrier = carrier->next) {
        if (is_overdue(carrier) || is_idle(carrier, now_ms))
            relay_abort(&carrier->u.relay, ERR_TIMEOUT);
    }
    for (unsigned i = 0; i < listener->count; i++)
        poll_item_again(listener->env->loop, &listener->sockets[i].item);
    timer_start(listener->env->timers, &listener->sweep, LISTENER_SWEEP_MS, on_sweep);
}

enum err_code control_listener_admit(struct rpc_call *call, const struct token_subject *subject,
                                     struct err *err)
{
    struct carrier *carrier = rpc_call_connection_arg(call);
    if (!carrier)
        return ERR_OK; /* closed meanwhile: the call ends by itself */
    struct control_listener *listener = carrier->listener;
    carrier->used_ms = clock_now_ms();
    if (carrier->caller)
        return ERR_OK;
    enum err_code code = quota_take(listener->quota, QUOTA_CONNECTIONS, subject->ns,
                                    subject->service_account, &carrier->caller, err);
    if (code != ERR_OK) {
        carrier->refused = true;
        note_refused(listener, &carrier->from, err);
        return code;
    }
    carrier->refused = false;
    address_add(listener, &carrier->from.ip, -1);
    carriers_remove(&listener->unproven, carrier);
    carriers_add(&listener->proven, carrier);
    return ERR_OK;
}

static void close_sockets(struct control_listener *listener)
{
    while (listener->count > 0) {
        struct poll_item *item = &listener->sockets[--listener->count].item;
        int fd = item->fd;
        poll_item_remove(listener->env->loop, item);
        close(fd);
    }
}

static enum err_code open_socket(struct control_listener *listener, const struct addr_port *at,
                                 struct err *err)
{
    struct control_socket *socket = &listener->sockets[listener->count];
    int fd;
    enum err_code code = socket_listen(at, false, 1024, &fd, err);
    if (code != ERR_OK)
        return code;
    code = poll_item_add(listener->env->loop, &socket->item, fd, on_accept, err);
    if (code != ERR_OK) {
        close(fd);
        return code;
    }
    socket->owner = listener;
    listener->count++;
    return ERR_OK;
}

enum err_code control_listener_open(struct control_listener *listener, struct tls_context *context,
                                    const struct addr_port *at, unsigned count, struct err *err)
{
    listener->socket_limits = (struct socket_limits){.user_timeout_ms = 60000};
    listener->unproven.end = &listener->unproven.first;
    listener->proven.end = &listener->proven.first;
    map_init(&listener->per_address);
    for (unsigned i = 0; i < count && i < LISTENERS_MAX; i++) {
        enum err_code code = open_socket(listener, &at[i], err);
        bool no_ipv6 = at[i].ip.len == 16 && err->sys == EAFNOSUPPORT;
        if (code != ERR_OK && !no_ipv6) {
            close_sockets(listener);
            return code;
        }
        if (code != ERR_OK)
            LOG_WARN("no_ipv6", F_ERR(err));
    }
    if (listener->count == 0)
        return err_set(err, ERR_SYSTEM, "no address to listen on");
    listener->context = tls_context_ref(context);
    timer_start(listener->env->timers, &listener->sweep, LISTENER_SWEEP_MS, on_sweep);
    return ERR_OK;
}

void control_listener_set_context(struct control_listener *listener, struct tls_context *context)
{
    struct tls_context *old = listener->context;
    listener->context = tls_context_ref(context);
    tls_context_unref(old);
}

static void on_server_closed(void *arg)
{
    struct control_listener *listener = arg;
    listener->server = NULL;
    finish_close(listener);
}

static void on_grace_over(struct timer *timer)
{
    struct control_listener *listener =
        (struct control_listener *)(void *)((char *)timer -
                                            offsetof(struct control_listener, grace));
    for (struct carrier *carrier = listener->unproven.first; carrier; carrier = carrier->next)
        relay_abort(&carrier->u.relay, ERR_CANCELLED);
    for (struct carrier *carrier = listener->proven.first; carrier; carrier = carrier->next)
        relay_abort(&carrier->u.relay, ERR_CANCELLED);
}

static void on_flushed(struct timer *timer)
{
    struct control_listener *listener =
        (struct control_listener *)(void *)((char *)timer -
                                            offsetof(struct control_listener, grace));
    timer_start(listener->env->timers, timer, LISTENER_GRACE_MS, on_grace_over);
    listener->server_closed = true;
    rpc_server_close(listener->server, on_server_closed, listener);
}

void control_listener_close(struct control_listener *listener,
                            void (*on_closed)(struct control_listener *))
{
    close_sockets(listener);
    timer_stop(listener->env->timers, &listener->sweep);
    listener->on_closed = on_closed;
    for (struct carrier *carrier = listener->unproven.first, *next; carrier; carrier = next) {
        next = carrier->next;
        if (carrier->relaying)
            continue;
        handshake_cancel(&carrier->u.handshake);
        listener->handshakes--;
        carrier_free(carrier);
    }
    timer_start(listener->env->timers, &listener->grace,
                listener->connections > 0 ? LISTENER_FLUSH_MS : 0, on_flushed);
}
