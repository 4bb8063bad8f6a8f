/* The injector's certificate, and the API server's trust in it: a Secret with a certificate that
 * our own authority issued, and the webhook's caBundle. The leader writes both, renews the one at
 * half its life and puts the other right whenever it is not. Loop thread. */
#ifndef KUBE_WEBHOOK_H
#define KUBE_WEBHOOK_H

#include "control/ca_state.h"
#include "control/kube_keeper.h"
#include "loop/timer.h"

#define WEBHOOK_SECRET "handfast-injector-tls"
#define WEBHOOK_NAME "handfast-injector"

enum { WEBHOOK_TTL_S = 30 * 86400, WEBHOOK_CHECK_MS = 60000, WEBHOOK_RETRY_MS = 5000 };

struct kube_webhook {
    struct kube_keeper *keeper; /* borrowed, as all up to dns_name */
    struct timers *timers;
    const struct ca_state *state;
    const char *dns_name; /* of the injector's Service */

    struct kube_reflector *secrets, *hooks; /* private, as all here */
    struct kube_call *secret_call, *hook_call;
    bool secrets_synced;
    char *secret_root; /* ca.crt of the Secret as it is, base64; NULL: there is none */
    int64_t renew_at_s;
    int64_t secret_ms, hook_ms; /* when each was written last, monotonic; 0: not yet */
    json_t *hook;               /* the webhook configuration as it is */
    struct timer timer;
};

enum err_code kube_webhook_start(struct kube_webhook *webhook, struct err *err);
/* Looks whether all is as it should be: for a new leader, and after a change of the authority. */
void kube_webhook_check(struct kube_webhook *webhook);
void kube_webhook_close(struct kube_webhook *webhook);

#endif
