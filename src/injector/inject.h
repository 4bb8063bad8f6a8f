/* The injection: a pod in, a JSON Patch or a reason out. Pure; the webhook and `handfast inject`
 * both call this. One thread.
 *
 * What is added (sidecar.h says it in full): handfast-redirect as an init container,
 * handfast-proxy, three volumes, the annotation handfast.io/status; and the application's probes go
 * through the proxy (probe.h).
 *
 * Where it is added. With native sidecars (Kubernetes 1.29 and later) redirect and proxy are the
 * first two init containers, and the proxy is ready before the next one starts: the pod's own init
 * containers are in the mesh, and so is the application until its end, because the kubelet ends
 * native sidecars last; Jobs end, because it does not wait for them. Without native sidecars an
 * init container cannot have a proxy beside it. There the redirect is the last init container, so
 * that those before it reach the network as if there were no mesh (as with Istio's init container),
 * the proxy is the first container, and its hooks hold the application until it is ready and keep
 * it while the application lives. A Job's pod never ends then, and its author is warned. */
#ifndef INJECTOR_INJECT_H
#define INJECTOR_INJECT_H

#include "injector/settings.h"

enum inject_outcome {
    INJECT_DONE,         /* there is a patch */
    INJECT_ALREADY,      /* it has its sidecar */
    INJECT_OPTED_OUT,    /* it says no */
    INJECT_HOST_NETWORK, /* it cannot have one, for these three reasons */
    INJECT_WINDOWS,
    INJECT_STATIC_POD,
    INJECT_REFUSED, /* it must not be created as it is: err says why */
    INJECT_OUTCOME_COUNT_
};

struct inject_result {
    enum inject_outcome outcome;
    json_t *patch;    /* operations (RFC 6902); an empty array unless INJECT_DONE */
    json_t *warnings; /* sentences, an array */
    struct err err;   /* INJECT_REFUSED: ERR_INVALID for the pod's author; ERR_NO_MEMORY */
};

/* Decides about `pod`, a Pod or a pod template (metadata and spec), which is read only. `for_job`:
 * a Job makes pods of this template. */
void inject_pod(json_t *pod, const struct settings *settings, bool for_job,
                struct inject_result *result);
void inject_result_deinit(struct inject_result *result);

/* "injected", "opted_out": stable, for metrics and logs. */
const char *inject_outcome_name(enum inject_outcome outcome);

#endif
