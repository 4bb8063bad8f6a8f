#include "mesh/snapshot.h"

#include <assert.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "mesh/block.h"
#include "mesh/indexes.h"

/* struct mesh_table sees every record as a struct mesh_record. */
static_assert(offsetof(struct mesh_workload, hash) == offsetof(struct mesh_record, hash), "hash");
static_assert(offsetof(struct mesh_workload, uid) == offsetof(struct mesh_record, key), "key");
static_assert(offsetof(struct mesh_service, hash) == offsetof(struct mesh_record, hash), "hash");
static_assert(offsetof(struct mesh_service, key) == offsetof(struct mesh_record, key), "key");
static_assert(offsetof(struct mesh_policy, hash) == offsetof(struct mesh_record, hash), "hash");
static_assert(offsetof(struct mesh_policy, key) == offsetof(struct mesh_record, key), "key");

struct mesh_snapshot *mesh_snapshot_new(const char *trust_domain)
{
    struct mesh_snapshot *snapshot = calloc(1, sizeof *snapshot);
    if (!snapshot)
        return NULL;
    ref_init(&snapshot->ref);
    snapshot->trust_domain = strdup(trust_domain);
    if (!snapshot->trust_domain || !mesh_indexes_make(snapshot)) {
        mesh_snapshot_unref(snapshot);
        return NULL;
    }
    return snapshot;
}

struct mesh_snapshot *mesh_snapshot_ref(struct mesh_snapshot *snapshot)
{
    ref_get(&snapshot->ref);
    return snapshot;
}

void mesh_snapshot_unref(struct mesh_snapshot *snapshot)
{
    if (!snapshot || !ref_put(&snapshot->ref))
        return;
    mesh_indexes_free(snapshot);
    mesh_table_deinit(&snapshot->workloads);
    mesh_table_deinit(&snapshot->services);
    mesh_table_deinit(&snapshot->policies);
    free(snapshot->trust_domain);
    free(snapshot);
}

uint64_t mesh_snapshot_generation(const struct mesh_snapshot *snapshot)
{
    return snapshot->generation;
}

const char *mesh_snapshot_trust_domain(const struct mesh_snapshot *snapshot)
{
    return snapshot->trust_domain;
}

struct mesh_target mesh_find_address(const struct mesh_snapshot *snapshot, const struct addr *ip)
{
    const struct mesh_place *place = mesh_indexes_place(snapshot, ip);
    struct mesh_target target = {0};
    if (place && place->service)
        target.service = mesh_service_of(snapshot, place->service - 1);
    else if (place && place->workload)
        target.workload = mesh_workload_of(snapshot, place->workload - 1);
    return target;
}

const struct mesh_workload *mesh_find_workload_at(const struct mesh_snapshot *snapshot,
                                                  const struct addr *ip)
{
    const struct mesh_place *place = mesh_indexes_place(snapshot, ip);
    return place && place->workload ? mesh_workload_of(snapshot, place->workload - 1) : NULL;
}

const struct mesh_workload *mesh_find_workload(const struct mesh_snapshot *snapshot,
                                               const char *uid)
{
    int64_t index = mesh_table_find(&snapshot->workloads, uid, mesh_hash(uid));
    return index < 0 ? NULL : mesh_workload_of(snapshot, (uint32_t)index);
}

const struct mesh_service *mesh_find_service(const struct mesh_snapshot *snapshot, const char *key)
{
    int64_t index = mesh_table_find(&snapshot->services, key, mesh_hash(key));
    return index < 0 ? NULL : mesh_service_of(snapshot, (uint32_t)index);
}

const struct mesh_policy *mesh_find_policy(const struct mesh_snapshot *snapshot, const char *key)
{
    int64_t index = mesh_table_find(&snapshot->policies, key, mesh_hash(key));
    return index < 0 ? NULL : mesh_policy_of(snapshot, (uint32_t)index);
}

struct mesh_endpoints mesh_service_endpoints(const struct mesh_snapshot *snapshot,
                                             const struct mesh_service *service)
{
    int64_t index = mesh_table_find(&snapshot->services, service->key, service->hash);
    struct mesh_endpoints endpoints = {0};
    if (index < 0)
        return endpoints;
    uint32_t start = snapshot->endpoint_starts[index];
    endpoints.count = snapshot->endpoint_starts[index + 1] - start;
    if (endpoints.count > 0)
        endpoints.items = snapshot->endpoints + start;
    return endpoints;
}

uint16_t mesh_endpoint_port(const struct mesh_endpoint *endpoint,
                            const struct mesh_service *service, uint16_t service_port)
{
    for (unsigned i = 0; i < endpoint->link->port_count; i++) {
        const struct mesh_port *port = &endpoint->link->ports[i];
        if (port->service_port == service_port && port->target_port != 0)
            return port->target_port;
    }
    const struct mesh_port *port = mesh_service_port(service, service_port);
    return port ? port->target_port : 0;
}

struct mesh_policies mesh_global_policies(const struct mesh_snapshot *snapshot)
{
    return (struct mesh_policies){snapshot->policy_order, snapshot->global_count};
}

struct mesh_policies mesh_namespace_policies(const struct mesh_snapshot *snapshot,
                                             const char *namespace)
{
    if (snapshot->namespaced_count == 0)
        return (struct mesh_policies){0};
    const struct mesh_policy *const *items = snapshot->policy_order + snapshot->global_count;
    /* The first that is not before `namespace`. */
    uint32_t low = 0, high = snapshot->namespaced_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (strcmp(items[middle]->namespace, namespace) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    uint32_t end = low;
    while (end < snapshot->namespaced_count && strcmp(items[end]->namespace, namespace) == 0)
        end++;
    return (struct mesh_policies){items + low, end - low};
}

const struct mesh_workload *mesh_workload_at(const struct mesh_snapshot *snapshot, size_t index)
{
    return index < snapshot->workloads.count ? mesh_workload_of(snapshot, (uint32_t)index) : NULL;
}

const struct mesh_service *mesh_service_at(const struct mesh_snapshot *snapshot, size_t index)
{
    return index < snapshot->services.count ? mesh_service_of(snapshot, (uint32_t)index) : NULL;
}

const struct mesh_policy *mesh_policy_at(const struct mesh_snapshot *snapshot, size_t index)
{
    return index < snapshot->policies.count ? mesh_policy_of(snapshot, (uint32_t)index) : NULL;
}

size_t mesh_workload_count(const struct mesh_snapshot *snapshot)
{
    return snapshot->workloads.count;
}

size_t mesh_service_count(const struct mesh_snapshot *snapshot)
{
    return snapshot->services.count;
}

size_t mesh_policy_count(const struct mesh_snapshot *snapshot)
{
    return snapshot->policies.count;
}

size_t mesh_unreadable_count(const struct mesh_snapshot *snapshot)
{
    return snapshot->unreadable_count;
}
