#include "control/cluster_record.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "control/cluster_guards.h"
#include "control/cluster_members.h"
#include "control/compile_record.h"

static int compare_texts(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int compare_links(const void *a, const void *b)
{
    return strcmp(((const struct mesh_link *)a)->service, ((const struct mesh_link *)b)->service);
}

/* An address that went to another pod is not this one's any more; one of a host is everybody's. */
static void add_addresses(const struct cluster_graph *graph, struct source_arena *arena,
                          const struct cluster_workload *workload, struct mesh_workload *draft)
{
    const struct mesh_workload *facts = workload->pod.workload;
    struct addr *items = source_arena_array(arena, facts->address_count + 1, sizeof *items);
    draft->address_count = 0;
    draft->addresses = items;
    for (unsigned i = 0; items && i < facts->address_count; i++) {
        const struct cluster_place *place = cluster_graph_place(graph, &facts->addresses[i]);
        if (facts->network_mode == MESH_NETWORK_HOST || !workload->ns ||
            (place && cluster_graph_owner(place) == workload))
            items[draft->address_count++] = facts->addresses[i];
    }
}

static void add_links(struct source_arena *arena, const struct cluster_workload *workload,
                      struct mesh_workload *draft)
{
    unsigned count = 0;
    for (const struct cluster_link *link = workload->links; link; link = link->next_of_workload)
        count++;
    struct mesh_link *items = source_arena_array(arena, count + 1, sizeof *items);
    if (!items)
        return;
    for (const struct cluster_link *link = workload->links; link; link = link->next_of_workload) {
        const struct mesh_service *service = link->slot->service.service;
        struct mesh_link *item = &items[draft->link_count++];
        struct mesh_port *ports = source_arena_array(arena, service->port_count + 1, sizeof *ports);
        for (unsigned i = 0; ports && i < service->port_count; i++) {
            if (link->targets[i])
                ports[item->port_count++] =
                    (struct mesh_port){service->ports[i].service_port, link->targets[i]};
        }
        item->service = service->key;
        item->ports = ports;
    }
    if (draft->link_count > 1)
        qsort(items, draft->link_count, sizeof *items, compare_links);
    draft->links = items;
}

static unsigned select_policies(const struct cluster_policy *list,
                                const struct mesh_workload *workload, const char **keys)
{
    unsigned count = 0;
    for (; list; list = list->next) {
        if (!list->resource || list->scope != MESH_SCOPE_WORKLOAD ||
            !cluster_selector_matches(list->selector, workload))
            continue;
        if (keys)
            keys[count] = list->resource->name;
        count++;
    }
    return count;
}

static void add_policies(const struct cluster_graph *graph, struct source_arena *arena,
                         const struct cluster_workload *workload, struct mesh_workload *draft)
{
    const struct mesh_workload *facts = workload->pod.workload;
    if (facts->tunnel != MESH_TUNNEL_LEGACY_MTLS)
        return; /* nobody is there to decide */
    unsigned count = select_policies(workload->ns->policies, facts, NULL) +
                     select_policies(graph->policies_everywhere, facts, NULL);
    const char **keys = source_arena_array(arena, count + 1, sizeof *keys);
    if (!keys)
        return;
    count = select_policies(workload->ns->policies, facts, keys);
    count += select_policies(graph->policies_everywhere, facts, keys + count);
    if (workload->guard)
        keys[count++] = workload->guard->resource->name;
    if (count > 1)
        qsort(keys, count, sizeof *keys, compare_texts);
    draft->policies = keys;
    draft->policy_count = count;
}

enum err_code cluster_record_workload(struct cluster_graph *graph,
                                      struct cluster_workload *workload, struct err *err)
{
    struct source_arena arena = {0};
    struct xds_resource *resource = NULL;
    struct mesh_workload draft = *workload->pod.workload;
    enum err_code code = workload->ns ? cluster_guards_hold_pod(graph, workload, err) : ERR_OK;
    add_addresses(graph, &arena, workload, &draft);
    add_links(&arena, workload, &draft);
    add_policies(graph, &arena, workload, &draft);
    if (code == ERR_OK && arena.failed)
        code = err_set(err, ERR_NO_MEMORY, "no memory for workload %s", draft.uid);
    if (code == ERR_OK && draft.address_count > 0)
        code = compile_workload_resource(&draft, graph->trust_domain, &resource, err);
    if (code != ERR_OK && code != ERR_NO_MEMORY) {
        LOG_LIMITED(LOG_LEVEL_WARN, 5, "workload_left_out", F_STR("uid", draft.uid), F_ERR(err));
        code = ERR_OK;
    }
    source_arena_free(&arena);
    if (code != ERR_OK)
        return code;
    cluster_graph_keep(graph, &workload->resource, resource);
    graph->encoded++;
    workload->dirty = false;
    return ERR_OK;
}

enum err_code cluster_record_service(struct cluster_graph *graph, struct cluster_service_slot *slot,
                                     struct err *err)
{
    struct xds_resource *resource = NULL;
    enum err_code code = cluster_members_gather(graph, slot, err);
    if (code == ERR_OK && slot->service.service) {
        struct mesh_service draft = *slot->service.service;
        draft.allow_unhealthy = slot->allow_unhealthy;
        code = compile_service_resource(&draft, &resource, err);
    }
    if (code == ERR_NO_MEMORY)
        return code;
    if (code != ERR_OK)
        LOG_LIMITED(LOG_LEVEL_WARN, 5, "service_left_out", F_STR("service", slot->name),
                    F_STR("namespace", slot->ns), F_ERR(err));
    cluster_graph_keep(graph, &slot->resource, resource);
    graph->encoded++;
    slot->dirty = false;
    return ERR_OK;
}
