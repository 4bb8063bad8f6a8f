/* The records of one workload and of one service, made anew. One thread. */
#ifndef CLUSTER_RECORD_H
#define CLUSTER_RECORD_H

#include "control/cluster_graph.h"

/* Each replaces the resource, unless it would say the same, and sets graph->changed when it did.
 * What the mesh's own rules refuse is logged and not sent. ERR_NO_MEMORY: it is still dirty. */
enum err_code cluster_record_workload(struct cluster_graph *graph,
                                      struct cluster_workload *workload, struct err *err);
/* Works out first who stands behind the service. */
enum err_code cluster_record_service(struct cluster_graph *graph, struct cluster_service_slot *slot,
                                     struct err *err);

#endif
