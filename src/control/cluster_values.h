/* The lists of values in a rule: principals, namespaces, prefixes, ports, service accounts. One
 * thread. */
#ifndef CLUSTER_VALUES_H
#define CLUSTER_VALUES_H

#include <jansson.h>

#include "control/source_arena.h"
#include "mesh/policy.h"

enum cluster_values_kind {
    CLUSTER_PRINCIPALS, /* struct mesh_strings: text, text*, *text or * */
    CLUSTER_NAMESPACES, /* the same */
    CLUSTER_PREFIXES,   /* struct mesh_prefixes */
    CLUSTER_PORTS,      /* struct mesh_ports, written as texts */
    CLUSTER_ACCOUNTS,   /* struct mesh_accounts: namespace/name, or name in the policy's own */
};

struct cluster_values_context {
    struct source_arena *arena;
    const char *ns, *trust_domain; /* the policy's namespace, the mesh's trust domain */
};

/* Reads a list into `target`, the struct that the kind says. False, with a sentence of what was
 * found, when one value makes no sense: then nothing is read. */
bool cluster_values_read(const struct cluster_values_context *context,
                         enum cluster_values_kind kind, const json_t *list, void *target,
                         struct err *err);

#endif
