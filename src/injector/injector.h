/* The webhook as one process: wires the parts together, starts them and ends them.
 *
 *   certificate -> gate (15017, TLS) -> local socket -> webhook (HTTP) -> review -> inject_pod
 *
 * The loop runs on the thread that calls injector_run(); HTTP has one of its own. */
#ifndef INJECTOR_H
#define INJECTOR_H

#include "injector/certificate_files.h"
#include "injector/certificate_secret.h"
#include "injector/config.h"
#include "injector/webhook.h"

enum { INJECTOR_SIGNALS = 2 };

struct injector {
    const struct injector_config *config;
    struct loop loop;
    struct timers timers;
    struct relay_env env;
    uv_signal_t signals[INJECTOR_SIGNALS];
    struct gate_tally tally;
    struct gate gate;
    struct webhook webhook;
    struct certificate_files files; /* one of these two */
    struct certificate_secret secret;
    struct webhook_certificate *certificate; /* the provider in use */
    struct timer drain;
    bool draining, ending;
    unsigned closing; /* handles of the loop that are still there */
};

/* Starts everything; 15017 answers as soon as injector_run() is called. `config` is borrowed. On
 * failure the process is meant to end: not all is undone. */
enum err_code injector_start(struct injector *injector, const struct injector_config *config,
                             struct err *err);
/* Runs until SIGTERM or SIGINT. Then /healthz says no, and requests are still answered for
 * --drain-ms, until nobody sends any more; a second signal ends at once. Everything is freed when
 * it returns. */
void injector_run(struct injector *injector);

#endif
