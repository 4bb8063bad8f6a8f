/* struct mesh_policy -> istio.security.Authorization; a part of encode.c that became a file. */
#ifndef XDS_ENCODE_POLICY_H
#define XDS_ENCODE_POLICY_H

#include "istio/security/authorization.pb-c.h"
#include "mesh/policy.h"
#include "xds/wire.h"

/* Fills *out, whose parts lie in the arena and in `policy`. False: out of memory. */
bool xds_policy_message(struct xds_arena *arena, const struct mesh_policy *policy,
                        Istio__Security__Authorization *out);

#endif
