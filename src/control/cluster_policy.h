/* An AuthorizationPolicy as proxies get it, and whether it is in force as it is written. One
 * thread. */
#ifndef CLUSTER_POLICY_H
#define CLUSTER_POLICY_H

#include <jansson.h>

#include "control/cluster_selector.h"
#include "control/cluster_verdict.h"
#include "mesh/policy.h"
#include "xds/resource.h"

struct cluster_policy {
    struct cluster_selector *selector; /* NULL: refused */
    struct xds_resource *resource;     /* NULL: refused, and not in force at all */
    enum mesh_scope scope;
    int64_t generation;
    struct cluster_finding finding;
    bool reported; /* not of this file, as what follows */
    struct cluster_policy *next, **link;
};

struct cluster_policy_context {
    const char *ns, *name;
    const char *wire_prefix;  /* in front of the name on the wire; "" for none */
    const char *trust_domain; /* the mesh's */
    bool root;                /* of the namespace whose policies hold for the whole mesh */
};

/* Reads security.istio.io/v1's AuthorizationPolicy, which handfast.io/v1's is too. Refused are: the
 * actions AUDIT and CUSTOM, policies attached by targetRefs, selectors that are not understood.
 * Rules fail closed (cluster_rules.h), and so does a policy that the mesh's own rules refuse: ALLOW
 * then allows nothing, DENY denies everything. *out is on the heap; cluster_policy_free().
 * ERR_NO_MEMORY. */
enum err_code cluster_policy_read(const struct cluster_policy_context *context,
                                  const json_t *object, struct cluster_policy **out,
                                  struct err *err);
/* Same wire form, same selection, same generation, same finding. */
bool cluster_policy_equal(const struct cluster_policy *a, const struct cluster_policy *b);
/* NULL is allowed. */
void cluster_policy_free(struct cluster_policy *policy);

#endif
