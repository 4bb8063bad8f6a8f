/* Status conditions of policies: what the control plane made of each, written by the leader when
 * there is something new to say. Loop thread. */
#ifndef KUBE_STATUS_H
#define KUBE_STATUS_H

#include "base/map.h"
#include "control/cluster.h"
#include "control/kube_keeper.h"
#include "loop/timer.h"

enum { STATUS_CALLS_MAX = 8, STATUS_RETRY_MS = 2000 };

struct kube_status {
    struct kube_keeper *keeper; /* borrowed, as `timers` */
    struct timers *timers;

    struct map entries; /* private, as all here: "kind/namespace/name" -> a `struct status_entry` */
    unsigned calls;
    size_t turn; /* where in `entries` to go on: one that fails again and again must not be in the
                  * way of others */
    struct timer retry;
};

void kube_status_init(struct kube_status *status);
/* An object as it came from the API server: remembers the condition that it carries, so that one
 * which says the same is not written again and keeps its lastTransitionTime. */
void kube_status_seen(struct kube_status *status, enum cluster_kind kind, const char *key,
                      const json_t *object);
void kube_status_gone(struct kube_status *status, enum cluster_kind kind, const char *key);
/* For cluster_events. Only policies of our own group have a condition written. */
void kube_status_verdict(struct kube_status *status, const struct cluster_verdict *verdict);
/* Writes what is due: for a new leader. */
void kube_status_check(struct kube_status *status);
void kube_status_deinit(struct kube_status *status);

#endif
