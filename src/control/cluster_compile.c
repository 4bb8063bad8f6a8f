#include "control/cluster_compile.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/cluster_guards.h"
#include "control/cluster_record.h"
#include "token/token.h"

static enum err_code compile_workloads(struct cluster_graph *graph, const struct map *map,
                                       struct err *err)
{
    size_t position = 0;
    enum err_code code = ERR_OK;
    for (struct map_entry *at; code == ERR_OK && (at = map_next(map, &position));) {
        struct cluster_workload *workload = at->value;
        if (workload->dirty)
            code = cluster_record_workload(graph, workload, err);
    }
    return code;
}

static enum err_code compile_services(struct cluster_graph *graph, struct err *err)
{
    size_t position = 0;
    enum err_code code = ERR_OK;
    for (struct map_entry *at; code == ERR_OK && (at = map_next(&graph->slots, &position));) {
        struct cluster_service_slot *slot = at->value;
        if (slot->dirty)
            code = cluster_record_service(graph, slot, err);
    }
    return code;
}

/* --- what nobody needs any more -------------------------------------------------------------- */

static void sweep_externals(struct cluster_graph *graph)
{
    size_t position = 0;
    struct cluster_workload *gone = NULL;
    for (struct map_entry *at; (at = map_next(&graph->externals, &position));) {
        struct cluster_workload *workload = at->value;
        if (workload->links)
            continue;
        workload->next_gone = gone;
        gone = workload;
    }
    while (gone) {
        struct cluster_workload *next = gone->next_gone;
        map_remove_str(&graph->externals, gone->pod.workload->uid);
        cluster_graph_free_workload(graph, gone);
        gone = next;
    }
}

static void sweep_slots(struct cluster_graph *graph)
{
    size_t position = 0;
    struct cluster_service_slot *gone = NULL;
    for (struct map_entry *at; (at = map_next(&graph->slots, &position));) {
        struct cluster_service_slot *slot = at->value;
        if (slot->service.service || slot->slices)
            continue;
        slot->next_gone = gone;
        gone = slot;
    }
    while (gone) {
        struct cluster_service_slot *next = gone->next_gone;
        char *ns = gone->ns, *name = gone->name;
        struct source_arena arena = {0};
        const char *key = source_arena_format(&arena, "%s/%s", ns, name);
        if (key) {
            map_remove_str(&graph->slots, key);
            cluster_graph_free_slot(graph, gone);
        }
        source_arena_free(&arena);
        gone = next;
    }
}

static void sweep_namespaces(struct cluster_graph *graph)
{
    size_t position = 0;
    struct cluster_namespace *gone = NULL;
    for (struct map_entry *at; (at = map_next(&graph->namespaces, &position));) {
        struct cluster_namespace *ns = at->value;
        if (ns->pods || ns->policies || ns->mtls || ns->guard)
            continue;
        ns->next_gone = gone;
        gone = ns;
    }
    while (gone) {
        struct cluster_namespace *next = gone->next_gone;
        map_remove_str(&graph->namespaces, gone->name);
        free(gone->name);
        free(gone);
        gone = next;
    }
}

/* --- all of it -------------------------------------------------------------------------------- */

enum err_code cluster_compile(struct cluster_graph *graph, struct err *err)
{
    if (graph->mtls_dirty)
        cluster_guards_settle(graph);
    enum err_code code = compile_services(graph, err);
    if (code == ERR_OK)
        sweep_externals(graph);
    if (code == ERR_OK)
        code = compile_workloads(graph, &graph->pods, err);
    if (code == ERR_OK)
        code = compile_workloads(graph, &graph->externals, err);
    if (code == ERR_OK)
        code = cluster_guards_hold_wide(graph, err);
    if (code != ERR_OK)
        return code;
    graph->mtls_dirty = false;
    sweep_slots(graph);
    sweep_namespaces(graph);
    return ERR_OK;
}

static enum err_code add(struct xds_set *set, struct xds_resource *resource, struct err *err)
{
    if (!resource)
        return ERR_OK;
    enum err_code code = xds_set_add(set, xds_resource_ref(resource), err);
    if (code != ERR_OK)
        xds_resource_unref(resource);
    return code;
}

/* One more workload whose proxy will call. */
static enum err_code count_identity(struct compiled *out, const struct cluster_workload *workload,
                                    struct err *err)
{
    const struct mesh_workload *record = workload->pod.workload;
    char key[TOKEN_NAME_MAX * 2];
    if (!workload->resource || record->tunnel != MESH_TUNNEL_LEGACY_MTLS)
        return ERR_OK;
    snprintf(key, sizeof key, "%s/%s", record->namespace, mesh_workload_account(record));
    uintptr_t count = (uintptr_t)map_get_str(&out->identities, key);
    if (map_set_str(&out->identities, key, (void *)(count + 1), NULL))
        return ERR_OK;
    return err_set(err, ERR_NO_MEMORY, "no memory for the mesh");
}

/* Counts the records, and puts them into `set` unless that is NULL. */
static enum err_code walk(const struct cluster_graph *graph, struct compiled *out,
                          struct xds_set *set, struct err *err)
{
    const struct map *const maps[] = {&graph->pods, &graph->externals};
    enum err_code code = ERR_OK;
    struct map_entry *at;
    for (int i = 0; i < 2; i++) {
        size_t position = 0;
        while (code == ERR_OK && (at = map_next(maps[i], &position))) {
            const struct cluster_workload *workload = at->value;
            out->workload_count += workload->resource != NULL;
            code = set ? add(set, workload->resource, err) : ERR_OK;
            if (code == ERR_OK)
                code = count_identity(out, workload, err);
        }
    }
    size_t position = 0;
    while (code == ERR_OK && (at = map_next(&graph->slots, &position))) {
        const struct cluster_service_slot *slot = at->value;
        out->service_count += slot->resource != NULL;
        code = set ? add(set, slot->resource, err) : ERR_OK;
    }
    return code;
}

static void add_policy(struct compiled *out, struct xds_resource *resource, enum mesh_scope scope)
{
    if (resource)
        out->policies[out->policy_count++] =
            (struct compiled_policy){xds_resource_ref(resource), scope};
}

static void add_policies(const struct cluster_graph *graph, struct compiled *out)
{
    size_t position = 0;
    struct map_entry *at;
    while ((at = map_next(&graph->guards, &position))) {
        const struct cluster_guard *guard = at->value;
        add_policy(out, guard->resource, guard->scope);
    }
    for (unsigned i = 0; i < CLUSTER_GROUPS; i++) {
        position = 0;
        while ((at = map_next(&graph->policies[i], &position))) {
            const struct cluster_policy *policy = at->value;
            add_policy(out, policy->resource, policy->scope);
        }
    }
}

enum err_code cluster_compile_take(struct cluster_graph *graph, struct compiled *out,
                                   struct err *err)
{
    size_t count = graph->guards.count;
    for (unsigned i = 0; i < CLUSTER_GROUPS; i++)
        count += graph->policies[i].count;
    struct compiled made = {.policies = calloc(count + 1, sizeof *made.policies)};
    if (graph->whole)
        made.addresses = xds_set_new();
    else if (!graph->changes)
        made.addresses = xds_set_new_changes();
    enum err_code code = ERR_OK;
    if (!made.policies || (!made.addresses && !graph->changes))
        code = err_set(err, ERR_NO_MEMORY, "no memory for the mesh");
    if (code == ERR_OK)
        code = walk(graph, &made, graph->whole ? made.addresses : NULL, err);
    if (code != ERR_OK) {
        compiled_deinit(&made);
        return code;
    }
    add_policies(graph, &made);
    if (made.addresses)
        xds_set_free(graph->changes);
    else
        made.addresses = graph->changes;
    graph->changes = NULL;
    graph->whole = graph->changed = false;
    *out = made;
    return ERR_OK;
}
