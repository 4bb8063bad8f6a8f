/* Strict mTLS: which mode holds where, and the deny policies that it comes to. Where nothing
 * selects workloads one policy guards the whole namespace, and where no namespace has a word of its
 * own, one guards the mesh; otherwise the records of the workloads name theirs. One thread. */
#ifndef CLUSTER_GUARDS_H
#define CLUSTER_GUARDS_H

#include "control/cluster_graph.h"

/* After a PeerAuthentication came, changed or went: finds the ones that hold, and marks the
 * workloads for which that may make a difference. */
void cluster_guards_settle(struct cluster_graph *graph);
/* Gives a pod the guard that its record is to name, or none. ERR_NO_MEMORY: it keeps the former. */
enum err_code cluster_guards_hold_pod(struct cluster_graph *graph, struct cluster_workload *pod,
                                      struct err *err);
/* The same for the mesh and for each namespace that is dirty. */
enum err_code cluster_guards_hold_wide(struct cluster_graph *graph, struct err *err);
/* Gives one back; NULL is allowed. */
void cluster_guards_release(struct cluster_graph *graph, struct cluster_guard *guard);

#endif
