/* What is asked over HTTP: POST /inject and GET /healthz behind the gate (15017), GET /metrics and
 * /healthz on 15014. Everything runs on the HTTP server's one thread, a review in about a
 * millisecond; what the loop thread knows it leaves in atomics. */
#ifndef INJECTOR_WEBHOOK_H
#define INJECTOR_WEBHOOK_H

#include "admin/http.h"
#include "admin/metrics.h"
#include "injector/gate.h"
#include "injector/review.h"

/* Room for eight of the largest requests, or thousands of usual ones. */
enum { WEBHOOK_BODIES_MAX = 8 * 3 * 1024 * 1024 };

struct webhook {
    /* set by the caller, borrowed */
    const struct settings *settings;
    const struct gate_tally *tally;
    /* private */
    struct admin_http *http;
    struct metrics *metrics;
    struct metrics_shard *shard;
    atomic_llong not_after_s; /* of the certificate; 0: there is none */
    atomic_bool ending;
};

/* Listens on a local socket for the webhook, whose address goes to *inside (in the abstract
 * namespace, which needs no file system and is as private as the pod's network), and on
 * `metrics_port` for the rest. ERR_SYSTEM, ERR_NO_MEMORY; then webhook_stop is due, too. */
enum err_code webhook_start(struct webhook *webhook, uint16_t metrics_port,
                            struct sockaddr_un *inside, socklen_t *inside_len, struct err *err);
/* The port for metrics. */
uint16_t webhook_metrics_port(const struct webhook *webhook);
/* What /healthz and the metrics say about the certificate. Any thread. */
void webhook_set_not_after(struct webhook *webhook, int64_t not_after_s);
/* From now on /healthz says no. Any thread. */
void webhook_set_ending(struct webhook *webhook);
/* Blocks until the running request has been answered. */
void webhook_stop(struct webhook *webhook);

#endif
