#include "control/compile_record.h"

#include <string.h>

#include "xds/encode.h"

const char *compile_pod_uid(struct source_arena *arena, const char *cluster_id, const char *ns,
                            const char *name)
{
    return source_arena_format(arena, "%s//Pod/%s/%s", cluster_id, ns, name);
}

const char *compile_service_key(struct source_arena *arena, const char *ns, const char *name)
{
    return source_arena_format(arena, "%s/%s.%s.svc.cluster.local", ns, name, ns);
}

/* The first of `keys` that the workload has. */
static const char *label_or(const struct mesh_label *labels, unsigned count,
                            const char *const *keys, const char *fallback)
{
    for (; *keys; keys++) {
        for (unsigned i = 0; i < count; i++) {
            if (strcmp(labels[i].key, *keys) == 0 && labels[i].value[0])
                return labels[i].value;
        }
    }
    return fallback;
}

const char *compile_canonical_name(const struct mesh_label *labels, unsigned count,
                                   const char *fallback)
{
    static const char *const keys[] = {"service.istio.io/canonical-name", "app.kubernetes.io/name",
                                       "app", NULL};
    return label_or(labels, count, keys, fallback);
}

const char *compile_canonical_revision(const struct mesh_label *labels, unsigned count,
                                       const char *fallback)
{
    static const char *const keys[] = {"service.istio.io/canonical-revision",
                                       "app.kubernetes.io/version", "version", NULL};
    return label_or(labels, count, keys, fallback);
}

enum err_code compile_workload_resource(const struct mesh_workload *draft, const char *trust_domain,
                                        struct xds_resource **out, struct err *err)
{
    struct mesh_workload *workload;
    enum err_code code = mesh_workload_new(draft, &workload, err);
    if (code != ERR_OK)
        return code;
    code = xds_encode_workload(workload, trust_domain, out, err);
    mesh_workload_unref(workload);
    return code;
}

enum err_code compile_service_resource(const struct mesh_service *draft, struct xds_resource **out,
                                       struct err *err)
{
    struct mesh_service *service;
    enum err_code code = mesh_service_new(draft, &service, err);
    if (code != ERR_OK)
        return code;
    code = xds_encode_service(service, out, err);
    mesh_service_unref(service);
    return code;
}

enum err_code compile_policy_resource(const struct mesh_policy *draft, struct xds_resource **out,
                                      struct err *err)
{
    struct mesh_policy *policy;
    enum err_code code = mesh_policy_new(draft, &policy, err);
    if (code != ERR_OK)
        return code;
    code = xds_encode_policy(policy, out, err);
    mesh_policy_unref(policy);
    return code;
}
