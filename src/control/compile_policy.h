/* From a policy of a mesh file to a draft of a record. One thread. */
#ifndef COMPILE_POLICY_H
#define COMPILE_POLICY_H

#include "control/source_model.h"
#include "control/source_mtls.h"
#include "mesh/policy.h"

/* Fills `draft` for mesh_policy_new(); its parts are the source's, or live in `arena` (which has
 * failed when it lacks some). */
void compile_policy_draft(struct source_arena *arena, const struct source_policy *source,
                          struct mesh_policy *draft);
/* The same for what mtls entries come to: strict is no switch, but "deny whoever has no identity".
 */
void compile_guard_draft(struct source_arena *arena, const struct source_guard *guard,
                         struct mesh_policy *draft);

#endif
