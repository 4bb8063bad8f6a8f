/* The authority in a Secret: every replica follows it, and the first one makes it.
 *
 *   the Secret is there -> adopted -> on_changed; again whenever it changes
 *   it is not           -> made, by whoever's POST comes first; everybody adopts what came of it
 *   it cannot be used   -> a sentence in the log; what was in use stays
 *
 * A Secret with tls.crt, tls.key and ca.crt, which somebody else keeps (cert-manager), is followed
 * and never written. Loop thread. */
#ifndef KUBE_AUTHORITY_H
#define KUBE_AUTHORITY_H

#include "control/ca_state.h"
#include "control/kube_keeper.h"

struct kube_authority {
    struct kube_keeper *keeper; /* borrowed, as all up to on_changed */
    const char *secret;         /* its name */
    bool foreign;               /* somebody else keeps it */
    struct ca_state *state;     /* zeroed, lock_fd -1 */
    void (*on_changed)(struct kube_authority *authority);

    struct kube_reflector *reflector; /* private, as all here */
    struct kube_call *call;
    json_t *object; /* the Secret that was adopted; NULL: none yet */
};

/* ERR_NO_MEMORY and others of kube_reflector_start. */
enum err_code kube_authority_start(struct kube_authority *authority, struct err *err);
/* Signs the issuing certificate anew when it is time; for the leader, again and again. */
void kube_authority_renew(struct kube_authority *authority);
void kube_authority_close(struct kube_authority *authority);

#endif
