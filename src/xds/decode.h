/* From the wire to records of the mesh. Everything is checked: what comes out obeys the rules that
 * mesh/ states. Unknown fields and unknown extensions are passed over, except in policies: who is
 * let in depends on all that they say. Pure; any thread. */
#ifndef XDS_DECODE_H
#define XDS_DECODE_H

#include "mesh/policy.h"
#include "mesh/service.h"
#include "mesh/workload.h"
#include "xds/bundle.h"

/* One of the two is set; the caller owns the reference. */
struct xds_address {
    struct mesh_workload *workload;
    struct mesh_service *service;
};

/* An istio.workload.Address. ERR_XDS_MALFORMED: not protobuf; ERR_XDS_RESOURCE: a field breaks a
 * rule, the sentence names it; ERR_NO_MEMORY. *out is untouched on failure. The same for the
 * others. */
enum err_code xds_decode_address(const void *data, size_t len, struct xds_address *out,
                                 struct err *err);
/* An istio.security.Authorization. A field that we do not know, at any depth, is ERR_XDS_RESOURCE;
 * so is an extension of a match, while those of the whole policy are passed over. */
enum err_code xds_decode_policy(const void *data, size_t len, struct mesh_policy **out,
                                struct err *err);
/* For an Authorization that xds_decode_policy() refused, or that was no such thing (then `data` is
 * NULL): the record that holds its place (mesh/unreadable.h), with `why` it was refused, which is
 * printable. It guards whom the body says as far as that can be read: with a scope that is not
 * known, the body's namespace or else the one in the resource's name; without either, the whole
 * mesh. ERR_NO_MEMORY only. */
enum err_code xds_decode_unreadable(const char *name, const void *data, size_t len, const char *why,
                                    struct mesh_policy **out, struct err *err);
/* An SDS Secret with a validation context: trusted_ca inline, or a SPIFFE validator with several
 * trust domains (both: the mesh's own and the others). *out is one malloc'd block that holds it
 * all; the caller frees it. PEM is not looked into. */
enum err_code xds_decode_bundle(const void *data, size_t len, struct xds_bundle **out,
                                struct err *err);

#endif
