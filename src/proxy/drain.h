/* The end of the pod: readiness false, no new inbound connections, outbound goes on until the last
 * connection has ended or the grace period has. Main loop. */
#ifndef DRAIN_H
#define DRAIN_H

#include "proxy/worker.h"

enum { DRAIN_POLL_MS = 50 }; /* how often the number of live connections is looked at */

struct drain {
    const struct config *config;
    struct timers *timers;
    struct worker *workers; /* they run until on_done */
    unsigned worker_count;
    struct ceiling *ceiling;
    void *owner;
    /* Draining began, once. */
    void (*on_begin)(struct drain *drain);
    /* Nothing is left, or the time is up, or it was asked for twice: stop the workers. Once. */
    void (*on_done)(struct drain *drain);

    bool begun, ending, done;
    struct timer deadline, poll;
};

/* POST /drain: not ready, no new inbound connections; the program goes on. */
void drain_begin(struct drain *drain);
/* SIGTERM: the same, and the program ends. The second time it ends at once. */
void drain_and_end(struct drain *drain);

#endif
