/* What a proxy knows of the mesh at one moment. Immutable: a change makes another snapshot that
 * shares the records (builder.h). Any thread may hold and read one; everything that the lookups
 * return is borrowed and lives as long as the snapshot. */
#ifndef MESH_SNAPSHOT_H
#define MESH_SNAPSHOT_H

#include "mesh/policy.h"
#include "mesh/service.h"
#include "mesh/workload.h"

struct mesh_snapshot;

/* An empty one; NULL when out of memory. `trust_domain` is the mesh's, copied. */
struct mesh_snapshot *mesh_snapshot_new(const char *trust_domain);
struct mesh_snapshot *mesh_snapshot_ref(struct mesh_snapshot *snapshot);
/* NULL is allowed. */
void mesh_snapshot_unref(struct mesh_snapshot *snapshot);

/* Rises by one with every snapshot that a builder makes. */
uint64_t mesh_snapshot_generation(const struct mesh_snapshot *snapshot);
const char *mesh_snapshot_trust_domain(const struct mesh_snapshot *snapshot);

/* At most one of the two is set; neither: the address is not of the mesh. */
struct mesh_target {
    const struct mesh_service *service;
    const struct mesh_workload *workload;
};

/* Who answers at `ip`: a service's virtual address goes before a workload's. Where several share an
 * address, a workload with a network of its own goes before one on the host's network, and the
 * record that came last before the others (a pod's address may be given to the next pod before the
 * first one's record is gone). */
struct mesh_target mesh_find_address(const struct mesh_snapshot *snapshot, const struct addr *ip);
const struct mesh_workload *mesh_find_workload(const struct mesh_snapshot *snapshot,
                                               const char *uid);
/* The workload at an address, also where a service has that address too. */
const struct mesh_workload *mesh_find_workload_at(const struct mesh_snapshot *snapshot,
                                                  const struct addr *ip);
/* `key` is "namespace/hostname". */
const struct mesh_service *mesh_find_service(const struct mesh_snapshot *snapshot, const char *key);
/* `key` is "namespace/name", "/name" for a global one. */
const struct mesh_policy *mesh_find_policy(const struct mesh_snapshot *snapshot, const char *key);

struct mesh_endpoint {
    const struct mesh_workload *workload;
    const struct mesh_link *link; /* the workload's ports for this service */
};
struct mesh_endpoints {
    const struct mesh_endpoint *items;
    unsigned count;
};

/* The workloads that list the service and are healthy (all of them when the service allows
 * unhealthy ones) and have an address; in no particular order. `service` is one that a lookup in
 * this snapshot returned. */
struct mesh_endpoints mesh_service_endpoints(const struct mesh_snapshot *snapshot,
                                             const struct mesh_service *service);
/* The workload's port behind `service_port`: its own entry first (that is where a named port is
 * resolved), then the service's. 0: this workload does not serve that port, take another endpoint.
 */
uint16_t mesh_endpoint_port(const struct mesh_endpoint *endpoint,
                            const struct mesh_service *service, uint16_t service_port);

struct mesh_policies {
    const struct mesh_policy *const *items;
    unsigned count;
};

/* Global policies, and those of scope NAMESPACE in one namespace. */
struct mesh_policies mesh_global_policies(const struct mesh_snapshot *snapshot);
struct mesh_policies mesh_namespace_policies(const struct mesh_snapshot *snapshot,
                                             const char *namespace);

/* Everything, for dumps and tests: the item at `index`, or NULL past the last one. */
const struct mesh_workload *mesh_workload_at(const struct mesh_snapshot *snapshot, size_t index);
const struct mesh_service *mesh_service_at(const struct mesh_snapshot *snapshot, size_t index);
const struct mesh_policy *mesh_policy_at(const struct mesh_snapshot *snapshot, size_t index);
size_t mesh_workload_count(const struct mesh_snapshot *snapshot);
size_t mesh_service_count(const struct mesh_snapshot *snapshot);
size_t mesh_policy_count(const struct mesh_snapshot *snapshot);
/* How many of the policies could not be read. */
size_t mesh_unreadable_count(const struct mesh_snapshot *snapshot);

#endif
