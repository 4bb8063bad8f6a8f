/* Who of the replicas does what only one may do (coordination.k8s.io/v1 Lease). Loop thread.
 *
 *   nobody holds it, or its holder has not renewed for LEASE_LIFE_S by our own clock -> taken
 *   renewed every LEASE_RENEW_MS; not for LEASE_YIELD_MS -> no longer leading, before another can
 *   closed -> given back, so that the next one need not wait
 *
 * Clocks of different nodes are never compared. */
#ifndef KUBE_LEASE_H
#define KUBE_LEASE_H

#include "control/kube_keeper.h"
#include "loop/timer.h"

enum { LEASE_LIFE_S = 10, LEASE_RENEW_MS = 2000, LEASE_YIELD_MS = 7000, LEASE_GIVE_BACK_MS = 1000 };

struct kube_lease {
    struct kube_keeper *keeper; /* borrowed; its `leading` is ours */
    struct timers *timers;
    const char *name, *holder;                    /* the Lease, and this replica */
    void (*on_leading)(struct kube_lease *lease); /* from now on; may be NULL */

    struct timer timer; /* private, as all here */
    struct timer yield; /* runs while leading */
    struct kube_call *call;
    json_t *seen;     /* the Lease's spec as it was last seen to change */
    int64_t seen_ms;  /* when, monotonic */
    int64_t asked_ms; /* when the call under way was sent */
    uint64_t transitions;
    void (*on_closed)(struct kube_lease *lease);
};

void kube_lease_start(struct kube_lease *lease);
/* on_closed comes once, at the earliest inside this; LEASE_GIVE_BACK_MS later at the latest. */
void kube_lease_close(struct kube_lease *lease, void (*on_closed)(struct kube_lease *lease));

#endif
