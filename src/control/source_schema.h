/* The keys of a mesh file. One thread. */
#ifndef SOURCE_SCHEMA_H
#define SOURCE_SCHEMA_H

#include "control/source_model.h"

enum {
    SOURCE_WORKLOADS_MAX = 10000,
    SOURCE_SERVICES_MAX = 5000,
    SOURCE_POLICIES_MAX = 2000,
    SOURCE_MTLS_MAX = 500
};

/* Reads the tree into `model`, whose parts live in `arena`; what is wrong goes to `report` and is
 * left out. */
void source_schema_read(struct source_arena *arena, const struct source_node *root,
                        struct source_model *model, struct source_report *report);

#endif
