/* What every source of a mesh makes its records with: how pods and services are called on the wire,
 * which application a workload is, and a draft of a record as the resource that proxies get. One
 * thread. */
#ifndef COMPILE_RECORD_H
#define COMPILE_RECORD_H

#include "control/source_arena.h"
#include "mesh/policy.h"
#include "mesh/service.h"
#include "mesh/workload.h"
#include "xds/resource.h"

/* "<cluster>//Pod/<namespace>/<name>", in the arena; NULL without memory. */
const char *compile_pod_uid(struct source_arena *arena, const char *cluster_id, const char *ns,
                            const char *name);
/* "<namespace>/<name>.<namespace>.svc.cluster.local"; the hostname is what follows the slash. */
const char *compile_service_key(struct source_arena *arena, const char *ns, const char *name);

/* Name and revision of the application, as Istio finds them in a pod's labels; borrowed from the
 * labels, or `fallback`. */
const char *compile_canonical_name(const struct mesh_label *labels, unsigned count,
                                   const char *fallback);
const char *compile_canonical_revision(const struct mesh_label *labels, unsigned count,
                                       const char *fallback);

/* One reference to the caller. ERR_XDS_RESOURCE: the mesh's own rules refuse the record, the
 * sentence names the field; ERR_NO_MEMORY, ERR_TOO_LARGE. */
enum err_code compile_workload_resource(const struct mesh_workload *draft, const char *trust_domain,
                                        struct xds_resource **out, struct err *err);
enum err_code compile_service_resource(const struct mesh_service *draft, struct xds_resource **out,
                                       struct err *err);
enum err_code compile_policy_resource(const struct mesh_policy *draft, struct xds_resource **out,
                                      struct err *err);

#endif
