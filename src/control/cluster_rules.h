/* The rules of an AuthorizationPolicy, as far as they are about connections.
 *
 * What cannot be read, and what is not seen of a connection (everything of HTTP), fails closed: an
 * ALLOW rule that asks for it never matches, a DENY rule holds without it and so denies more. One
 * thread. */
#ifndef CLUSTER_RULES_H
#define CLUSTER_RULES_H

#include <jansson.h>

#include "control/cluster_verdict.h"
#include "control/source_arena.h"
#include "mesh/policy.h"

struct cluster_rules_reader {
    struct source_arena *arena; /* what is read lives there, or in the object */
    enum mesh_action action;
    const char *ns;           /* of the policy: that of a service account without one */
    const char *trust_domain; /* the mesh's */
    struct cluster_finding *finding;
};

/* Reads spec.rules into *rules and *count. Without memory the arena has failed, and the result is
 * not to be used. */
void cluster_rules_read(const struct cluster_rules_reader *reader, const json_t *json,
                        const struct mesh_rule **rules, unsigned *count);

#endif
