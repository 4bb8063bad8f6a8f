/* A thread with a loop of its own, listeners and the connections they accepted. Workers share
 * nothing but const values: views come by mail, counters are the worker's own. */
#ifndef WORKER_H
#define WORKER_H

#include <pthread.h>

#include "loop/mailbox.h"
#include "proxy/balance.h"
#include "proxy/ceiling.h"
#include "proxy/config.h"
#include "proxy/conn.h"
#include "proxy/door.h"
#include "proxy/hold.h"
#include "proxy/listener.h"
#include "proxy/stats.h"
#include "proxy/view.h"

enum {
    WORKER_LISTENERS = 4,       /* outbound and inbound, IPv4 and IPv6 */
    WORKER_HOLDS_MAX = 4096,    /* in each direction */
    WORKER_RECHECK_CHUNK = 256, /* connections asked again about policy in one turn */
    WORKER_RECHECK_PAUSE_MS = 1,
    WORKER_COUNT_MS = 1000, /* how often the bytes of live connections reach the metrics */
    WORKER_COUNT_CHUNK = 1024,
};

struct worker {
    struct loop loop;
    struct timers timers;
    struct relay_env env;
    struct mailbox mailbox;
    const struct config *config;
    struct ceiling *ceiling; /* of the whole process */
    unsigned index;
    struct socket_limits limits;
    struct listener listeners[WORKER_LISTENERS];
    struct view *view; /* own reference; NULL before the first */
    struct conn *conns;
    unsigned conn_count;
    uint64_t next_id;
    struct hold_queue holds[2]; /* by enum conn_direction */
    struct door door;
    struct balance balance;
    struct stats stats;
    struct timer count_timer, recheck_timer;
    struct conn *count_at, *recheck_at; /* where the two walks over conns go on; NULL: done */
    bool recheck_again;                 /* policy changed during the walk: one more */
    struct timer pending_timer; /* runs while live connections wait for a policy; then they end */
    bool pending_seen;          /* by the walk of recheck_at, so far */
    bool pending_late;          /* the time is over */
    bool stopping;
    unsigned closing; /* handles that are not closed yet */
    pthread_t thread;
    /* Called on the worker's thread as its last act; may be NULL. */
    void (*on_ended)(struct worker *worker, void *arg);
    void *on_ended_arg;
};

/* Everything but listeners and thread: for tests, which run the loop themselves. `config`,
 * `ceiling` and `registry` are borrowed. ERR_SYSTEM, ERR_NO_MEMORY, and then there is nothing to
 * undo. */
enum err_code worker_init(struct worker *worker, unsigned index, const struct config *config,
                          struct ceiling *ceiling, struct metrics *registry, struct err *err);
/* Opens the listeners. Before the loop runs. ERR_SYSTEM: none is open. IPv6 may be missing on the
 * machine; that is logged and no failure. */
enum err_code worker_listen(struct worker *worker, struct err *err);
/* Starts the thread. ERR_SYSTEM. */
enum err_code worker_start(struct worker *worker, struct err *err);
/* Frees what is left after the loop has run to its end (join the thread first). */
void worker_deinit(struct worker *worker);

/* --- from any thread, until the thread has ended --------------------------------------------- */

/* Gives the worker a new view; takes a reference. False: out of memory, nothing happened. */
bool worker_post_view(struct worker *worker, struct view *view);
/* Stops taking inbound connections. */
bool worker_post_drain(struct worker *worker);
/* Ends everything: live connections are reset with ERR_CONN_DRAINED, then the loop returns. */
bool worker_post_stop(struct worker *worker);

/* --- on the worker's thread ------------------------------------------------------------------ */

/* Swaps the view in: wakes who waits, judges the peers of handshakes under way by the new trust
 * bundle, and asks live inbound connections' policy again when it changed. Whom it does not allow
 * any more is reset, whose verdict is pending after hold_ms. */
void worker_set_view(struct worker *worker, struct view *view);
void worker_drain(struct worker *worker);
void worker_stop(struct worker *worker);
/* Enters a connection, which gets an id that no other of the process has, and removes it; the last
 * one lets a stopping worker end. */
void worker_add(struct worker *worker, struct conn *conn);
void worker_remove(struct worker *worker, struct conn *conn);

#endif
