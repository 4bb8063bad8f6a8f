#include "proxy/conn.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "proxy/access.h"
#include "proxy/worker.h"

/* --- who talks to whom ---------------------------------------------------------------------- */

/* Records are immutable; only their reference count is written. */
static void *writable(const void *record)
{
    return (void *)(uintptr_t)record;
}

void conn_set_source(struct conn *conn, const struct mesh_workload *workload)
{
    struct mesh_workload *old = conn->source;
    conn->source = workload ? mesh_workload_ref(writable(workload)) : NULL;
    mesh_workload_unref(old);
}

void conn_set_destination(struct conn *conn, const struct mesh_workload *workload)
{
    struct mesh_workload *old = conn->destination;
    conn->destination = workload ? mesh_workload_ref(writable(workload)) : NULL;
    mesh_workload_unref(old);
}

void conn_set_service(struct conn *conn, const struct mesh_service *service)
{
    struct mesh_service *old = conn->service;
    conn->service = service ? mesh_service_ref(writable(service)) : NULL;
    if (old)
        mesh_service_unref(old);
}

struct conn_peer *conn_peer_ref(struct conn_peer *peer)
{
    ref_get(&peer->ref);
    return peer;
}

void conn_peer_unref(struct conn_peer *peer)
{
    if (peer && ref_put(&peer->ref))
        free(peer);
}

uint64_t conn_request_bytes(const struct conn *conn)
{
    return conn->state == CONN_OPEN ? relay_bytes(&conn->u.relay, 0) : 0;
}

uint64_t conn_response_bytes(const struct conn *conn)
{
    return conn->state == CONN_OPEN ? relay_bytes(&conn->u.relay, 1) : 0;
}

/* --- begin and end -------------------------------------------------------------------------- */

static struct stats *stats_of(const struct conn *conn)
{
    return &conn->worker->stats;
}

static enum conn_direction direction_of(const struct conn *conn)
{
    return (enum conn_direction)conn->direction;
}

void conn_step_ended(struct conn *conn)
{
    if (conn->state == CONN_HELD)
        stats_gauge_add(stats_of(conn), direction_of(conn), STATS_HELD, -1);
    if (conn->state == CONN_HANDSHAKING)
        stats_gauge_add(stats_of(conn), direction_of(conn), STATS_HANDSHAKES, -1);
    conn->state = CONN_NEW;
}

/* Leaves the state before its time, so that no callback of it comes any more. */
static void cancel_step(struct conn *conn)
{
    switch (conn->state) {
    case CONN_HELD:
    case CONN_QUEUED:
        hold_cancel(&conn->u.opening.step.hold);
        break;
    case CONN_SNIFFING:
        timer_stop(&conn->worker->timers, &conn->u.opening.step.timer);
        break;
    case CONN_HANDSHAKING:
        handshake_cancel(&conn->u.opening.step.handshake);
        break;
    case CONN_CONNECTING:
        connect_cancel(&conn->u.opening.step.connect);
        break;
    default:
        break;
    }
    conn_step_ended(conn);
}

/* Hands the turn on: to whoever has waited longest, who finds it in the next round of the loop, so
 * that a row of failures does not pile up on the stack. */
static void give_turn(struct conn *conn)
{
    if (!conn->opening)
        return;
    conn->opening = false;
    struct hold *next = conn->load->waiting.first;
    if (next) {
        CONN_OF(next, u.opening.step.hold)->opening = true;
        hold_wake_soon(next);
    } else {
        conn->load->opening--;
    }
}

void conn_set_load(struct conn *conn)
{
    struct balance *balance = &conn->worker->balance;
    give_turn(conn);
    balance_end(balance, conn->load);
    conn->load = balance_begin(balance, conn->destination);
}

bool conn_take_turn(struct conn *conn, void (*on_wake)(struct hold *, bool))
{
    struct err err;
    struct balance_load *load = conn->load;
    if (!load || conn->opening)
        return true;
    if (load->opening < BALANCE_OPENING_MAX) {
        load->opening++;
        conn->opening = true;
        return true;
    }
    if (hold_start(&load->waiting, &conn->u.opening.step.hold, clock_now_ms() + CONN_QUEUE_MS,
                   on_wake, &err) == ERR_OK)
        conn->state = CONN_QUEUED;
    else
        conn_fail(conn, &err);
    return false;
}

static void free_conn(struct conn *conn)
{
    struct worker *worker = conn->worker;
    give_turn(conn);
    balance_end(&worker->balance, conn->load);
    stats_gauge_add(stats_of(conn), direction_of(conn), STATS_OPEN, -1);
    conn_proven(conn);
    ceiling_give(worker->ceiling, direction_of(conn));
    conn_set_source(conn, NULL);
    conn_set_destination(conn, NULL);
    conn_set_service(conn, NULL);
    conn_peer_unref(conn->peer);
    free(conn->denial);
    free(conn->early);
    tls_conn_free(conn->tls);
    worker_remove(worker, conn);
    free(conn);
}

void conn_refused(struct worker *worker, enum conn_direction direction,
                  const struct addr_port *source, const struct addr_port *original,
                  const struct err *err)
{
    struct conn ghost = {.worker = worker,
                         .direction = (uint8_t)direction,
                         .near_fd = -1,
                         .far_fd = -1,
                         .source_at = *source,
                         .original = *original};
    stats_refused(&worker->stats, direction, err->code);
    stats_failed(&worker->stats, &ghost, worker->config->id.text, err->code);
    access_write(worker->config, &ghost, err);
}

struct conn *conn_new(struct worker *worker, enum conn_direction direction, int fd,
                      const struct addr_port *source, const struct addr_port *original)
{
    struct err err;
    struct conn *conn = NULL;
    if (ceiling_take(worker->ceiling, direction, &err) == ERR_OK) {
        conn = calloc(1, sizeof *conn);
        if (!conn) {
            ceiling_give(worker->ceiling, direction);
            err_set(&err, ERR_NO_MEMORY, "no memory for a connection");
        }
    }
    if (!conn) {
        socket_close_reset(fd);
        conn_refused(worker, direction, source, original, &err);
        return NULL;
    }
    conn->worker = worker;
    conn->direction = (uint8_t)direction;
    conn->started_ms = clock_now_ms();
    conn->near_fd = fd;
    conn->far_fd = -1;
    conn->source_at = *source;
    conn->original = *original;
    conn->u.opening.watch.fd = -1;
    worker_add(worker, conn);
    stats_gauge_add(&worker->stats, direction, STATS_OPEN, 1);
    return conn;
}

void conn_fail(struct conn *conn, const struct err *err)
{
    struct worker *worker = conn->worker;
    cancel_step(conn);
    conn_unwatch(conn);
    if (conn->near_fd >= 0)
        socket_close_reset(conn->near_fd);
    if (conn->far_fd >= 0)
        socket_close_reset(conn->far_fd);
    stats_refused(&worker->stats, direction_of(conn), err->code);
    stats_failed(&worker->stats, conn, worker->config->id.text, err->code);
    access_write(worker->config, conn, err);
    free_conn(conn);
}

void conn_abort(struct conn *conn, enum err_code code)
{
    if (conn->state == CONN_OPEN) {
        relay_abort(&conn->u.relay, code);
        return;
    }
    struct err err;
    err_set(&err, code, "%s", err_sentence(code));
    conn_fail(conn, &err);
}

bool conn_knock(struct conn *conn, bool mesh, struct err *err)
{
    struct worker *worker = conn->worker;
    int room = ceiling_room(worker->ceiling, direction_of(conn));
    conn->place = door_enter(&worker->door, &conn->source_at.ip, mesh, room, err);
    if (conn->place)
        stats_gauge_add(&worker->stats, direction_of(conn), STATS_UNPROVEN, 1);
    return conn->place != 0;
}

void conn_proven(struct conn *conn)
{
    if (!conn->place)
        return;
    door_leave(&conn->worker->door, conn->place);
    conn->place = 0;
    stats_gauge_add(stats_of(conn), direction_of(conn), STATS_UNPROVEN, -1);
}

/* --- the near socket while it is not relayed ------------------------------------------------- */

bool conn_near_gone(struct conn *conn, uint32_t events)
{
    if (!(events & (EPOLLERR | EPOLLHUP)))
        return false;
    struct err err;
    bool outbound = conn->direction == CONN_OUTBOUND;
    err_set(&err, outbound ? ERR_CONN_APP_RESET : ERR_CONN_RESET, "%s",
            outbound ? "the application reset the connection before it was established"
                     : "the client reset the connection before it was established");
    conn_fail(conn, &err);
    return true;
}

static void on_watch(struct poll_item *item, uint32_t events)
{
    conn_near_gone(CONN_OF(item, u.opening.watch), events);
}

bool conn_watch(struct conn *conn, void (*on_events)(struct poll_item *, uint32_t))
{
    struct err err;
    if (poll_item_add(&conn->worker->loop, &conn->u.opening.watch, conn->near_fd,
                      on_events ? on_events : on_watch, &err) == ERR_OK)
        return true;
    conn_fail(conn, &err);
    return false;
}

void conn_unwatch(struct conn *conn)
{
    poll_item_remove(&conn->worker->loop, &conn->u.opening.watch);
}

/* --- steps ---------------------------------------------------------------------------------- */

void conn_hold(struct conn *conn, void (*on_wake)(struct hold *, bool), const struct err *why)
{
    struct err err = *why;
    struct worker *worker = conn->worker;
    int64_t due_ms = conn->started_ms + worker->config->hold_ms;
    if (due_ms <= clock_now_ms()) {
        conn_fail(conn, &err);
        return;
    }
    if (hold_start(&worker->holds[conn->direction], &conn->u.opening.step.hold, due_ms, on_wake,
                   &err) != ERR_OK) {
        conn_fail(conn, &err);
        return;
    }
    conn->state = CONN_HELD;
    stats_gauge_add(&worker->stats, direction_of(conn), STATS_HELD, 1);
}

void conn_connect(struct conn *conn, const struct addr_port *target,
                  void (*on_done)(struct connect *, int, struct err *))
{
    struct err err;
    struct worker *worker = conn->worker;
    conn->target = *target;
    if (connect_start(&conn->u.opening.step.connect, &worker->env, target, &worker->limits,
                      worker->config->connect_timeout_ms, on_done, &err) == ERR_OK)
        conn->state = CONN_CONNECTING;
    else
        conn_fail(conn, &err);
}

void conn_handshake(struct conn *conn, int fd,
                    void (*on_done)(struct handshake *, enum err_code, struct err *))
{
    struct err err;
    struct worker *worker = conn->worker;
    conn->tls_used = true;
    if (handshake_start(&conn->u.opening.step.handshake, &worker->env, fd, conn->tls,
                        worker->config->handshake_timeout_ms, on_done, &err) != ERR_OK) {
        stats_handshake_failed(&worker->stats, direction_of(conn), err.code);
        conn_fail(conn, &err);
        return;
    }
    conn->state = CONN_HANDSHAKING;
    stats_gauge_add(&worker->stats, direction_of(conn), STATS_HANDSHAKES, 1);
}

bool conn_handshake_done(struct conn *conn, struct handshake *handshake)
{
    const struct tls_peer *proven = tls_conn_peer(conn->tls);
    conn->early = handshake->early;
    conn->early_len = (uint32_t)handshake->early_len;
    conn->peer = malloc(sizeof *conn->peer + proven->id.len + 1u);
    if (!conn->peer) {
        struct err err;
        err_set(&err, ERR_NO_MEMORY, "no memory for the peer's identity");
        conn_fail(conn, &err);
        return false;
    }
    ref_init(&conn->peer->ref);
    conn->peer->not_after_s = proven->not_after_s;
    memcpy(conn->peer->serial, proven->serial, sizeof conn->peer->serial);
    conn->peer->id_len = proven->id.len;
    memcpy(conn->peer->id, proven->id.text, proven->id.len);
    conn->peer->id[proven->id.len] = 0;
    return true;
}

/* --- the relay ------------------------------------------------------------------------------ */

void conn_count_bytes(struct conn *conn)
{
    if (conn->state != CONN_OPEN || !conn->row)
        return;
    uint64_t request = conn_request_bytes(conn), response = conn_response_bytes(conn);
    metrics_add(conn->row, STATS_RECEIVED, request - conn->counted[0]);
    metrics_add(conn->row, STATS_SENT, response - conn->counted[1]);
    conn->counted[0] = request;
    conn->counted[1] = response;
}

/* Says which side it was: the relay only knows that one of its two sockets failed. */
static void explain_end(const struct conn *conn, int side, struct err *err)
{
    char at[ADDR_TEXT_MAX];
    bool app = side == (conn->direction == CONN_OUTBOUND ? 0 : 1);
    if (conn->denial)
        err_set(err, conn->denial->code, "%s", conn->denial->text);
    else if (side < 0)
        return;
    else if (err->code == ERR_CONN_RESET && app)
        err_set(err, ERR_CONN_APP_RESET, "the application reset the connection");
    else
        err_wrap(err, "%s %s", app ? "application at" : "peer",
                 addr_port_format(side == 0 ? &conn->source_at : &conn->target, at));
}

static void on_relay_end(struct relay *relay, enum err_code code, int side, struct err *err)
{
    struct conn *conn = CONN_OF(relay, u.relay);
    struct worker *worker = conn->worker;
    const char *own_id = worker->config->id.text;
    struct err reason = {.code = code};
    if (code != ERR_OK) {
        if (err && err->text[0])
            reason = *err;
        else
            err_set(&reason, code, "%s", err_sentence(code));
        reason.code = code;
        explain_end(conn, side, &reason);
    }
    conn_count_bytes(conn);
    const char *flags = code == ERR_OK ? "-" : err_label(reason.code);
    metrics_add(stats_tcp_row(&worker->stats, conn, own_id, flags), STATS_CLOSED, 1);
    if (code != ERR_OK)
        stats_failed(&worker->stats, conn, own_id, reason.code);
    access_write(worker->config, conn, &reason);
    free_conn(conn);
}

void conn_relay(struct conn *conn)
{
    struct err err = {0};
    struct worker *worker = conn->worker;
    bool outbound = conn->direction == CONN_OUTBOUND;
    struct relay_socket near = {.fd = conn->near_fd}, far = {.fd = conn->far_fd};
    struct relay_socket *peer = outbound ? &far : &near;
    cancel_step(conn);
    conn_unwatch(conn);
    peer->tls = conn->tls;
    peer->early = conn->early;
    peer->early_len = conn->early_len;
    conn->near_fd = conn->far_fd = -1;
    conn->tls = NULL;
    conn->early = NULL;
    if (relay_start(&conn->u.relay, &worker->env, &near, &far, on_relay_end, &err) != ERR_OK) {
        conn->u.opening.watch.fd = -1;
        conn_fail(conn, &err);
        return;
    }
    conn->state = CONN_OPEN;
    give_turn(conn);
    conn->row = stats_tcp_row(&worker->stats, conn, worker->config->id.text, "-");
    metrics_add(conn->row, STATS_OPENED, 1);
}
