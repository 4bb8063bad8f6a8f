#include "proxy/worker.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "proxy/inbound.h"
#include "proxy/outbound.h"
#include "proxy/policy.h"

/* --- making and ending one ------------------------------------------------------------------ */

static void on_handle_closed(struct worker *worker)
{
    if (--worker->closing > 0)
        return;
    relay_env_deinit(&worker->env);
    loop_stop(&worker->loop);
}

static void on_timers_closed(struct timers *timers)
{
    on_handle_closed((struct worker *)((char *)timers - offsetof(struct worker, timers)));
}

static void on_mailbox_closed(struct mailbox *mailbox)
{
    on_handle_closed((struct worker *)((char *)mailbox - offsetof(struct worker, mailbox)));
}

static void close_handles(struct worker *worker)
{
    worker->closing = 2;
    timers_close(&worker->timers, on_timers_closed);
    mailbox_close(&worker->mailbox, on_mailbox_closed);
}

/* Undoes the part of worker_init() that worked: the loop has to run to close its handles. */
static enum err_code undo_init(struct worker *worker, const struct err *err)
{
    worker->closing = 1;
    timers_close(&worker->timers, on_timers_closed);
    loop_run(&worker->loop);
    loop_deinit(&worker->loop);
    return err->code;
}

enum err_code worker_init(struct worker *worker, unsigned index, const struct config *config,
                          struct ceiling *ceiling, struct metrics *registry, struct err *err)
{
    *worker = (struct worker){
        .index = index,
        .config = config,
        .ceiling = ceiling,
        .limits = {.user_timeout_ms = (int)config->user_timeout_ms},
    };
    static const char *const whose[2] = {"outbound connections", "inbound connections"};
    for (int i = 0; i < 2; i++)
        worker->holds[i] = (struct hold_queue){
            .whose = whose[i], .timers = &worker->timers, .max = WORKER_HOLDS_MAX};
    door_init(&worker->door, ceiling->share);
    for (int i = 0; i < WORKER_LISTENERS; i++)
        worker->listeners[i].item.fd = -1;
    if (stats_init(&worker->stats, registry, err) != ERR_OK ||
        loop_init(&worker->loop, err) != ERR_OK)
        return err->code;
    if (timers_init(&worker->timers, &worker->loop, err) != ERR_OK) {
        loop_deinit(&worker->loop);
        return err->code;
    }
    if (relay_env_init(&worker->env, &worker->loop, &worker->timers, err) != ERR_OK ||
        mailbox_open(&worker->mailbox, &worker->loop, worker, err) != ERR_OK)
        return undo_init(worker, err);
    worker->env.user_timeout_ms = config->user_timeout_ms;
    balance_init(&worker->balance, &worker->timers);
    return ERR_OK;
}

void worker_deinit(struct worker *worker)
{
    view_unref(worker->view);
    balance_deinit(&worker->balance);
    loop_deinit(&worker->loop);
}

/* --- listeners ------------------------------------------------------------------------------ */

static void on_outbound(struct listener *listener, int fd, const struct addr_port *source,
                        const struct addr_port *original)
{
    outbound_start(listener->owner, fd, source, original);
}

static void on_inbound(struct listener *listener, int fd, const struct addr_port *source,
                       const struct addr_port *original)
{
    inbound_start(listener->owner, fd, source, original);
}

static void on_refuse_outbound(struct listener *listener, const struct addr_port *source,
                               const struct addr_port *original, const struct err *err)
{
    conn_refused(listener->owner, CONN_OUTBOUND, source, original, err);
}

static void on_refuse_inbound(struct listener *listener, const struct addr_port *source,
                              const struct addr_port *original, const struct err *err)
{
    conn_refused(listener->owner, CONN_INBOUND, source, original, err);
}

enum { LISTENER_INBOUND = 1, LISTENER_IPV6 = 2 }; /* bits of a listener's place in the array */

static enum err_code open_listener(struct worker *worker, int place, struct err *err)
{
    const struct config *config = worker->config;
    struct listener *listener = &worker->listeners[place];
    bool inbound = place & LISTENER_INBOUND;
    struct addr_port at = {.ip.len = place & LISTENER_IPV6 ? 16 : 4,
                           .port =
                               (uint16_t)(inbound ? config->inbound_port : config->outbound_port)};
    *listener = (struct listener){
        .limits = worker->limits,
        .own = {.outbound = (uint16_t)config->outbound_port,
                .inbound = (uint16_t)config->inbound_port},
        .owner = worker,
        .on_accept = inbound ? on_inbound : on_outbound,
        .on_refuse = inbound ? on_refuse_inbound : on_refuse_outbound,
    };
    return listener_open(listener, &worker->loop, &worker->timers, &at, err);
}

enum err_code worker_listen(struct worker *worker, struct err *err)
{
    for (int place = 0; place < WORKER_LISTENERS; place++) {
        if (open_listener(worker, place, err) == ERR_OK)
            continue;
        if ((place & LISTENER_IPV6) && (err->sys == EAFNOSUPPORT || err->sys == EADDRNOTAVAIL)) {
            LOG_WARN("no_ipv6", F_INT("worker", worker->index), F_ERR(err));
            continue;
        }
        for (int i = 0; i < place; i++)
            listener_close(&worker->listeners[i]);
        return err->code;
    }
    return ERR_OK;
}

static void *run(void *arg)
{
    struct worker *worker = arg;
    char name[16];
    snprintf(name, sizeof name, "worker-%u", worker->index);
    pthread_setname_np(pthread_self(), name);
    loop_run(&worker->loop);
    if (worker->on_ended)
        worker->on_ended(worker, worker->on_ended_arg);
    return NULL;
}

enum err_code worker_start(struct worker *worker, struct err *err)
{
    int failed = pthread_create(&worker->thread, NULL, run, worker);
    return failed ? err_sys(err, ERR_SYSTEM, failed, "start worker thread %u", worker->index)
                  : ERR_OK;
}

/* --- the live list -------------------------------------------------------------------------- */

static void on_count(struct timer *timer)
{
    struct worker *worker = (struct worker *)((char *)timer - offsetof(struct worker, count_timer));
    unsigned left = WORKER_COUNT_CHUNK;
    if (!worker->count_at)
        worker->count_at = worker->conns;
    for (; worker->count_at && left > 0; left--) {
        conn_count_bytes(worker->count_at);
        worker->count_at = worker->count_at->next;
    }
    if (worker->conns)
        timer_start(&worker->timers, timer, worker->count_at ? 1 : WORKER_COUNT_MS, on_count);
}

void worker_add(struct worker *worker, struct conn *conn)
{
    conn->id = worker->next_id++ * CONFIG_WORKERS_MAX + worker->index;
    conn->next = worker->conns;
    conn->link = &worker->conns;
    if (conn->next)
        conn->next->link = &conn->next;
    worker->conns = conn;
    worker->conn_count++;
    if (!worker->count_timer.slot)
        timer_start(&worker->timers, &worker->count_timer, WORKER_COUNT_MS, on_count);
}

void worker_remove(struct worker *worker, struct conn *conn)
{
    if (worker->count_at == conn)
        worker->count_at = conn->next;
    if (worker->recheck_at == conn)
        worker->recheck_at = conn->next;
    *conn->link = conn->next;
    if (conn->next)
        conn->next->link = conn->link;
    worker->conn_count--;
    if (worker->stopping && worker->conn_count == 0)
        close_handles(worker);
}

/* --- views ---------------------------------------------------------------------------------- */

static void on_recheck(struct timer *timer);

static void begin_walk(struct worker *worker)
{
    worker->recheck_at = worker->conns;
    worker->pending_seen = false;
}

/* A walk under way is not sent back to its start, or policies that come fast would keep it from the
 * oldest connections for ever; whom it has passed is asked in the next one. */
static void start_recheck(struct worker *worker)
{
    if (worker->recheck_at) {
        worker->recheck_again = true;
        return;
    }
    begin_walk(worker);
    timer_start(&worker->timers, &worker->recheck_timer, 0, on_recheck);
}

static void on_pending_due(struct timer *timer)
{
    struct worker *worker =
        (struct worker *)((char *)timer - offsetof(struct worker, pending_timer));
    worker->pending_late = true;
    start_recheck(worker);
}

/* True when the connection may stay although its verdict is pending: who came before the policy
 * that is missing waits for it like who comes now, hold_ms from when it was missed first. */
static bool wait_for_policy(struct worker *worker)
{
    worker->pending_seen = true;
    return worker->pending_timer.slot || timer_start(&worker->timers, &worker->pending_timer,
                                                     worker->config->hold_ms, on_pending_due);
}

static bool recheck(struct conn *conn, bool late)
{
    return conn->direction == CONN_INBOUND ? inbound_recheck(conn, late)
                                           : outbound_recheck(conn, late);
}

static void on_recheck(struct timer *timer)
{
    struct worker *worker =
        (struct worker *)((char *)timer - offsetof(struct worker, recheck_timer));
    for (unsigned left = WORKER_RECHECK_CHUNK; worker->recheck_at && left > 0; left--) {
        struct conn *conn = worker->recheck_at;
        worker->recheck_at = conn->next;
        if (recheck(conn, worker->pending_late) && !wait_for_policy(worker))
            recheck(conn, true);
    }
    if (!worker->recheck_at && worker->recheck_again) {
        worker->recheck_again = false;
        begin_walk(worker);
    }
    if (worker->recheck_at) {
        timer_start(&worker->timers, timer, WORKER_RECHECK_PAUSE_MS, on_recheck);
    } else if (!worker->pending_seen) {
        timer_stop(&worker->timers, &worker->pending_timer);
        worker->pending_late = false;
    }
}

/* Handshakes that began under the old bundle end under the new one. */
static void change_trust(struct worker *worker, struct tls_context *context)
{
    for (struct conn *conn = worker->conns, *next; conn; conn = next) {
        next = conn->next;
        if (conn->state != CONN_HANDSHAKING)
            continue;
        if (context)
            tls_conn_trust(conn->tls, context);
        else
            conn_abort(conn, ERR_CONN_NOT_READY);
    }
}

void worker_set_view(struct worker *worker, struct view *view)
{
    struct view *before = worker->view;
    worker->view = view_ref(view);
    if (before && before->context &&
        !(view->context && tls_context_same_trust(before->context, view->context)))
        change_trust(worker, view->context);
    hold_wake_all(&worker->holds[CONN_OUTBOUND]);
    hold_wake_all(&worker->holds[CONN_INBOUND]);
    if (before && policy_changed(worker->config, before, view))
        start_recheck(worker);
    view_unref(before);
}

void worker_drain(struct worker *worker)
{
    for (int place = 0; place < WORKER_LISTENERS; place++) {
        if (place & LISTENER_INBOUND)
            listener_close(&worker->listeners[place]);
    }
}

void worker_stop(struct worker *worker)
{
    if (worker->stopping)
        return;
    for (int place = 0; place < WORKER_LISTENERS; place++)
        listener_close(&worker->listeners[place]);
    for (struct conn *conn = worker->conns, *next; conn; conn = next) {
        next = conn->next;
        conn_abort(conn, ERR_CONN_DRAINED);
    }
    worker->stopping = true;
    if (worker->conn_count == 0)
        close_handles(worker);
}

/* --- mail ----------------------------------------------------------------------------------- */

struct worker_mail {
    struct mail mail;
    struct view *view;
    void (*act)(struct worker *worker);
};

static void discard(struct mail *mail)
{
    struct worker_mail *order = (struct worker_mail *)mail;
    view_unref(order->view);
    free(order);
}

static void deliver(struct mail *mail, void *owner)
{
    struct worker_mail *order = (struct worker_mail *)mail;
    if (order->view)
        worker_set_view(owner, order->view);
    else
        order->act(owner);
    discard(mail);
}

static bool post(struct worker *worker, struct view *view, void (*act)(struct worker *))
{
    struct worker_mail *order = calloc(1, sizeof *order);
    if (!order)
        return false;
    *order = (struct worker_mail){.mail = {.deliver = deliver, .discard = discard},
                                  .view = view ? view_ref(view) : NULL,
                                  .act = act};
    mailbox_post(&worker->mailbox, &order->mail);
    return true;
}

bool worker_post_view(struct worker *worker, struct view *view)
{
    return post(worker, view, NULL);
}

bool worker_post_drain(struct worker *worker)
{
    return post(worker, NULL, worker_drain);
}

bool worker_post_stop(struct worker *worker)
{
    return post(worker, NULL, worker_stop);
}
