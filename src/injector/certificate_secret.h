/* A certificate from a Secret of the cluster, which the control plane makes and renews: followed
 * through the API server, so that a new one is in use within a moment. A Secret that cannot be used
 * leaves the last good one. Loop thread. */
#ifndef INJECTOR_CERTIFICATE_SECRET_H
#define INJECTOR_CERTIFICATE_SECRET_H

#include "injector/certificate.h"
#include "kube/reflector.h"

struct certificate_secret {
    struct webhook_certificate base; /* first */
    const char *name, *kubeconfig;
    struct kube_config access;
    struct kube_client *client;
    struct kube_reflector *reflector;
};

/* The Secret `name` (tls.crt, tls.key) in our own namespace; `kubeconfig` NULL: we run in a pod.
 * Both are borrowed. Its start fails without a cluster: ERR_NOT_FOUND, ERR_INVALID and others; a
 * Secret that is not there yet is waited for. */
void certificate_secret_init(struct certificate_secret *secret, const char *name,
                             const char *kubeconfig);

#endif
