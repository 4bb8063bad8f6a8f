/* mtls entries as policies: strict is "deny whoever has no identity". One thread. */
#ifndef SOURCE_MTLS_H
#define SOURCE_MTLS_H

#include "control/source_guard.h"
#include "control/source_model.h"

struct source_guards {
    struct source_guard *first; /* all, each once */
    /* for each workload of the model: the one that its record names, or NULL */
    const struct source_guard **of_workload;
};

/* Which mode holds for a workload's port: an entry with a selector goes before one of the
 * namespace, that before one of the whole mesh; where both are the same, one that lists the port
 * goes before one that lists none. Two entries that are equal in this and disagree are reported.
 * Where no selector is in play the policy has the scope of the namespace or of the mesh. The result
 * lives in `arena`. */
void source_mtls_resolve(struct source_arena *arena, const struct source_model *model,
                         struct source_guards *guards, struct source_report *report);

#endif
