/* The mesh from a Kubernetes cluster: a reflector for each kind of object, and what they bring goes
 * into struct cluster. Also knows which pods there are, for whoever checks tokens. Loop thread. */
#ifndef KUBE_SOURCE_H
#define KUBE_SOURCE_H

#include "base/map.h"
#include "control/cluster.h"
#include "control/kube_status.h"

struct kube_source {
    struct kube_client *client; /* borrowed, as `status` */
    struct cluster *cluster;
    struct kube_status *status;

    struct kube_feed { /* private, as all here */
        struct kube_source *source;
        enum cluster_kind kind;
        struct kube_reflector *reflector;
        bool synced;
    } feeds[CLUSTER_KINDS];
    struct map pods; /* "namespace/name" -> uid, a string */
    uint64_t objects, refused;
};

/* Starts the reflectors of Kubernetes' kinds and of ours; of Istio's, too, with `istio`. */
enum err_code kube_source_start(struct kube_source *source, bool istio, struct err *err);
/* Whether this pod is there, and is the one with this uid. */
bool kube_source_has_pod(const struct kube_source *source, const char *ns, const char *name,
                         const char *uid);
void kube_source_close(struct kube_source *source);

#endif
