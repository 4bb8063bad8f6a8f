/* A record in the place of a policy that came and could not be read. Nobody knows what the policy
 * says, so whoever it may guard is guarded: mesh_authorize() answers MESH_PENDING until the policy
 * is removed or comes in a form that can be read. */
#ifndef MESH_UNREADABLE_H
#define MESH_UNREADABLE_H

#include "mesh/policy.h"

struct mesh_unreadable {
    const char *key;       /* the name that it came under, whatever that looks like */
    const char *namespace; /* for MESH_SCOPE_NAMESPACE: the one that it may guard */
    enum mesh_scope
        scope;       /* whom it may guard; the widest that is possible where that is unknown */
    bool dry_run;    /* it decides nothing, read or unread: the record is for show */
    const char *why; /* a sentence for the log, printable */
};

/* Deep copy, one reference to the caller. ERR_NO_MEMORY. */
enum err_code mesh_unreadable_new(const struct mesh_unreadable *from, struct mesh_policy **out,
                                  struct err *err);

#endif
