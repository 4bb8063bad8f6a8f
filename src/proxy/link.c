#include "proxy/link.h"

#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"

static void dial(struct link *link);
static void dial_next(struct link *link, const struct err *last);

/* libuv cannot call a question to the resolver off while one of its threads is busy with it, so it
 * has memory of its own and may outlive the link. */
struct link_lookup {
    uv_getaddrinfo_t request;
    struct link *link; /* NULL: nobody waits for the answer any more */
};

#define LINK_OF(pointer, member) ((struct link *)((char *)(pointer)-offsetof(struct link, member)))

static void on_retry(struct timer *timer)
{
    dial(LINK_OF(timer, retry));
}

static void finish_close(struct link *link)
{
    link->state = LINK_WAITING;
    if (link->on_closed)
        link->on_closed(link);
}

/* Back to waiting; the next attempt comes by itself. */
static void fail(struct link *link, const struct err *err)
{
    bool was_up = link->state == LINK_UP;
    if (was_up && clock_now_ms() - link->up_since_ms >= LINK_STABLE_MS)
        backoff_reset(&link->backoff);
    link->state = LINK_WAITING;
    if (link->channel)
        rpc_channel_close(link->channel);
    link->channel = NULL;
    if (link->closing) {
        finish_close(link);
        return;
    }
    bool again = !was_up && link->last.code == err->code;
    link->last = *err;
    link->on_down(link, err, again);
    timer_start(link->env->timers, &link->retry, backoff_next_ms(&link->backoff), on_retry);
}

static void on_relay_end(struct relay *relay, enum err_code code, int side, struct err *err)
{
    struct link *link = LINK_OF(relay, step.relay);
    struct err reason;
    if (code == ERR_OK)
        err_set(&reason, ERR_RPC_UNAVAILABLE, "the control plane ended the connection");
    else
        reason = *err;
    (void)side;
    err_wrap(&reason, "control plane %s", link->config->control);
    fail(link, &reason);
}

/* TLS stands: put gRPC on the near end of a socketpair and the relay on the far end. */
static enum err_code join(struct link *link, struct relay_socket *far, struct err *err)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) < 0)
        return err_sys(err, ERR_SYSTEM, errno, "make a socketpair for gRPC");
    link->channel = rpc_channel_new(link->rpc, pair[0], link->config->control_name, err);
    if (!link->channel) {
        close(pair[0]);
        close(pair[1]);
        return err->code;
    }
    struct relay_socket near = {.fd = pair[1]};
    struct relay_socket taken = *far;
    *far = (struct relay_socket){.fd = -1};
    return relay_start(&link->step.relay, link->env, &near, &taken, on_relay_end, err);
}

static void on_handshake(struct handshake *handshake, enum err_code code, struct err *err)
{
    struct link *link = LINK_OF(handshake, step.handshake);
    struct relay_socket far = {.fd = link->fd,
                               .tls = link->tls,
                               .early = handshake->early,
                               .early_len = handshake->early_len};
    struct err reason = *err;
    link->fd = -1;
    link->tls = NULL;
    if (code == ERR_OK && join(link, &far, &reason) == ERR_OK) {
        link->state = LINK_UP;
        link->up_since_ms = clock_now_ms();
        link->last = (struct err){0};
        link->on_up(link, link->channel);
        return;
    }
    if (far.fd >= 0) {
        free(far.early);
        tls_conn_free(far.tls);
        socket_close_reset(far.fd);
    }
    err_wrap(&reason, "TLS to the control plane %s (%s)", link->config->control,
             link->config->control_name);
    fail(link, &reason);
}

static enum err_code start_tls(struct link *link, struct err *err)
{
    char *pem = NULL;
    size_t len = 0;
    struct tls_bundle *bundle = NULL;
    struct tls_context *context = NULL;
    enum err_code code = file_read(link->config->control_ca, TLS_BUNDLE_PEM_MAX, &pem, &len, err);
    if (code == ERR_OK)
        code = tls_bundle_new(&bundle, link->config->trust_domain, pem, len, err);
    if (code == ERR_OK)
        code = tls_context_new_roots(&context, bundle, err);
    if (code != ERR_OK) {
        err_wrap(err, "--control-ca %s", link->config->control_ca);
    } else {
        link->tls = tls_conn_new_client_dns(context, link->config->control_name);
        if (!link->tls)
            code = err_set(err, ERR_NO_MEMORY, "no memory for a TLS connection");
    }
    tls_context_unref(context);
    tls_bundle_unref(bundle);
    free(pem);
    if (code == ERR_OK)
        code = handshake_start(&link->step.handshake, link->env, link->fd, link->tls,
                               link->config->handshake_timeout_ms, on_handshake, err);
    return code;
}

static void on_connect(struct connect *connect, int fd, struct err *err)
{
    struct link *link = LINK_OF(connect, step.connect);
    struct err reason = *err;
    if (fd < 0) {
        dial_next(link, &reason);
        return;
    }
    link->fd = fd;
    link->state = LINK_HANDSHAKING;
    if (start_tls(link, &reason) == ERR_OK)
        return;
    tls_conn_free(link->tls);
    link->tls = NULL;
    socket_close_reset(link->fd);
    link->fd = -1;
    fail(link, &reason);
}

/* Tries the next address that the name has; `last` is why the one before did not do. */
static void dial_next(struct link *link, const struct err *last)
{
    static const struct socket_limits limits = {.user_timeout_ms = LINK_USER_TIMEOUT_MS};
    struct err reason = *last;
    link->state = LINK_CONNECTING;
    while (link->to_at < link->to_count) {
        const struct addr_port *to = &link->to[link->to_at++];
        if (connect_start(&link->step.connect, link->env, to, &limits, LINK_CONNECT_TIMEOUT_MS,
                          on_connect, &reason) == ERR_OK)
            return;
    }
    err_wrap(&reason, "control plane %s", link->config->control);
    fail(link, &reason);
}

static void on_resolved(uv_getaddrinfo_t *request, int status, struct addrinfo *results)
{
    struct link_lookup *lookup = (struct link_lookup *)request;
    struct link *link = lookup->link;
    struct err err;
    free(lookup);
    if (!link) {
        uv_freeaddrinfo(results);
        return;
    }
    link->lookup = NULL;
    err_set(&err, ERR_RPC_UNAVAILABLE, "the name %s has no address", link->config->control_host);
    if (status < 0)
        err_set(&err, ERR_RPC_UNAVAILABLE, "the name %s cannot be resolved: %s",
                link->config->control_host, uv_strerror(status));
    link->to_count = link->to_at = 0;
    for (struct addrinfo *at = results; at && link->to_count < LINK_ADDRESSES_MAX;
         at = at->ai_next) {
        struct sockaddr_storage storage = {0};
        if (at->ai_addrlen > sizeof storage)
            continue;
        memcpy(&storage, at->ai_addr, at->ai_addrlen);
        if (addr_from_sockaddr(&link->to[link->to_count], &storage))
            link->to_count++;
    }
    uv_freeaddrinfo(results);
    dial_next(link, &err);
}

static void dial(struct link *link)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_family = AF_UNSPEC};
    link->state = LINK_RESOLVING;
    /* The resolver's own timeouts (resolv.conf(5)) are the deadline here. */
    struct link_lookup *lookup = calloc(1, sizeof *lookup);
    int failed =
        lookup ? uv_getaddrinfo(&link->env->loop->uv, &lookup->request, on_resolved,
                                link->config->control_host, link->config->control_port, &hints)
               : UV_ENOMEM;
    if (failed) {
        struct err err;
        free(lookup);
        err_sys(&err, ERR_RPC_UNAVAILABLE, failed, "resolve %s", link->config->control_host);
        fail(link, &err);
        return;
    }
    lookup->link = link;
    link->lookup = lookup;
}

void link_start(struct link *link)
{
    link->backoff =
        (struct backoff){.first_ms = LINK_BACKOFF_FIRST_MS, .max_ms = LINK_BACKOFF_MAX_MS};
    link->fd = -1;
    dial(link);
}

void link_close(struct link *link, void (*on_closed)(struct link *))
{
    link->closing = true;
    link->on_closed = on_closed;
    timer_stop(link->env->timers, &link->retry);
    switch (link->state) {
    case LINK_RESOLVING:
        uv_cancel((uv_req_t *)&link->lookup->request);
        link->lookup->link = NULL; /* on_resolved comes in any case, be it in a minute */
        break;
    case LINK_UP:
        relay_abort(&link->step.relay, ERR_CANCELLED);
        return; /* on_relay_end comes */
    case LINK_CONNECTING:
        connect_cancel(&link->step.connect);
        break;
    case LINK_HANDSHAKING:
        handshake_cancel(&link->step.handshake);
        tls_conn_free(link->tls);
        socket_close_reset(link->fd);
        link->tls = NULL;
        link->fd = -1;
        break;
    case LINK_WAITING:
        break;
    }
    finish_close(link);
}

const char *link_state_name(const struct link *link)
{
    static const char *const names[] = {"waiting", "resolving", "connecting", "handshaking", "up"};
    return names[link->state];
}
