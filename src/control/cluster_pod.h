/* What the mesh needs of a pod. One thread. */
#ifndef CLUSTER_POD_H
#define CLUSTER_POD_H

#include <jansson.h>

#include "mesh/workload.h"

enum { CLUSTER_TIME_MAX = 32 };

struct cluster_pod {
    /* Who and where it is; services and policies are not of the pod itself. NULL: it has no place
     * in the mesh: finished, or without an address (yet). */
    struct mesh_workload *workload;
    char created[CLUSTER_TIME_MAX]; /* RFC 3339 in UTC: the order of texts is that of time */
    bool ready;                     /* as its own condition says, whether it terminates or not */
    bool terminating;
};

/* Reads the pod `ns`/`name`. A pod on its host's network is never of the mesh; any other is when it
 * was injected: an annotation handfast.io/status or a container handfast-proxy. A pod that
 * terminates stays: its address still sends traffic. *out is a value of the caller's;
 * cluster_pod_deinit() frees what it holds. ERR_XDS_RESOURCE: the mesh's own rules refuse it (with
 * a sentence); ERR_NO_MEMORY. */
enum err_code cluster_pod_read(const char *cluster_id, const char *ns, const char *name,
                               const json_t *object, struct cluster_pod *out, struct err *err);
/* Nothing that matters to the mesh differs. */
bool cluster_pod_equal(const struct cluster_pod *a, const struct cluster_pod *b);
void cluster_pod_deinit(struct cluster_pod *pod);

#endif
