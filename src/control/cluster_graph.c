/* Namespaces, places and pods. */
#include "control/cluster_graph.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "control/cluster_guards.h"

/* --- records ---------------------------------------------------------------------------------- */

/* A change that cannot be noted makes the next mesh a whole one. */
static void note(struct cluster_graph *graph, const char *name, struct xds_resource *resource)
{
    graph->changed = true;
    if (graph->whole)
        return;
    if (!graph->changes)
        graph->changes = xds_set_new_changes();
    bool noted = false;
    if (graph->changes && resource) {
        noted = xds_set_add(graph->changes, xds_resource_ref(resource), NULL) == ERR_OK;
        if (!noted)
            xds_resource_unref(resource);
    } else if (graph->changes) {
        noted = xds_set_remove(graph->changes, name, NULL) == ERR_OK;
    }
    graph->whole = !noted;
}

void cluster_graph_keep(struct cluster_graph *graph, struct xds_resource **slot,
                        struct xds_resource *resource)
{
    struct xds_resource *old = *slot;
    if (old && resource && old->hash == resource->hash) {
        xds_resource_unref(resource);
        return;
    }
    if (old || resource)
        note(graph, resource ? resource->name : old->name, resource);
    xds_resource_unref(old);
    *slot = resource;
}

/* --- namespaces ------------------------------------------------------------------------------- */

struct cluster_namespace *cluster_graph_namespace(struct cluster_graph *graph, const char *name)
{
    struct cluster_namespace *ns = map_get_str(&graph->namespaces, name);
    if (ns)
        return ns;
    ns = calloc(1, sizeof *ns);
    if (ns)
        ns->name = strdup(name);
    if (!ns || !ns->name || !map_set_str(&graph->namespaces, name, ns, NULL)) {
        free(ns ? ns->name : NULL);
        free(ns);
        return NULL;
    }
    return ns;
}

/* --- places ----------------------------------------------------------------------------------- */

struct cluster_place *cluster_graph_place(const struct cluster_graph *graph, const struct addr *ip)
{
    return map_get(&graph->places, ip->bytes, ip->len);
}

struct cluster_place *cluster_graph_make_place(struct cluster_graph *graph, const struct addr *ip)
{
    struct cluster_place *place = cluster_graph_place(graph, ip);
    if (place)
        return place;
    place = calloc(1, sizeof *place);
    if (place && !map_set(&graph->places, ip->bytes, ip->len, place, NULL)) {
        free(place);
        place = NULL;
    }
    return place;
}

void cluster_graph_drop_place(struct cluster_graph *graph, const struct addr *ip)
{
    struct cluster_place *place = cluster_graph_place(graph, ip);
    if (place && !place->pods && !place->endpoints)
        free(map_remove(&graph->places, ip->bytes, ip->len));
}

static bool goes_before(const struct cluster_pod *a, const struct cluster_pod *b)
{
    int order = strcmp(a->created, b->created);
    if (a->terminating != b->terminating)
        return b->terminating;
    return order != 0 ? order > 0 : strcmp(a->workload->uid, b->workload->uid) > 0;
}

struct cluster_workload *cluster_graph_owner(const struct cluster_place *place)
{
    struct cluster_workload *best = NULL;
    for (const struct cluster_at *at = place->pods; at; at = at->next) {
        if (at->workload->pod.workload->network_mode == MESH_NETWORK_STANDARD &&
            (!best || goes_before(&at->workload->pod, &best->pod)))
            best = at->workload;
    }
    return best;
}

/* Whoever is at one of these addresses may have something else to say now. */
static void mark_places(struct cluster_graph *graph, const struct mesh_workload *workload)
{
    for (unsigned i = 0; i < workload->address_count; i++) {
        struct cluster_place *place = cluster_graph_place(graph, &workload->addresses[i]);
        for (struct cluster_at *at = place ? place->pods : NULL; at; at = at->next) {
            if (at->workload->pod.workload->network_mode == MESH_NETWORK_STANDARD)
                at->workload->dirty = true;
        }
        struct cluster_endpoint *endpoint = place ? place->endpoints : NULL;
        for (; endpoint; endpoint = endpoint->next)
            endpoint->slice->slot->dirty = true;
    }
}

static void leave_places(struct cluster_graph *graph, const struct mesh_workload *workload,
                         struct cluster_at *at)
{
    for (unsigned i = 0; at && i < workload->address_count; i++) {
        CLUSTER_LIST_REMOVE(&at[i], next, link);
        cluster_graph_drop_place(graph, &workload->addresses[i]);
    }
    free(at);
}

/* NULL: out of memory. */
static struct cluster_at *take_places(struct cluster_graph *graph, struct cluster_workload *owner,
                                      const struct mesh_workload *workload)
{
    struct cluster_at *at = calloc(workload->address_count + 1, sizeof *at);
    for (unsigned i = 0; at && i < workload->address_count; i++) {
        struct cluster_place *place = cluster_graph_make_place(graph, &workload->addresses[i]);
        if (!place) {
            leave_places(graph, workload, at);
            return NULL;
        }
        at[i].workload = owner;
        CLUSTER_LIST_ADD(&place->pods, &at[i], next, link);
    }
    return at;
}

/* --- pods ------------------------------------------------------------------------------------- */

static bool is_meshed(const struct cluster_pod *pod)
{
    return pod->workload && pod->workload->tunnel == MESH_TUNNEL_LEGACY_MTLS;
}

static void count_meshed(struct cluster_namespace *ns, bool before, bool after)
{
    if (before == after)
        return;
    ns->meshed += after ? 1 : -1u;
    ns->dirty = true;
}

/* Replaces what is known of the pod; takes `pod` on success. */
static bool replace(struct cluster_graph *graph, struct cluster_workload *workload,
                    const struct cluster_pod *pod)
{
    struct cluster_at *at = take_places(graph, workload, pod->workload), *old_at = workload->at;
    struct cluster_pod old = workload->pod;
    if (!at)
        return false;
    count_meshed(workload->ns, is_meshed(&old), is_meshed(pod));
    workload->pod = *pod;
    workload->at = at;
    workload->dirty = true;
    if (old.workload) {
        leave_places(graph, old.workload, old_at);
        mark_places(graph, old.workload);
    }
    mark_places(graph, pod->workload);
    cluster_pod_deinit(&old);
    return true;
}

static struct cluster_workload *add(struct cluster_graph *graph, const char *key, const char *ns)
{
    struct cluster_workload *workload = calloc(1, sizeof *workload);
    if (workload)
        workload->ns = cluster_graph_namespace(graph, ns);
    if (!workload || !workload->ns || !map_set_str(&graph->pods, key, workload, NULL)) {
        free(workload);
        return NULL;
    }
    CLUSTER_LIST_ADD(&workload->ns->pods, workload, next_of_ns, link_of_ns);
    return workload;
}

void cluster_graph_free_link(struct cluster_link *link)
{
    CLUSTER_LIST_REMOVE(link, next_of_slot, link_of_slot);
    CLUSTER_LIST_REMOVE(link, next_of_workload, link_of_workload);
    free(link);
}

void cluster_graph_free_workload(struct cluster_graph *graph, struct cluster_workload *workload)
{
    while (workload->links)
        cluster_graph_free_link(workload->links);
    CLUSTER_LIST_REMOVE(workload, next_of_ns, link_of_ns);
    cluster_guards_release(graph, workload->guard);
    cluster_graph_keep(graph, &workload->resource, NULL);
    cluster_pod_deinit(&workload->pod);
    free(workload);
}

void cluster_graph_remove_pod(struct cluster_graph *graph, const char *key)
{
    struct cluster_workload *workload = map_remove_str(&graph->pods, key);
    if (!workload)
        return;
    const struct mesh_workload *facts = workload->pod.workload;
    if (facts) {
        leave_places(graph, facts, workload->at);
        mark_places(graph, facts);
    }
    count_meshed(workload->ns, is_meshed(&workload->pod), false);
    cluster_graph_free_workload(graph, workload);
}

static enum err_code keep_pod(struct cluster_graph *graph, const char *key, const char *ns,
                              const struct cluster_pod *pod, struct err *err)
{
    struct cluster_workload *workload = map_get_str(&graph->pods, key);
    bool fresh = !workload;
    if (fresh)
        workload = add(graph, key, ns);
    if (workload && replace(graph, workload, pod))
        return ERR_OK;
    if (workload && fresh)
        cluster_graph_remove_pod(graph, key);
    return err_set(err, ERR_NO_MEMORY, "no memory for pod %s", key);
}

enum err_code cluster_graph_put_pod(struct cluster_graph *graph, const char *ns, const char *name,
                                    const json_t *object, struct err *err)
{
    struct cluster_pod pod;
    struct source_arena arena = {0};
    const char *key = source_arena_format(&arena, "%s/%s", ns, name);
    enum err_code code = key ? cluster_pod_read(graph->cluster_id, ns, name, object, &pod, err)
                             : err_set(err, ERR_NO_MEMORY, "no memory for a pod");
    if (code == ERR_XDS_RESOURCE) {
        LOG_LIMITED(LOG_LEVEL_WARN, 5, "pod_left_out", F_STR("pod", key), F_ERR(err));
        code = ERR_OK;
    }
    if (code == ERR_OK) {
        const struct cluster_workload *known = map_get_str(&graph->pods, key);
        if (!pod.workload)
            cluster_graph_remove_pod(graph, key);
        else if (known && cluster_pod_equal(&known->pod, &pod))
            cluster_pod_deinit(&pod);
        else if ((code = keep_pod(graph, key, ns, &pod, err)) != ERR_OK)
            cluster_pod_deinit(&pod);
    }
    source_arena_free(&arena);
    return code;
}

/* --- the end ---------------------------------------------------------------------------------- */

static void empty(struct cluster_graph *graph, struct map *map,
                  void (*release)(struct cluster_graph *, void *))
{
    size_t position = 0;
    for (struct map_entry *at; (at = map_next(map, &position));)
        release(graph, at->value);
    map_deinit(map);
}

static void release_workload(struct cluster_graph *graph, void *workload)
{
    free(((struct cluster_workload *)workload)->at);
    cluster_graph_free_workload(graph, workload);
}

static void release_slot(struct cluster_graph *graph, void *slot)
{
    cluster_graph_free_slot(graph, slot);
}

static void release_namespace(struct cluster_graph *graph, void *ns)
{
    cluster_guards_release(graph, ((struct cluster_namespace *)ns)->guard);
    free(((struct cluster_namespace *)ns)->name);
    free(ns);
}

static void release_policy(struct cluster_graph *graph, void *policy)
{
    (void)graph;
    cluster_policy_free(policy);
}

static void release_mtls(struct cluster_graph *graph, void *mtls)
{
    (void)graph;
    cluster_mtls_free(mtls);
}

static void release_block(struct cluster_graph *graph, void *block)
{
    (void)graph;
    free(block);
}

void cluster_graph_deinit(struct cluster_graph *graph)
{
    graph->whole = true; /* nothing is to be noted any more */
    xds_set_free(graph->changes);
    empty(graph, &graph->pods, release_workload);
    empty(graph, &graph->externals, release_workload);
    empty(graph, &graph->slots, release_slot);
    empty(graph, &graph->slices, release_block);
    empty(graph, &graph->places, release_block);
    empty(graph, &graph->namespaces, release_namespace);
    for (unsigned i = 0; i < CLUSTER_GROUPS; i++) {
        empty(graph, &graph->policies[i], release_policy);
        empty(graph, &graph->mtls[i], release_mtls);
    }
    cluster_guards_release(graph, graph->guard);
    map_deinit(&graph->guards);
    *graph = (struct cluster_graph){0};
}
