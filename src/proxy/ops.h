/* What operators, Prometheus and the kubelet ask: the admin socket, /metrics, /healthz/ready. The
 * HTTP server has a thread of its own; it says "ready" from atomics and passes every other question
 * to the main loop by mail, which owns what is asked about. */
#ifndef OPS_H
#define OPS_H

#include <stdatomic.h>

#include "admin/http.h"
#include "loop/mailbox.h"
#include "proxy/control.h"
#include "proxy/drain.h"
#include "proxy/probes.h"

enum { OPS_REASON_MAX = 64 + ERR_TEXT_MAX };

enum ops_state {
    OPS_NO_CERTIFICATE,
    OPS_NO_CONFIGURATION,
    OPS_READY,
    OPS_DRAINING,
};

struct ops {
    const struct config *config;
    struct control *control;
    struct drain *drain;
    struct probes *probes;
    struct metrics *registry;
    struct worker *workers;
    unsigned worker_count;
    struct mailbox *main_box;
    int64_t started_ms;
    struct admin_http *http;
    struct admin_http_route *health_routes; /* own: /healthz/ready, and one for each probe */
    bool stopped;
    atomic_int state; /* enum ops_state */
    atomic_llong not_after_s;
};

/* Starts the server; everything above `http` is set by the caller. ERR_SYSTEM, ERR_NO_MEMORY, and
 * then there is nothing to undo. Main thread. */
enum err_code ops_start(struct ops *ops, struct err *err);
/* Stops it; questions that are still in the mail are answered with a refusal. Harmless when it was
 * not started. Main thread. */
void ops_stop(struct ops *ops);

/* What readiness depends on. Main thread. */
void ops_set_view(struct ops *ops, const struct view *view);
void ops_set_draining(struct ops *ops);

/* True, or *reason is a sentence, a constant. Any thread. */
bool ops_ready(const struct ops *ops, const char **reason);
/* The sentence, and behind it what is known of the cause; NULL when it is ready. Printable. Main
 * thread. */
const char *ops_explain(const struct ops *ops, char text[OPS_REASON_MAX]);

#endif
