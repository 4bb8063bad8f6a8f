/* From a mesh file's model to the resources that proxies get. One thread. */
#ifndef COMPILE_H
#define COMPILE_H

#include "control/source_model.h"
#include "control/source_mtls.h"
#include "xds/store.h"

struct compiled {
    struct xds_set *addresses, *policies;
    unsigned workloads, services, policy_count;
};

/* Compiles a model without errors. `cluster_id` goes into the uids. The caller owns both sets, on
 * success only. ERR_XDS_RESOURCE (a record that the mesh's own rules refuse), ERR_NO_MEMORY. */
enum err_code compile_model(const struct source_model *model, const struct source_guards *guards,
                            struct source_arena *arena, const char *cluster_id,
                            struct compiled *out, struct err *err);

#endif
