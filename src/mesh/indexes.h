/* What a snapshot is made of: the records, and the indexes that are derived from them. Only mesh/
 * looks in here. */
#ifndef MESH_INDEXES_H
#define MESH_INDEXES_H

#include "mesh/snapshot.h"
#include "mesh/table.h"

struct mesh_place {
    struct addr ip;    /* len 0: free slot */
    uint32_t workload; /* index + 1 of the one that answers there; 0 = none */
    uint32_t service;
};

struct mesh_snapshot {
    struct ref ref;
    uint64_t generation, age;
    char *trust_domain;
    struct mesh_table workloads, services, policies;

    struct mesh_place *places; /* by address, open addressing */
    uint32_t place_count;      /* a power of two, or 0 */
    struct mesh_endpoint *endpoints;
    uint32_t *endpoint_starts; /* of each service, and one past the last */
    /* GLOBAL ones first, then NAMESPACE ones by namespace; each part by key */
    const struct mesh_policy **policy_order;
    uint32_t global_count, namespaced_count;
    uint32_t unreadable_count; /* of all policies */
};

static inline const struct mesh_workload *mesh_workload_of(const struct mesh_snapshot *snapshot,
                                                           uint32_t index)
{
    return (const struct mesh_workload *)(const void *)snapshot->workloads.items[index].record;
}

static inline const struct mesh_service *mesh_service_of(const struct mesh_snapshot *snapshot,
                                                         uint32_t index)
{
    return (const struct mesh_service *)(const void *)snapshot->services.items[index].record;
}

static inline const struct mesh_policy *mesh_policy_of(const struct mesh_snapshot *snapshot,
                                                       uint32_t index)
{
    return (const struct mesh_policy *)(const void *)snapshot->policies.items[index].record;
}

/* Makes every index from the tables of a snapshot that has none yet. False: out of memory. */
bool mesh_indexes_make(struct mesh_snapshot *snapshot);
void mesh_indexes_free(struct mesh_snapshot *snapshot);

/* The place of an address, or NULL. */
const struct mesh_place *mesh_indexes_place(const struct mesh_snapshot *snapshot,
                                            const struct addr *ip);

#endif
