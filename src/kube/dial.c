#include "kube/dial.h"

#include <netdb.h>
#include <stdlib.h>
#include <string.h>

#define DIAL_OF(pointer, member)                                                                   \
    ((struct kube_dial *)(void *)((char *)(pointer)-offsetof(struct kube_dial, member)))

static void dial_next(struct kube_dial *dial, const struct err *last);

static void finish(struct kube_dial *dial, const struct kube_dialed *dialed, const struct err *err)
{
    dial->state = KUBE_DIAL_IDLE;
    dial->on_done(dial, dialed, err);
}

static void drop_connection(struct kube_dial *dial)
{
    tls_conn_free(dial->tls);
    dial->tls = NULL;
    socket_close_reset(dial->fd);
    dial->fd = -1;
}

static void on_handshake(struct handshake *handshake, enum err_code code, struct err *err)
{
    struct kube_dial *dial = DIAL_OF(handshake, step.handshake);
    struct err reason = *err;
    if (code != ERR_OK) {
        drop_connection(dial);
        err_wrap(&reason, "TLS to \"%.100s\"", dial->server_name);
        dial_next(dial, &reason);
        return;
    }
    struct kube_dialed dialed = {.fd = dial->fd,
                                 .tls = dial->tls,
                                 .early = handshake->early,
                                 .early_len = handshake->early_len};
    dial->fd = -1;
    dial->tls = NULL;
    finish(dial, &dialed, &reason);
}

static void on_connect(struct connect *connect, int fd, struct err *err)
{
    struct kube_dial *dial = DIAL_OF(connect, step.connect);
    struct err reason = *err;
    if (fd < 0) {
        dial_next(dial, &reason);
        return;
    }
    dial->fd = fd;
    dial->tls = tls_conn_new_client_outside(dial->context, dial->server_name);
    dial->state = KUBE_DIAL_HANDSHAKING;
    if (!dial->tls)
        err_set(&reason, ERR_NO_MEMORY, "no memory for a TLS connection");
    else if (handshake_start(&dial->step.handshake, dial->env, fd, dial->tls,
                             KUBE_DIAL_HANDSHAKE_MS, on_handshake, &reason) == ERR_OK)
        return;
    drop_connection(dial);
    dial_next(dial, &reason);
}

/* Tries the next address; `last` is why the one before did not do. */
static void dial_next(struct kube_dial *dial, const struct err *last)
{
    static const struct socket_limits limits = {.user_timeout_ms = KUBE_DIAL_USER_TIMEOUT_MS};
    struct err reason = *last;
    dial->state = KUBE_DIAL_CONNECTING;
    while (dial->to_at < dial->to_count) {
        const struct addr_port *to = &dial->to[dial->to_at++];
        if (connect_start(&dial->step.connect, dial->env, to, &limits, KUBE_DIAL_CONNECT_MS,
                          on_connect, &reason) == ERR_OK)
            return;
    }
    finish(dial, NULL, &reason);
}

static void on_resolved(uv_getaddrinfo_t *resolve, int status, struct addrinfo *results)
{
    struct kube_dial *dial = DIAL_OF(resolve, resolve);
    struct err err;
    err_set(&err, ERR_RPC_UNAVAILABLE, "the name has no address");
    if (status < 0)
        err_set(&err, ERR_RPC_UNAVAILABLE, "the name cannot be resolved: %s", uv_strerror(status));
    for (struct addrinfo *at = results; at && dial->to_count < KUBE_DIAL_ADDRESSES_MAX;
         at = at->ai_next) {
        struct sockaddr_storage storage = {0};
        if (at->ai_addrlen > sizeof storage)
            continue;
        memcpy(&storage, at->ai_addr, at->ai_addrlen);
        if (!addr_from_sockaddr(&dial->to[dial->to_count], &storage))
            continue;
        dial->to[dial->to_count++].port = dial->port;
    }
    uv_freeaddrinfo(results);
    if (dial->closing)
        dial->on_closed(dial);
    else
        dial_next(dial, &err);
}

void kube_dial_start(struct kube_dial *dial)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_family = AF_UNSPEC};
    struct err err = {0};
    dial->fd = -1;
    dial->to_count = dial->to_at = 0;
    if (addr_parse(&dial->to[0].ip, dial->host)) {
        dial->to[0].port = dial->port;
        dial->to_count = 1;
        dial_next(dial, &err);
        return;
    }
    dial->state = KUBE_DIAL_RESOLVING;
    /* The resolver's own timeouts (resolv.conf(5)) are the deadline here. */
    int failed =
        uv_getaddrinfo(&dial->env->loop->uv, &dial->resolve, on_resolved, dial->host, NULL, &hints);
    if (failed) {
        err_sys(&err, ERR_RPC_UNAVAILABLE, failed, "resolve the name");
        finish(dial, NULL, &err);
    }
}

void kube_dial_close(struct kube_dial *dial, void (*on_closed)(struct kube_dial *))
{
    dial->closing = true;
    dial->on_closed = on_closed;
    switch (dial->state) {
    case KUBE_DIAL_RESOLVING:
        uv_cancel((uv_req_t *)&dial->resolve);
        return; /* on_resolved comes in any case */
    case KUBE_DIAL_CONNECTING:
        connect_cancel(&dial->step.connect);
        break;
    case KUBE_DIAL_HANDSHAKING:
        handshake_cancel(&dial->step.handshake);
        drop_connection(dial);
        break;
    case KUBE_DIAL_IDLE:
        break;
    }
    dial->state = KUBE_DIAL_IDLE;
    on_closed(dial);
}
