/* Services and slices; declared in cluster_graph.h. */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "control/cluster_graph.h"

/* --- slots ------------------------------------------------------------------------------------ */

static struct cluster_service_slot *make_slot(struct cluster_graph *graph, const char *key,
                                              const char *ns, const char *name)
{
    struct cluster_service_slot *slot = map_get_str(&graph->slots, key);
    if (slot)
        return slot;
    slot = calloc(1, sizeof *slot);
    if (slot) {
        slot->ns = strdup(ns);
        slot->name = strdup(name);
    }
    if (!slot || !slot->ns || !slot->name || !map_set_str(&graph->slots, key, slot, NULL)) {
        if (slot)
            cluster_graph_free_slot(graph, slot);
        return NULL;
    }
    slot->dirty = true;
    return slot;
}

void cluster_graph_free_slot(struct cluster_graph *graph, struct cluster_service_slot *slot)
{
    while (slot->links)
        cluster_graph_free_link(slot->links);
    cluster_graph_keep(graph, &slot->resource, NULL);
    cluster_service_deinit(&slot->service);
    free(slot->ns);
    free(slot->name);
    free(slot);
}

/* --- services --------------------------------------------------------------------------------- */

enum err_code cluster_graph_put_service(struct cluster_graph *graph, const char *ns,
                                        const char *name, const json_t *object, struct err *err)
{
    struct cluster_service service;
    struct source_arena arena = {0};
    const char *key = source_arena_format(&arena, "%s/%s", ns, name);
    struct cluster_service_slot *slot = key ? make_slot(graph, key, ns, name) : NULL;
    enum err_code code = slot ? cluster_service_read(ns, name, object, &service, err)
                              : err_set(err, ERR_NO_MEMORY, "no memory for a service");
    if (code == ERR_XDS_RESOURCE) {
        LOG_LIMITED(LOG_LEVEL_WARN, 5, "service_left_out", F_STR("service", key), F_ERR(err));
        code = ERR_OK;
    }
    if (code == ERR_OK && cluster_service_equal(&slot->service, &service)) {
        cluster_service_deinit(&service);
    } else if (code == ERR_OK) {
        cluster_service_deinit(&slot->service);
        slot->service = service;
        slot->same_ports = false;
        slot->dirty = true;
    }
    source_arena_free(&arena);
    return code;
}

void cluster_graph_remove_service(struct cluster_graph *graph, const char *key)
{
    struct cluster_service_slot *slot = map_get_str(&graph->slots, key);
    if (!slot)
        return;
    cluster_service_deinit(&slot->service);
    slot->same_ports = false;
    slot->dirty = true;
}

/* --- slices ----------------------------------------------------------------------------------- */

static void leave(struct cluster_graph *graph, struct cluster_slice *slice)
{
    for (unsigned i = 0; i < slice->endpoint_count; i++) {
        CLUSTER_LIST_REMOVE(&slice->endpoints[i], next, link);
        cluster_graph_drop_place(graph, &slice->endpoints[i].ip);
    }
    CLUSTER_LIST_REMOVE(slice, next_of_slot, link_of_slot);
    if (slice->slot)
        slice->slot->dirty = true;
}

static bool enter(struct cluster_graph *graph, const char *ns, struct cluster_slice *slice)
{
    struct source_arena arena = {0};
    const char *key = source_arena_format(&arena, "%s/%s", ns, slice->service);
    slice->slot = key ? make_slot(graph, key, ns, slice->service) : NULL;
    source_arena_free(&arena);
    if (!slice->slot)
        return false;
    CLUSTER_LIST_ADD(&slice->slot->slices, slice, next_of_slot, link_of_slot);
    slice->slot->dirty = true;
    for (unsigned i = 0; i < slice->endpoint_count; i++) {
        struct cluster_place *place = cluster_graph_make_place(graph, &slice->endpoints[i].ip);
        if (!place)
            return false;
        CLUSTER_LIST_ADD(&place->endpoints, &slice->endpoints[i], next, link);
    }
    return true;
}

void cluster_graph_remove_slice(struct cluster_graph *graph, const char *key)
{
    struct cluster_slice *slice = map_remove_str(&graph->slices, key);
    if (!slice)
        return;
    leave(graph, slice);
    free(slice);
}

/* Takes `slice`, also on failure. */
static enum err_code keep_slice(struct cluster_graph *graph, const char *key, const char *ns,
                                struct cluster_slice *slice, struct err *err)
{
    void *old = NULL;
    /* The new one enters before the old one leaves, so that what fails has changed nothing. */
    if (!enter(graph, ns, slice) || !map_set_str(&graph->slices, key, slice, &old)) {
        leave(graph, slice);
        free(slice);
        return err_set(err, ERR_NO_MEMORY, "no memory for slice %s", key);
    }
    if (old) {
        leave(graph, old);
        free(old);
    }
    return ERR_OK;
}

enum err_code cluster_graph_put_slice(struct cluster_graph *graph, const char *ns, const char *name,
                                      const json_t *object, struct err *err)
{
    struct cluster_slice *slice = NULL;
    struct source_arena arena = {0};
    const char *key = source_arena_format(&arena, "%s/%s", ns, name);
    enum err_code code = key ? cluster_slice_read(ns, object, &slice, err)
                             : err_set(err, ERR_NO_MEMORY, "no memory for a slice");
    if (code == ERR_OK && cluster_slice_equal(map_get_str(&graph->slices, key), slice))
        free(slice);
    else if (code == ERR_OK && !slice)
        cluster_graph_remove_slice(graph, key);
    else if (code == ERR_OK)
        code = keep_slice(graph, key, ns, slice, err);
    source_arena_free(&arena);
    return code;
}
