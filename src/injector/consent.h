/* Whether a pod is to have a sidecar at all. Pure. */
#ifndef INJECTOR_CONSENT_H
#define INJECTOR_CONSENT_H

#include "injector/inject.h"
#include "injector/pod.h"

/* INJECT_DONE: go on; anything else: leave the pod alone, `warnings` may say why.
 *
 * The label handfast.io/inject of the pod counts before its annotation of that name, and both
 * before Istio's sidecar.istio.io/inject (label, then annotation); none of them is a yes, since
 * whoever asks has been asked for this namespace. INJECT_REFUSED with ERR_INVALID for a value that
 * is neither yes nor no. */
enum inject_outcome consent_ask(const struct pod *pod, json_t *warnings, struct err *err);

#endif
