/* The authority in a Secret: every replica follows it, and the first one makes it.
 *
 *   the Secret is there -> adopted -> on_changed; again whenever it changes
 *   it is not           -> made, by whoever's POST comes first; everybody adopts what came of it.
 *                          Tried for as long as it takes
 *   it cannot be used   -> a sentence in the log; what was in use stays
 *
 * A Secret with tls.crt, tls.key and ca.crt, which somebody else keeps (cert-manager), is followed
 * and never written. Loop thread. */
#ifndef KUBE_AUTHORITY_H
#define KUBE_AUTHORITY_H

#include "control/ca_state.h"
#include "control/kube_keeper.h"
#include "loop/timer.h"

enum { AUTHORITY_RETRY_MS = 3000 };

struct kube_authority {
    struct kube_keeper *keeper; /* borrowed, as all up to on_changed */
    struct timers *timers;
    const char *secret;     /* its name */
    bool foreign;           /* somebody else keeps it */
    struct ca_state *state; /* zeroed, lock_fd -1 */
    void (*on_changed)(struct kube_authority *authority);

    struct kube_reflector *reflector; /* private, as all here */
    struct kube_call *call;
    struct timer retry; /* of making it */
    json_t *object;     /* the Secret that was adopted; NULL: none yet */
    bool refused;       /* the Secret that is there cannot be used */
};

/* ERR_NO_MEMORY and others of kube_reflector_start. */
enum err_code kube_authority_start(struct kube_authority *authority, struct err *err);
/* Signs the issuing certificate anew when it is time; for the leader, again and again. */
void kube_authority_renew(struct kube_authority *authority);
void kube_authority_close(struct kube_authority *authority);

#endif
