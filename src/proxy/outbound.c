#include "proxy/outbound.h"

#include <stdio.h>
#include <string.h>

#include "proxy/policy.h"

enum { TARGET_TEXT_MAX = ADDR_TEXT_MAX + 160 };

static void route(struct conn *conn);

/* "10.77.1.2:8080 (web-1.shop)" */
static const char *format_target(const struct conn *conn, char text[TARGET_TEXT_MAX])
{
    char at[ADDR_TEXT_MAX];
    addr_port_format(&conn->target, at);
    if (conn->destination)
        snprintf(text, TARGET_TEXT_MAX, "%s (%.70s.%.70s)", at, conn->destination->name,
                 conn->destination->namespace);
    else
        snprintf(text, TARGET_TEXT_MAX, "%s", at);
    return text;
}

static void fail(struct conn *conn, const struct err *err, const char *what)
{
    char target[TARGET_TEXT_MAX];
    struct err reason = *err;
    err_wrap(&reason, "%s to %s", what, format_target(conn, target));
    conn_fail(conn, &reason);
}

/* --- waiting -------------------------------------------------------------------------------- */

static void on_wake(struct hold *hold, bool expired)
{
    struct conn *conn = CONN_OF(hold, u.opening.step.hold);
    struct err err;
    conn_step_ended(conn);
    if (expired && !view_usable(conn->worker->view, &err))
        fail(conn, &err, "outbound connection");
    else
        route(conn);
}

/* --- TLS ------------------------------------------------------------------------------------ */

static void on_handshake(struct handshake *handshake, enum err_code code, struct err *err)
{
    struct conn *conn = CONN_OF(handshake, u.opening.step.handshake);
    conn_step_ended(conn);
    if (code != ERR_OK) {
        stats_handshake_failed(&conn->worker->stats, CONN_OUTBOUND, code);
        fail(conn, err, "outbound TLS");
        return;
    }
    if (conn_handshake_done(conn, handshake))
        conn_relay(conn);
}

static void start_tls(struct conn *conn);

static void on_tls_wake(struct hold *hold, bool expired)
{
    struct conn *conn = CONN_OF(hold, u.opening.step.hold);
    (void)expired; /* conn_hold() refuses to wait longer */
    conn_step_ended(conn);
    start_tls(conn);
}

/* The peer must be exactly who the record says. */
static void start_tls(struct conn *conn)
{
    struct err err;
    struct spiffe_id expected;
    struct view *view = conn->worker->view;
    const struct mesh_workload *to = conn->destination;
    const char *domain = mesh_workload_trust_domain(to, mesh_snapshot_trust_domain(view->snapshot));
    if (!view_usable(view, &err)) {
        /* It was usable when the connection began: a certificate that is renewed at its last
         * moment. */
        conn_hold(conn, on_tls_wake, &err);
        return;
    }
    if (!spiffe_make(&expected, domain, to->namespace, mesh_workload_account(to))) {
        err_set(&err, ERR_XDS_RESOURCE, "the workload's record makes no SPIFFE ID");
        fail(conn, &err, "outbound TLS");
        return;
    }
    conn->tls = tls_conn_new_client(view->context, &expected, 1);
    if (!conn->tls) {
        err_set(&err, ERR_NO_MEMORY, "no memory for a TLS connection");
        fail(conn, &err, "outbound TLS");
        return;
    }
    conn_handshake(conn, conn->far_fd, on_handshake);
}

/* --- connecting ----------------------------------------------------------------------------- */

static bool is_own(const struct conn *conn)
{
    return config_is_pod_ip(conn->worker->config, &conn->target.ip);
}

static bool needs_tls(const struct conn *conn)
{
    return conn->destination && conn->destination->tunnel == MESH_TUNNEL_LEGACY_MTLS &&
           !is_own(conn);
}

static bool choose_endpoint(struct conn *conn, const struct mesh_workload *except);
static void dial(struct conn *conn);
static void on_turn(struct hold *hold, bool expired);

static void on_connect(struct connect *connect, int fd, struct err *err)
{
    struct conn *conn = CONN_OF(connect, u.opening.step.connect);
    conn_step_ended(conn);
    if (fd < 0) {
        /* Nothing was said yet: another endpoint may do. */
        bool refused = err->code == ERR_CONN_REFUSED || err->code == ERR_CONN_UNREACHABLE;
        if (refused && conn->service && !conn->retried &&
            choose_endpoint(conn, conn->destination)) {
            conn->retried = true;
            dial(conn);
            return;
        }
        fail(conn, err, "outbound connection");
        return;
    }
    conn->far_fd = fd;
    if (needs_tls(conn))
        start_tls(conn);
    else
        conn_relay(conn);
}

/* A workload that calls itself never leaves the pod, so it is asked here what the door would ask.
 */
static bool may_call_itself(struct conn *conn)
{
    struct err err;
    const struct view *view = conn->worker->view;
    const struct mesh_workload *own =
        policy_own_workload(conn->worker->config, view, &conn->target.ip);
    conn_set_destination(conn, own);
    if (!own)
        err_set(&err, ERR_CONN_UNKNOWN_WORKLOAD, "the pod's own record has not arrived");
    else if (policy_decide(conn, view, conn->worker->config->id.text, &err) == MESH_ALLOW)
        return true;
    if (err.code == ERR_CONN_POLICY_DENIED)
        fail(conn, &err, "outbound connection");
    else
        conn_hold(conn, on_wake, &err);
    return false;
}

bool outbound_recheck(struct conn *conn, bool late)
{
    struct err err;
    const struct worker *worker = conn->worker;
    if (!is_own(conn) || (conn->state != CONN_OPEN && conn->state != CONN_CONNECTING))
        return false;
    const struct mesh_workload *own =
        policy_own_workload(worker->config, worker->view, &conn->target.ip);
    if (!own)
        return false;
    enum mesh_decision decision = policy_recheck(conn, own, worker->config->id.text, late, &err);
    if (decision == MESH_ALLOW || (decision == MESH_PENDING && !late))
        return decision == MESH_PENDING;
    conn_abort(conn, err.code);
    return false;
}

/* Connects to conn->target, which stands in conn->destination's record or is unknown. */
static void dial(struct conn *conn)
{
    struct err err;
    const struct mesh_workload *to = conn->destination;
    if (is_own(conn)) {
        if (!may_call_itself(conn))
            return;
    } else if (to && to->tunnel != MESH_TUNNEL_LEGACY_MTLS && to->tunnel != MESH_TUNNEL_NONE) {
        err_set(&err, ERR_CONN_UNSUPPORTED_TUNNEL,
                "the workload speaks %s, which we do not, and plaintext is out of the question",
                to->tunnel == MESH_TUNNEL_HBONE ? "HBONE" : "an unknown tunnel protocol");
        fail(conn, &err, "outbound connection");
        return;
    }
    if (needs_tls(conn) && !conn_take_turn(conn, on_turn))
        return;
    struct addr_port target = conn->target;
    conn_connect(conn, &target, on_connect);
}

static void on_turn(struct hold *hold, bool expired)
{
    struct conn *conn = CONN_OF(hold, u.opening.step.hold);
    struct err err;
    conn_step_ended(conn);
    if (expired) {
        err_set(&err, ERR_TIMEOUT, "%d connections to the workload were being opened for %d s",
                BALANCE_OPENING_MAX, CONN_QUEUE_MS / 1000);
        fail(conn, &err, "outbound connection");
    } else {
        dial(conn);
    }
}

/* --- where to ------------------------------------------------------------------------------- */

/* The workload's address in the family that the client used, else its first. */
static bool choose_address(const struct mesh_workload *workload, uint8_t family, struct addr *out)
{
    if (workload->address_count == 0)
        return false;
    *out = workload->addresses[0];
    for (unsigned i = 0; i < workload->address_count; i++) {
        if (workload->addresses[i].len == family) {
            *out = workload->addresses[i];
            break;
        }
    }
    return true;
}

static bool choose_endpoint(struct conn *conn, const struct mesh_workload *except)
{
    struct worker *worker = conn->worker;
    const struct mesh_snapshot *snapshot = worker->view->snapshot;
    const struct mesh_service *service = mesh_find_address(snapshot, &conn->original.ip).service;
    if (!service)
        return false;
    uint16_t port = 0;
    struct addr ip;
    const struct mesh_workload *chosen =
        balance_pick(&worker->balance, snapshot, service, conn->original.port, except, &port);
    if (!chosen || !choose_address(chosen, conn->original.ip.len, &ip))
        return false;
    conn_set_destination(conn, chosen);
    conn->target = (struct addr_port){.ip = ip, .port = port};
    conn_set_load(conn);
    return true;
}

static void route_service(struct conn *conn, const struct mesh_service *service)
{
    struct err err;
    char at[ADDR_TEXT_MAX];
    conn_set_service(conn, service);
    addr_port_format(&conn->original, at);
    if (!mesh_service_port(service, conn->original.port)) {
        err_set(&err, ERR_CONN_NO_PORT, "outbound connection to %s: service %.80s has no port %u",
                at, service->key, conn->original.port);
        conn_fail(conn, &err);
    } else if (!choose_endpoint(conn, NULL)) {
        err_set(&err, ERR_CONN_NO_ENDPOINT,
                "outbound connection to %s: service %.80s has no healthy endpoint for port %u", at,
                service->key, conn->original.port);
        conn_fail(conn, &err);
    } else {
        dial(conn);
    }
}

static void route(struct conn *conn)
{
    struct err err;
    struct worker *worker = conn->worker;
    if (!view_usable(worker->view, &err)) {
        conn_hold(conn, on_wake, &err);
        return;
    }
    const struct mesh_snapshot *snapshot = worker->view->snapshot;
    struct mesh_target target = mesh_find_address(snapshot, &conn->original.ip);
    if (!conn->source && worker->config->pod_ip_count > 0)
        conn_set_source(
            conn, policy_own_workload(worker->config, worker->view, &worker->config->pod_ips[0]));
    if (target.service) {
        route_service(conn, target.service);
        return;
    }
    conn_set_destination(conn, target.workload);
    if (target.workload)
        conn_set_load(conn);
    dial(conn);
}

void outbound_start(struct worker *worker, int fd, const struct addr_port *source,
                    const struct addr_port *original)
{
    struct conn *conn = conn_new(worker, CONN_OUTBOUND, fd, source, original);
    if (!conn || !conn_watch(conn, NULL))
        return;
    conn->target = *original;
    route(conn);
}
