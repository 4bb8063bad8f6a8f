/* From a mesh file's model to the resources that proxies get. One thread. */
#ifndef COMPILE_H
#define COMPILE_H

#include "base/map.h"
#include "control/source.h"
#include "mesh/policy.h"
#include "xds/store.h"

struct compiled_policy {
    struct xds_resource *resource; /* one reference */
    enum mesh_scope scope;
};

struct compiled {
    struct xds_set *addresses; /* workloads and services: all, or what changed among them */
    struct compiled_policy *policies;
    unsigned workload_count, service_count, policy_count;
    /* "namespace/service account" -> how many workloads with a proxy run under it, as a number in
     * the pointer */
    struct map identities;
};

/* Compiles a source that was parsed without errors. `cluster_id` goes into the uids. The caller
 * owns *out, on success only. ERR_MESH_FILE: the mesh's own rules refuse a record, and the source's
 * report says which; ERR_NO_MEMORY. */
enum err_code compile_source(struct source *source, const char *cluster_id, struct compiled *out,
                             struct err *err);
/* Frees what is left of it; a zeroed one is fine. */
void compiled_deinit(struct compiled *compiled);

#endif
