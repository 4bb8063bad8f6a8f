/* A call whose answer is handed over as it arrives: what requests and reflectors are made of. For
 * src/kube only; loop thread. */
#ifndef KUBE_CALL_H
#define KUBE_CALL_H

#include <stdbool.h>
#include <stddef.h>

#include "kube/client.h"
#include "kube/session.h"

struct kube_call_events {
    /* The status has come. May cancel the call. */
    void (*on_head)(struct kube_call *call, int status, int64_t retry_after_s, void *arg);
    /* Some bytes of the body. May cancel the call. */
    void (*on_bytes)(struct kube_call *call, const void *bytes, size_t len, void *arg);
    /* Once, later, from the loop: the answer is complete (ERR_OK), or why it is not. The call is
     * gone. */
    void (*on_end)(const struct err *err, void *arg);
    /* kube_call_cancel, so that nothing else comes: `arg` is not needed any more. NULL: nobody
     * cares. */
    void (*on_drop)(void *arg);
};

struct kube_call_spec {
    const char *method, *path;
    const char *content_type; /* of `body` */
    char *body;               /* malloc'd, taken, also on failure; NULL: none */
    size_t body_len;
    int64_t timeout_ms;
    bool endless; /* a watch: it does not hold up a connection that the server wants to end */
    const struct kube_call_events *events;
    void *arg;
};

/* NULL and the reason, as for kube_request. */
struct kube_call *kube_call_start(struct kube_client *client, const struct kube_call_spec *spec,
                                  struct err *err);
/* A new deadline, from now. */
void kube_call_set_deadline(struct kube_call *call, int64_t timeout_ms);
/* Ends the call: on_end(err) follows. Nothing else does. */
void kube_call_fail(struct kube_call *call, const struct err *err);

#endif
