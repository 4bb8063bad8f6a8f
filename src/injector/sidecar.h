/* What is added to a pod, as JSON. Pure; every function returns a new value, or NULL without
 * memory.
 *
 * Users and privileges. handfast-redirect runs as root with NET_ADMIN and nothing else: nf_tables
 * asks for the capability in effect, and a container gets added capabilities into effect as root
 * only (the kernel clears them for other users at exec, and Kubernetes has no ambient ones).
 * no_new_privs, which allowPrivilegeEscalation false sets, does not matter to a root that was
 * started as root. handfast-proxy runs as 1337, which the redirect's rules exempt, with nothing.
 *
 * Reading the token. The kubelet makes a projected token readable by its owner alone only when all
 * containers of the pod run as one user, and gives it to that user; with different users, as here
 * (0 and 1337), it is 0644, and with an fsGroup readable by that group, which every container of
 * the pod has. So a pod's fsGroup is left as it is. */
#ifndef INJECTOR_SIDECAR_H
#define INJECTOR_SIDECAR_H

#include "injector/pod.h"
#include "injector/settings.h"

#define SIDECAR_PROXY "handfast-proxy"
#define SIDECAR_REDIRECT "handfast-redirect"
/* volumes */
#define SIDECAR_RUN "handfast-run"
#define SIDECAR_TOKEN "handfast-token"
#define SIDECAR_TRUST "handfast-trust"

enum {
    SIDECAR_UID = 1337, /* and gid */
    SIDECAR_OUTBOUND_PORT = 15001,
    SIDECAR_INBOUND_PORT = 15006,
    SIDECAR_METRICS_PORT = 15020,
    SIDECAR_HEALTH_PORT = 15021
};

bool sidecar_owns_port(int64_t port);

/* The init container that sends the pod's TCP to the proxy. */
json_t *sidecar_redirect(const struct settings *settings, const struct choices *choices);
/* The proxy: an init container that goes on (`native`), or a container. `probes` is the text of
 * HANDFAST_APP_PROBES, or NULL. */
json_t *sidecar_proxy(const struct settings *settings, const struct choices *choices,
                      const struct pod *pod, bool native, const char *probes);
/* The three volumes, an array. */
json_t *sidecar_volumes(const struct settings *settings);
/* What the annotation handfast.io/status says: the version and what was added. */
char *sidecar_status(bool native);

#endif
