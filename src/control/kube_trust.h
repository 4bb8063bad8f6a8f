/* The trust bundle as a ConfigMap in every namespace that asks for sidecars, and in our own: pods
 * mount it before they can ask anybody. The leader writes. Loop thread. */
#ifndef KUBE_TRUST_H
#define KUBE_TRUST_H

#include "base/map.h"
#include "control/kube_keeper.h"
#include "loop/timer.h"

#define TRUST_CONFIG_MAP "handfast-ca-root-cert"
#define TRUST_KEY "root-cert.pem"

enum {
    TRUST_RETRY_MS = 5000,
    TRUST_CALLS_MAX = 16, /* writes at once: the Lease shares the connection */
    TRUST_MAX = 64 << 10, /* bytes of a bundle that is looked at */
};

struct kube_trust {
    struct kube_keeper *keeper; /* borrowed, as `timers` */
    struct timers *timers;

    char *pem;             /* private, as all here: the bundle; NULL: not known yet */
    struct map namespaces; /* that are to have it: name -> a `struct trust_place` */
    struct kube_reflector *spaces, *maps;
    struct timer retry;
    unsigned calls;
    size_t turn;  /* where to go on: those that fail must not be in the way of others */
    bool waiting; /* somebody had no turn */
};

enum err_code kube_trust_start(struct kube_trust *trust, struct err *err);
/* A new bundle, PEM. ERR_NO_MEMORY: the old one stays. */
enum err_code kube_trust_set(struct kube_trust *trust, const char *pem, struct err *err);
/* Looks at every namespace again: for a new leader. */
void kube_trust_check(struct kube_trust *trust);
void kube_trust_close(struct kube_trust *trust);

#endif
