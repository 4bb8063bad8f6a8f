/* Which workloads stand behind a service, and on which ports.
 *
 * The source of truth are the endpoint slices, as for kube-proxy: they know what selects (or, for a
 * service without a selector, who wrote them), they have named target ports resolved for each pod,
 * and they say who is ready. The pod itself is asked too, since it may know earlier that it is not
 * ready or goes away. Where no endpoint is ready, those that terminate and still serve are taken:
 * the last pod of a rollout answers to its end. One thread. */
#ifndef CLUSTER_MEMBERS_H
#define CLUSTER_MEMBERS_H

#include "control/cluster_graph.h"

/* Works out the links of a slot anew and marks the workloads for which that makes a difference;
 * endpoints that are no pods become workloads. Sets slot->allow_unhealthy. ERR_NO_MEMORY: the links
 * are as they were. */
enum err_code cluster_members_gather(struct cluster_graph *graph, struct cluster_service_slot *slot,
                                     struct err *err);

#endif
