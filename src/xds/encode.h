/* From records of the mesh to resources of the wire. Pure; any thread. */
#ifndef XDS_ENCODE_H
#define XDS_ENCODE_H

#include "mesh/policy.h"
#include "mesh/service.h"
#include "mesh/workload.h"
#include "xds/bundle.h"
#include "xds/resource.h"

/* One reference to the caller. Records are as mesh_*_new() made them. What has its default is left
 * off, trust domain `trust_domain` (the mesh's) and service account `default` included.
 * ERR_NO_MEMORY, ERR_TOO_LARGE. */
enum err_code xds_encode_workload(const struct mesh_workload *workload, const char *trust_domain,
                                  struct xds_resource **out, struct err *err);
enum err_code xds_encode_service(const struct mesh_service *service, struct xds_resource **out,
                                 struct err *err);
enum err_code xds_encode_policy(const struct mesh_policy *policy, struct xds_resource **out,
                                struct err *err);
/* The Secret `ROOTCA`. One domain named "" becomes trusted_ca, any others the SPIFFE validator. */
enum err_code xds_encode_bundle(const struct xds_bundle *bundle, struct xds_resource **out,
                                struct err *err);

#endif
