#include "proxy/inbound.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "proxy/policy.h"
#include "tls/client_hello.h"

static void admit(struct conn *conn);
static void authorize(struct conn *conn);

/* "inbound TLS from 10.0.0.7:41532 to 10.77.1.2:8080: why" */
static void fail(struct conn *conn, const struct err *err, const char *what)
{
    char from[ADDR_TEXT_MAX], to[ADDR_TEXT_MAX];
    struct err reason = *err;
    err_wrap(&reason, "%s from %s to %s", what, addr_port_format(&conn->source_at, from),
             addr_port_format(&conn->original, to));
    conn_fail(conn, &reason);
}

static const char *principal_of(const struct conn *conn)
{
    return conn->peer ? conn->peer->id : NULL;
}

/* --- the application ------------------------------------------------------------------------ */

static void on_connect(struct connect *connect, int fd, struct err *err)
{
    struct conn *conn = CONN_OF(connect, u.opening.step.connect);
    conn_step_ended(conn);
    if (fd < 0) {
        fail(conn, err, "inbound connection");
        return;
    }
    conn->far_fd = fd;
    conn_relay(conn);
}

/* --- policy --------------------------------------------------------------------------------- */

/* The service whose port the client most likely meant, for the metrics. */
static void guess_service(struct conn *conn)
{
    const struct mesh_workload *own = conn->destination;
    const struct mesh_snapshot *snapshot = conn->worker->view->snapshot;
    for (unsigned i = 0; i < own->link_count; i++) {
        const struct mesh_link *link = &own->links[i];
        for (unsigned p = 0; p < link->port_count; p++) {
            if (link->ports[p].target_port == conn->original.port) {
                conn_set_service(conn, mesh_find_service(snapshot, link->service));
                return;
            }
        }
    }
}

/* A record at the client's address that proved to be somebody else (address translation, a record
 * that is behind) must not lend its name. */
static void settle_source(struct conn *conn)
{
    char id[MESH_SPIFFE_MAX];
    const struct mesh_snapshot *snapshot = conn->worker->view->snapshot;
    const struct mesh_workload *source = mesh_find_workload_at(snapshot, &conn->source_at.ip);
    if (source && conn->peer) {
        mesh_workload_spiffe_id(source, mesh_snapshot_trust_domain(snapshot), id);
        if (strcmp(id, conn->peer->id) != 0)
            source = NULL;
    }
    conn_set_source(conn, source);
}

static void on_policy_wake(struct hold *hold, bool expired)
{
    struct conn *conn = CONN_OF(hold, u.opening.step.hold);
    (void)expired; /* conn_hold() refuses to wait longer */
    conn_step_ended(conn);
    authorize(conn);
}

static void deny(struct conn *conn, const struct err *err)
{
    if (conn->tls) {
        /* The peer proved who it is and deserves an answer before the reset. */
        struct relay_env *env = &conn->worker->env;
        struct tls_io io = {.out = env->out, .out_size = RELAY_OUT_BYTES};
        tls_conn_alert_denied(conn->tls, &io);
        if (io.out_len > 0 && send(conn->near_fd, io.out, io.out_len, MSG_NOSIGNAL) < 0)
            LOG_DEBUG("alert_lost", F_INT("errno", errno));
    }
    fail(conn, err, "inbound connection");
}

static void authorize(struct conn *conn)
{
    struct err err;
    struct worker *worker = conn->worker;
    const struct mesh_workload *own =
        policy_own_workload(worker->config, worker->view, &conn->original.ip);
    conn_set_destination(conn, own);
    if (!own) {
        err_set(&err, ERR_CONN_UNKNOWN_WORKLOAD, "the pod's own record has gone");
        conn_hold(conn, on_policy_wake, &err);
        return;
    }
    settle_source(conn);
    guess_service(conn);
    switch (policy_decide(conn, worker->view, principal_of(conn), &err)) {
    case MESH_ALLOW:
        conn_proven(conn);
        break;
    case MESH_DENY:
        deny(conn, &err);
        return;
    case MESH_PENDING:
        conn_hold(conn, on_policy_wake, &err);
        return;
    }
    struct addr_port target = conn->original;
    conn_connect(conn, &target, on_connect);
}

bool inbound_recheck(struct conn *conn, bool late)
{
    struct err err;
    struct worker *worker = conn->worker;
    if (conn->state != CONN_OPEN && conn->state != CONN_CONNECTING)
        return false;
    const struct mesh_workload *own =
        policy_own_workload(worker->config, worker->view, &conn->original.ip);
    if (!own)
        return false;
    enum mesh_decision decision = policy_recheck(conn, own, principal_of(conn), late, &err);
    if (decision == MESH_ALLOW || (decision == MESH_PENDING && !late))
        return decision == MESH_PENDING;
    if (conn->state == CONN_OPEN)
        conn_abort(conn, err.code);
    else if (decision == MESH_DENY)
        deny(conn, &err);
    else
        fail(conn, &err, "inbound connection");
    return false;
}

/* --- TLS or not ----------------------------------------------------------------------------- */

static void on_handshake(struct handshake *handshake, enum err_code code, struct err *err)
{
    struct conn *conn = CONN_OF(handshake, u.opening.step.handshake);
    conn_step_ended(conn);
    if (code != ERR_OK) {
        stats_handshake_failed(&conn->worker->stats, CONN_INBOUND, code);
        fail(conn, err, "inbound TLS");
        return;
    }
    conn_proven(conn);
    if (conn_handshake_done(conn, handshake) && conn_watch(conn, NULL))
        authorize(conn);
}

static void start_tls(struct conn *conn);

static void on_tls_wake(struct hold *hold, bool expired)
{
    struct conn *conn = CONN_OF(hold, u.opening.step.hold);
    (void)expired; /* conn_hold() refuses to wait longer */
    conn_step_ended(conn);
    start_tls(conn);
}

static void start_tls(struct conn *conn)
{
    struct err err;
    if (!view_usable(conn->worker->view, &err)) {
        /* It was usable when the connection began: a certificate that is renewed at its last
         * moment. */
        conn_hold(conn, on_tls_wake, &err);
        return;
    }
    conn_unwatch(conn);
    conn->tls = tls_conn_new_server(conn->worker->view->context);
    if (!conn->tls) {
        err_set(&err, ERR_NO_MEMORY, "no memory for a TLS connection");
        fail(conn, &err, "inbound TLS");
        return;
    }
    conn_handshake(conn, conn->near_fd, on_handshake);
}

/* True when the client will say something: whoever the snapshot knows as part of the mesh comes
 * through its own sidecar. */
static bool is_mesh(const struct mesh_workload *source)
{
    return source && source->tunnel == MESH_TUNNEL_LEGACY_MTLS;
}

static void refuse_hello(struct conn *conn, enum err_code code, const char *what)
{
    struct err err;
    err_set(&err, code, "%s", what);
    stats_handshake_failed(&conn->worker->stats, CONN_INBOUND, code);
    fail(conn, &err, "inbound TLS");
}

/* Looks at what has arrived without taking it. */
static void sniff(struct conn *conn)
{
    struct worker *worker = conn->worker;
    ssize_t got = recv(conn->near_fd, worker->env.in, CLIENT_HELLO_MAX, MSG_PEEK);
    bool ended = conn->near_ended || got == 0;
    if (got < 0 && errno != EAGAIN) {
        conn_near_gone(conn, EPOLLERR);
        return;
    }
    size_t len = got > 0 ? (size_t)got : 0;
    enum client_hello_kind kind = client_hello_sniff(worker->env.in, len, view_alpn);
    if (kind == CLIENT_HELLO_NEED_MORE && !ended)
        return;
    timer_stop(&worker->timers, &conn->u.opening.step.timer);
    conn_step_ended(conn);
    if (kind == CLIENT_HELLO_MESH)
        start_tls(conn);
    else if (kind == CLIENT_HELLO_NEED_MORE && len > 0)
        refuse_hello(conn, ERR_TLS_PEER_CLOSED, "the client ended in the middle of a ClientHello");
    else
        authorize(conn); /* plaintext: no identity */
}

static void on_near(struct poll_item *item, uint32_t events)
{
    struct conn *conn = CONN_OF(item, u.opening.watch);
    if (conn_near_gone(conn, events))
        return;
    if (events & EPOLLRDHUP)
        conn->near_ended = true;
    if (conn->state == CONN_SNIFFING)
        sniff(conn);
}

static void on_sniff_due(struct timer *timer)
{
    struct conn *conn = CONN_OF(timer, u.opening.step.timer);
    uint8_t first;
    const struct config *config = conn->worker->config;
    bool silent = recv(conn->near_fd, &first, 1, MSG_PEEK) != 1;
    if (!silent && !conn->sniffed_longer && !is_mesh(conn->source)) {
        /* It began like TLS: then it has the time that a handshake has. */
        conn->sniffed_longer = true;
        if (timer_start(&conn->worker->timers, timer, config->handshake_timeout_ms, on_sniff_due))
            return;
    }
    conn_step_ended(conn);
    if (!silent) {
        refuse_hello(conn, ERR_TLS_TIMEOUT, "half a ClientHello, and no more in time");
    } else if (is_mesh(conn->source)) {
        refuse_hello(conn, ERR_TLS_TIMEOUT,
                     "the client is a workload of the mesh and sent no ClientHello in time");
    } else {
        stats_plaintext_wait(&conn->worker->stats);
        authorize(conn);
    }
}

/* --- the beginning -------------------------------------------------------------------------- */

static void start_sniffing(struct conn *conn)
{
    struct worker *worker = conn->worker;
    const struct config *config = worker->config;
    conn_set_source(conn, mesh_find_workload_at(worker->view->snapshot, &conn->source_at.ip));
    int64_t wait_ms =
        is_mesh(conn->source) ? config->handshake_timeout_ms : config->plaintext_wait_ms;
    conn->u.opening.step.timer = (struct timer){0};
    if (!timer_start(&worker->timers, &conn->u.opening.step.timer, wait_ms, on_sniff_due)) {
        struct err err;
        err_set(&err, ERR_NO_MEMORY, "no memory for a deadline");
        fail(conn, &err, "inbound connection");
        return;
    }
    conn->state = CONN_SNIFFING;
    sniff(conn);
}

static void on_admit_wake(struct hold *hold, bool expired)
{
    struct conn *conn = CONN_OF(hold, u.opening.step.hold);
    (void)expired; /* conn_hold() refuses to wait longer */
    conn_step_ended(conn);
    admit(conn);
}

/* Everything that must be known before the client's first byte means anything. */
static void admit(struct conn *conn)
{
    struct err err;
    char at[ADDR_TEXT_MAX];
    struct worker *worker = conn->worker;
    addr_format(&conn->original.ip, at);
    if (!view_usable(worker->view, &err)) {
        conn_hold(conn, on_admit_wake, &err);
    } else if (!policy_own_workload(worker->config, worker->view, &conn->original.ip)) {
        err_set(&err, ERR_CONN_UNKNOWN_WORKLOAD,
                "%s is not known as an address of this pod (%s/%s)", at, worker->config->ns,
                worker->config->pod_name);
        if (config_is_pod_ip(worker->config, &conn->original.ip))
            conn_hold(conn, on_admit_wake, &err);
        else
            fail(conn, &err, "inbound connection");
    } else {
        start_sniffing(conn);
    }
}

void inbound_start(struct worker *worker, int fd, const struct addr_port *source,
                   const struct addr_port *original)
{
    struct err err;
    struct conn *conn = conn_new(worker, CONN_INBOUND, fd, source, original);
    if (!conn)
        return;
    conn->target = *original;
    if (worker->view)
        conn_set_source(conn, mesh_find_workload_at(worker->view->snapshot, &source->ip));
    if (!conn_knock(conn, is_mesh(conn->source), &err))
        fail(conn, &err, "inbound connection");
    else if (conn_watch(conn, on_near))
        admit(conn);
}
