#include "control/cluster_guards.h"

#include <stdlib.h>
#include <string.h>

#include "control/compile_policy.h"
#include "control/compile_record.h"

/* --- which mode holds where ------------------------------------------------------------------- */

/* The oldest of those without a selector, or with one that picks `workload`. */
static const struct cluster_mtls *oldest(const struct cluster_mtls *list,
                                         const struct mesh_workload *workload)
{
    const struct cluster_mtls *best = NULL;
    for (; list; list = list->next) {
        if (list->selector && (workload ? list->selector->count > 0 &&
                                              cluster_selector_matches(list->selector, workload)
                                        : list->selector->count == 0))
            best = cluster_mtls_older(best, list);
    }
    return best;
}

/* Says to each of a list whether `level` is in force in its place; true when one selects. */
static bool settle_level(struct cluster_mtls *list, const struct cluster_mtls *level)
{
    bool selects = false;
    for (; list; list = list->next) {
        bool whole = list->selector && list->selector->count == 0;
        const struct cluster_mtls *beaten_by = whole && list != level ? level : NULL;
        selects = selects || (list->selector && !whole);
        list->reported = list->reported && list->beaten_by == beaten_by;
        list->beaten_by = beaten_by;
    }
    return selects;
}

static void mark_pods(struct cluster_namespace *ns)
{
    for (struct cluster_workload *pod = ns->pods; pod; pod = pod->next_of_ns)
        pod->dirty = true;
}

void cluster_guards_settle(struct cluster_graph *graph)
{
    size_t position = 0;
    graph->level = oldest(graph->mtls_everywhere, NULL);
    settle_level(graph->mtls_everywhere, graph->level);
    graph->by_namespace = false;
    for (struct map_entry *at; (at = map_next(&graph->namespaces, &position));) {
        struct cluster_namespace *ns = at->value;
        bool before = ns->selects;
        ns->level = oldest(ns->mtls, NULL);
        ns->selects = settle_level(ns->mtls, ns->level);
        ns->dirty = true;
        graph->by_namespace = graph->by_namespace || ns->mtls;
        if (before || ns->selects)
            mark_pods(ns);
    }
}

/* --- guards ----------------------------------------------------------------------------------- */

/* The one of that content, made when it is not there. */
static enum err_code hold(struct cluster_graph *graph, struct source_arena *arena,
                          const struct source_guard *wanted, struct cluster_guard **out,
                          struct err *err)
{
    struct mesh_policy draft;
    struct cluster_guard *held = map_get_str(&graph->guards, wanted->key);
    if (held) {
        held->uses++;
        *out = held;
        return ERR_OK;
    }
    compile_guard_draft(arena, wanted, &draft);
    held = arena->failed ? NULL : calloc(1, sizeof *held);
    if (!held || !map_set_str(&graph->guards, wanted->key, held, NULL)) {
        free(held);
        return err_set(err, ERR_NO_MEMORY, "no memory for policy %s", wanted->key);
    }
    *held = (struct cluster_guard){.scope = wanted->scope, .uses = 1};
    enum err_code code = compile_policy_resource(&draft, &held->resource, err);
    if (code != ERR_OK) {
        free(map_remove_str(&graph->guards, wanted->key));
        return code;
    }
    graph->changed = true;
    *out = held;
    return ERR_OK;
}

void cluster_guards_release(struct cluster_graph *graph, struct cluster_guard *guard)
{
    if (!guard || --guard->uses > 0)
        return;
    map_remove_str(&graph->guards, guard->resource->name);
    xds_resource_unref(guard->resource);
    free(guard);
    graph->changed = true;
}

/* Replaces *slot by the guard for these levels, or by none. */
static enum err_code hold_guard(struct cluster_graph *graph, struct cluster_guard **slot,
                                const struct cluster_mtls_levels *levels, enum mesh_scope scope,
                                const char *ns, struct err *err)
{
    struct source_arena arena = {0};
    struct source_guard wanted;
    struct cluster_guard *guard = NULL;
    enum err_code code = ERR_OK;
    bool strict = levels && cluster_mtls_guard(&arena, levels, scope, ns, &wanted);
    if (arena.failed)
        code = err_set(err, ERR_NO_MEMORY, "no memory for a policy");
    else if (strict)
        code = hold(graph, &arena, &wanted, &guard, err);
    if (code == ERR_OK) {
        cluster_guards_release(graph, *slot);
        *slot = guard;
    }
    source_arena_free(&arena);
    return code;
}

enum err_code cluster_guards_hold_pod(struct cluster_graph *graph, struct cluster_workload *pod,
                                      struct err *err)
{
    const struct cluster_namespace *ns = pod->ns;
    const struct mesh_workload *facts = pod->pod.workload;
    struct cluster_mtls_levels levels = {.ns = ns->level, .mesh = graph->level};
    bool guarded = facts->tunnel == MESH_TUNNEL_LEGACY_MTLS && ns->selects;
    if (guarded)
        levels.workload = oldest(ns->mtls, facts);
    return hold_guard(graph, &pod->guard, guarded ? &levels : NULL, MESH_SCOPE_WORKLOAD, ns->name,
                      err);
}

/* Where nothing selects, one policy guards the whole namespace, and where no namespace has a word
 * of its own, one guards the mesh. */
enum err_code cluster_guards_hold_wide(struct cluster_graph *graph, struct err *err)
{
    size_t position = 0;
    const struct cluster_mtls_levels mesh = {.mesh = graph->level};
    enum err_code code = ERR_OK;
    if (graph->mtls_dirty)
        code = hold_guard(graph, &graph->guard, graph->by_namespace ? NULL : &mesh,
                          MESH_SCOPE_GLOBAL, "", err);
    for (struct map_entry *at; code == ERR_OK && (at = map_next(&graph->namespaces, &position));) {
        struct cluster_namespace *ns = at->value;
        const struct cluster_mtls_levels levels = {.ns = ns->level, .mesh = graph->level};
        bool guarded = graph->by_namespace && !ns->selects && ns->meshed > 0;
        if (!ns->dirty)
            continue;
        code = hold_guard(graph, &ns->guard, guarded ? &levels : NULL, MESH_SCOPE_NAMESPACE,
                          ns->name, err);
        ns->dirty = code != ERR_OK;
    }
    return code;
}
