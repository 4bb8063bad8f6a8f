#include "mesh/indexes.h"

#include <stdlib.h>
#include <string.h>

#include "mesh/block.h"

/* --- addresses --- */

/* Neighbouring addresses differ in their last bytes only, which a multiplication alone carries
 * upwards and never down: fold before and after each one. */
static uint32_t hash_addr(const struct addr *ip)
{
    uint64_t high = 0, low = 0;
    memcpy(&low, ip->bytes, ip->len < 8 ? ip->len : 8);
    if (ip->len == 16)
        memcpy(&high, ip->bytes + 8, 8);
    uint64_t mixed = low + ip->len;
    for (int i = 0; i < 2; i++) {
        mixed ^= mixed >> 33;
        mixed *= 0xff51afd7ed558ccdu;
        mixed ^= mixed >> 33;
        mixed += i == 0 ? high : 0;
    }
    return (uint32_t)mixed;
}

static struct mesh_place *find_place(const struct mesh_snapshot *snapshot, const struct addr *ip)
{
    uint32_t mask = snapshot->place_count - 1, at = hash_addr(ip) & mask;
    while (snapshot->places[at].ip.len != 0 && !addr_equal(&snapshot->places[at].ip, ip))
        at = (at + 1) & mask;
    return &snapshot->places[at];
}

const struct mesh_place *mesh_indexes_place(const struct mesh_snapshot *snapshot,
                                            const struct addr *ip)
{
    if (snapshot->place_count == 0 || ip->len == 0)
        return NULL;
    const struct mesh_place *place = find_place(snapshot, ip);
    return place->ip.len ? place : NULL;
}

/* A workload with a network of its own goes before one on its host's; among equals the later one.
 */
static bool workload_wins(const struct mesh_snapshot *snapshot, uint32_t challenger,
                          uint32_t holder)
{
    bool challenger_host =
        mesh_workload_of(snapshot, challenger)->network_mode == MESH_NETWORK_HOST;
    bool holder_host = mesh_workload_of(snapshot, holder)->network_mode == MESH_NETWORK_HOST;
    if (challenger_host != holder_host)
        return holder_host;
    return snapshot->workloads.items[challenger].age > snapshot->workloads.items[holder].age;
}

static void place_workload(struct mesh_snapshot *snapshot, uint32_t index)
{
    const struct mesh_workload *workload = mesh_workload_of(snapshot, index);
    for (unsigned i = 0; i < workload->address_count; i++) {
        if (workload->addresses[i].len == 0)
            continue;
        struct mesh_place *place = find_place(snapshot, &workload->addresses[i]);
        place->ip = workload->addresses[i];
        if (place->workload == 0 || workload_wins(snapshot, index, place->workload - 1))
            place->workload = index + 1;
    }
}

static void place_service(struct mesh_snapshot *snapshot, uint32_t index)
{
    const struct mesh_service *service = mesh_service_of(snapshot, index);
    const struct mesh_item *items = snapshot->services.items;
    for (unsigned i = 0; i < service->address_count; i++) {
        if (service->addresses[i].len == 0)
            continue;
        struct mesh_place *place = find_place(snapshot, &service->addresses[i]);
        place->ip = service->addresses[i];
        if (place->service == 0 || items[index].age > items[place->service - 1].age)
            place->service = index + 1;
    }
}

static bool make_places(struct mesh_snapshot *snapshot)
{
    size_t addresses = 0;
    for (uint32_t i = 0; i < snapshot->workloads.count; i++)
        addresses += mesh_workload_of(snapshot, i)->address_count;
    for (uint32_t i = 0; i < snapshot->services.count; i++)
        addresses += mesh_service_of(snapshot, i)->address_count;
    if (addresses == 0)
        return true;
    if (addresses > UINT32_MAX / 4)
        return false;
    uint32_t count = 8;
    while (count < addresses * 2)
        count *= 2;
    snapshot->places = calloc(count, sizeof *snapshot->places);
    if (!snapshot->places)
        return false;
    snapshot->place_count = count;
    for (uint32_t i = 0; i < snapshot->workloads.count; i++)
        place_workload(snapshot, i);
    for (uint32_t i = 0; i < snapshot->services.count; i++)
        place_service(snapshot, i);
    return true;
}

/* --- endpoints --- */

static bool is_endpoint(const struct mesh_workload *workload, const struct mesh_service *service)
{
    return workload->address_count > 0 &&
           (workload->status == MESH_HEALTHY || service->allow_unhealthy);
}

/* Calls for every pair of a service and a workload that is an endpoint of it: counts in `starts`
 * when `out` is NULL, otherwise writes each endpoint where its service's part begins and moves that
 * on. */
static void walk_endpoints(const struct mesh_snapshot *snapshot, uint32_t *starts,
                           struct mesh_endpoint *out)
{
    for (uint32_t w = 0; w < snapshot->workloads.count; w++) {
        const struct mesh_workload *workload = mesh_workload_of(snapshot, w);
        for (unsigned i = 0; i < workload->link_count; i++) {
            const struct mesh_link *link = &workload->links[i];
            int64_t s =
                mesh_table_find(&snapshot->services, link->service, mesh_hash(link->service));
            if (s < 0 || !is_endpoint(workload, mesh_service_of(snapshot, (uint32_t)s)))
                continue;
            if (out)
                out[starts[s]] = (struct mesh_endpoint){workload, link};
            starts[s]++;
        }
    }
}

static bool make_endpoints(struct mesh_snapshot *snapshot)
{
    uint32_t services = snapshot->services.count;
    uint32_t *starts = calloc(services + 1, sizeof *starts);
    snapshot->endpoint_starts = starts;
    if (!starts)
        return false;
    walk_endpoints(snapshot, starts, NULL);
    uint32_t total = 0;
    for (uint32_t s = 0; s < services; s++) {
        uint32_t count = starts[s];
        starts[s] = total;
        total += count;
    }
    starts[services] = total;
    if (total == 0)
        return true;
    snapshot->endpoints = malloc(total * sizeof *snapshot->endpoints);
    if (!snapshot->endpoints)
        return false;
    walk_endpoints(snapshot, starts, snapshot->endpoints);
    /* Each start has moved to its end, which is the next one's start: shift them back. */
    memmove(starts + 1, starts, services * sizeof *starts);
    starts[0] = 0;
    return true;
}

/* --- policies --- */

static int compare_policies(const void *a, const void *b)
{
    const struct mesh_policy *left = *(const struct mesh_policy *const *)a;
    const struct mesh_policy *right = *(const struct mesh_policy *const *)b;
    if (left->scope != right->scope)
        return left->scope < right->scope ? -1 : 1;
    int by_namespace =
        left->scope == MESH_SCOPE_NAMESPACE ? strcmp(left->namespace, right->namespace) : 0;
    return by_namespace ? by_namespace : strcmp(left->key, right->key);
}

static bool make_policy_order(struct mesh_snapshot *snapshot)
{
    uint32_t count = 0;
    if (snapshot->policies.count == 0)
        return true;
    snapshot->policy_order = malloc(snapshot->policies.count * sizeof *snapshot->policy_order);
    if (!snapshot->policy_order)
        return false;
    for (uint32_t i = 0; i < snapshot->policies.count; i++) {
        const struct mesh_policy *policy = mesh_policy_of(snapshot, i);
        snapshot->unreadable_count += policy->unreadable != NULL;
        if (policy->scope == MESH_SCOPE_WORKLOAD)
            continue;
        snapshot->policy_order[count++] = policy;
        if (policy->scope == MESH_SCOPE_GLOBAL)
            snapshot->global_count++;
        else
            snapshot->namespaced_count++;
    }
    if (count > 0)
        qsort(snapshot->policy_order, count, sizeof *snapshot->policy_order, compare_policies);
    return true;
}

bool mesh_indexes_make(struct mesh_snapshot *snapshot)
{
    return make_places(snapshot) && make_endpoints(snapshot) && make_policy_order(snapshot);
}

void mesh_indexes_free(struct mesh_snapshot *snapshot)
{
    free(snapshot->places);
    free(snapshot->endpoints);
    free(snapshot->endpoint_starts);
    free(snapshot->policy_order);
}
