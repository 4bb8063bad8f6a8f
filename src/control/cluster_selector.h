/* selector.matchLabels of a policy. One thread. */
#ifndef CLUSTER_SELECTOR_H
#define CLUSTER_SELECTOR_H

#include <jansson.h>

#include "mesh/workload.h"

struct cluster_selector {
    unsigned count; /* 0: selects everything */
    const struct mesh_label *labels;
};

/* Reads a selector; NULL or one that says nothing selects everything. One block, freed with free().
 * ERR_INVALID: it holds something else than matchLabels of texts (the sentence says what);
 * ERR_NO_MEMORY. */
enum err_code cluster_selector_read(const json_t *json, struct cluster_selector **out,
                                    struct err *err);
/* Every label of the selector is among the workload's. */
bool cluster_selector_matches(const struct cluster_selector *selector,
                              const struct mesh_workload *workload);
bool cluster_selector_equal(const struct cluster_selector *a, const struct cluster_selector *b);

#endif
