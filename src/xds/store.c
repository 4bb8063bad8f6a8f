#include "xds/store.h"

#include <stdlib.h>
#include <string.h>

/* --- sets --- */

struct xds_set {
    struct map resources; /* name -> struct xds_resource, or &removed */
    bool changes;
};

/* Stands for a resource that goes. */
static struct xds_resource removed;

struct xds_set *xds_set_new(void)
{
    return calloc(1, sizeof(struct xds_set));
}

struct xds_set *xds_set_new_changes(void)
{
    struct xds_set *set = xds_set_new();
    if (set)
        set->changes = true;
    return set;
}

static void forget(struct xds_resource *resource)
{
    if (resource != &removed)
        xds_resource_unref(resource);
}

void xds_set_free(struct xds_set *set)
{
    if (!set)
        return;
    size_t position = 0;
    for (struct map_entry *at; (at = map_next(&set->resources, &position));)
        forget(at->value);
    map_deinit(&set->resources);
    free(set);
}

static enum err_code set_name(struct xds_set *set, const char *name, struct xds_resource *resource,
                              struct err *err)
{
    void *old;
    if (!map_set_str(&set->resources, name, resource, &old))
        return err_set(err, ERR_NO_MEMORY, "out of memory for a set of resources");
    forget(old);
    return ERR_OK;
}

enum err_code xds_set_add(struct xds_set *set, struct xds_resource *resource, struct err *err)
{
    return set_name(set, resource->name, resource, err);
}

enum err_code xds_set_remove(struct xds_set *set, const char *name, struct err *err)
{
    return set_name(set, name, &removed, err);
}

size_t xds_set_count(const struct xds_set *set)
{
    return set->resources.count;
}

/* --- the order of changes --- */

static void unlink_entry(struct xds_list *list, struct xds_entry *entry)
{
    *(entry->older ? &entry->older->newer : &list->oldest) = entry->newer;
    *(entry->newer ? &entry->newer->older : &list->newest) = entry->older;
    entry->older = entry->newer = NULL;
}

static void link_newest(struct xds_list *list, struct xds_entry *entry)
{
    entry->older = list->newest;
    *(list->newest ? &list->newest->newer : &list->oldest) = entry;
    list->newest = entry;
}

static void touch(struct xds_store *store, struct xds_list *list, struct xds_entry *entry)
{
    unlink_entry(list, entry);
    entry->seq = ++store->seq;
    link_newest(list, entry);
}

struct xds_entry *xds_list_after(const struct xds_list *list, uint64_t seq)
{
    struct xds_entry *entry = list->newest, *found = NULL;
    while (entry && entry->seq > seq) {
        found = entry;
        entry = entry->older;
    }
    return found;
}

struct xds_entry *xds_list_find(const struct xds_list *list, const char *name)
{
    struct xds_entry *entry = map_get_str(&list->names, name);
    return entry && !entry->gone ? entry : NULL;
}

/* --- entries --- */

static bool take_id(struct xds_list *list, struct xds_entry *entry)
{
    if (list->free_id_count > 0) {
        entry->id = list->free_ids[--list->free_id_count];
    } else {
        if (list->id_count == list->id_capacity) {
            uint32_t capacity = list->id_capacity ? list->id_capacity * 2 : 64;
            struct xds_entry **by_id = realloc(list->by_id, capacity * sizeof(*by_id));
            if (by_id)
                list->by_id = by_id;
            uint32_t *free_ids = realloc(list->free_ids, capacity * sizeof *free_ids);
            if (free_ids)
                list->free_ids = free_ids;
            if (!by_id || !free_ids)
                return false;
            list->id_capacity = capacity;
        }
        entry->id = list->id_count++;
    }
    list->by_id[entry->id] = entry;
    return true;
}

static bool index_texts(struct xds_index *index, const char *const *texts, unsigned count,
                        struct xds_entry *entry)
{
    for (unsigned i = 0; i < count; i++) {
        if (!xds_index_add(index, texts[i], entry)) {
            while (i-- > 0)
                xds_index_remove(index, texts[i], entry);
            return false;
        }
    }
    return true;
}

static void unindex_texts(struct xds_index *index, const char *const *texts, unsigned count,
                          struct xds_entry *entry)
{
    for (unsigned i = 0; i < count; i++)
        xds_index_remove(index, texts[i], entry);
}

static bool index_entry(struct xds_list *list, const struct xds_resource *resource,
                        struct xds_entry *entry)
{
    if (!index_texts(&list->aliases, resource->aliases, resource->alias_count, entry))
        return false;
    if (!index_texts(&list->groups, resource->groups, resource->group_count, entry)) {
        unindex_texts(&list->aliases, resource->aliases, resource->alias_count, entry);
        return false;
    }
    return true;
}

static void unindex_entry(struct xds_list *list, const struct xds_resource *resource,
                          struct xds_entry *entry)
{
    unindex_texts(&list->aliases, resource->aliases, resource->alias_count, entry);
    unindex_texts(&list->groups, resource->groups, resource->group_count, entry);
}

static bool same_texts(const char *const *a, unsigned a_count, const char *const *b,
                       unsigned b_count)
{
    if (a_count != b_count)
        return false;
    for (unsigned i = 0; i < a_count; i++) {
        if (strcmp(a[i], b[i]) != 0)
            return false;
    }
    return true;
}

static bool same_index(const struct xds_resource *a, const struct xds_resource *b)
{
    return same_texts(a->aliases, a->alias_count, b->aliases, b->alias_count) &&
           same_texts(a->groups, a->group_count, b->groups, b->group_count);
}

static void free_entry(struct xds_list *list, struct xds_entry *entry)
{
    if (entry->resource)
        xds_resource_unref(entry->resource);
    list->by_id[entry->id] = NULL;
    list->free_ids[list->free_id_count++] = entry->id;
    free(entry);
}

/* --- updates --- */

static bool add_entry(struct xds_store *store, struct xds_list *list, struct xds_resource *resource)
{
    struct xds_entry *entry = calloc(1, sizeof *entry);
    if (!entry || !take_id(list, entry)) {
        free(entry);
        return false;
    }
    if (!index_entry(list, resource, entry)) {
        free_entry(list, entry);
        return false;
    }
    if (!map_set_str(&list->names, resource->name, entry, NULL)) {
        unindex_entry(list, resource, entry);
        free_entry(list, entry);
        return false;
    }
    entry->resource = xds_resource_ref(resource);
    entry->seq = ++store->seq;
    link_newest(list, entry);
    list->count++;
    return true;
}

static bool replace_resource(struct xds_store *store, struct xds_list *list,
                             struct xds_entry *entry, struct xds_resource *resource)
{
    bool reindex = entry->gone || !same_index(entry->resource, resource);
    if (reindex) {
        if (!index_entry(list, resource, entry))
            return false;
        if (!entry->gone)
            unindex_entry(list, entry->resource, entry);
    }
    if (entry->gone) {
        entry->gone = false;
        list->tombstones--;
        list->count++;
    }
    xds_resource_unref(entry->resource);
    entry->resource = xds_resource_ref(resource);
    touch(store, list, entry);
    return true;
}

static bool put(struct xds_store *store, struct xds_list *list, struct xds_resource *resource)
{
    struct xds_entry *entry = map_get_str(&list->names, resource->name);
    if (!entry)
        return add_entry(store, list, resource);
    if (!entry->gone && entry->resource->hash == resource->hash &&
        same_index(entry->resource, resource))
        return true;
    return replace_resource(store, list, entry, resource);
}

static void bury(struct xds_store *store, struct xds_list *list, struct xds_entry *entry)
{
    unindex_entry(list, entry->resource, entry);
    entry->gone = true;
    list->count--;
    list->tombstones++;
    touch(store, list, entry);
}

static void drop_tombstone(struct xds_list *list, struct xds_entry *entry)
{
    unlink_entry(list, entry);
    map_remove_str(&list->names, entry->resource->name);
    list->tombstones--;
    free_entry(list, entry);
}

/* What a set of all resources does not name is gone. */
static void bury_others(struct xds_store *store, struct xds_list *list, const struct xds_set *set)
{
    uint64_t until = store->seq;
    struct xds_entry *entry = list->oldest;
    while (entry && entry->seq <= until) {
        struct xds_entry *newer = entry->newer;
        if (!entry->gone && !map_get_str(&set->resources, entry->resource->name))
            bury(store, list, entry);
        entry = newer;
    }
}

static void bury_name(struct xds_store *store, struct xds_list *list, const char *name)
{
    struct xds_entry *entry = xds_list_find(list, name);
    if (entry)
        bury(store, list, entry);
}

static void trim_tombstones(struct xds_store *store, struct xds_list *list)
{
    struct xds_entry *oldest = list->oldest;
    while (oldest && list->tombstones > store->tombstones_max) {
        struct xds_entry *newer = oldest->newer;
        if (oldest->gone) {
            list->floor = oldest->seq;
            drop_tombstone(list, oldest);
        }
        oldest = newer;
    }
}

enum err_code xds_store_update(struct xds_store *store, enum xds_type type, struct xds_set *set,
                               bool *changed, struct err *err)
{
    struct xds_list *list = &store->lists[type];
    uint64_t before = store->seq;
    bool complete = true;
    size_t position = 0;
    for (struct map_entry *at; (at = map_next(&set->resources, &position));) {
        if (at->value == &removed)
            bury_name(store, list, at->key);
        else
            complete = put(store, list, at->value) && complete;
    }
    if (!set->changes)
        bury_others(store, list, set);
    trim_tombstones(store, list);
    xds_set_free(set);
    *changed = store->seq != before;
    store->generation += *changed;
    if (!complete)
        return err_set(err, ERR_NO_MEMORY, "out of memory for resources of type %s",
                       xds_type_name(type));
    return ERR_OK;
}

void xds_store_prune(struct xds_store *store, enum xds_type type, uint64_t seq)
{
    struct xds_list *list = &store->lists[type];
    struct xds_entry *entry = list->oldest;
    while (entry && list->tombstones > 0 && entry->seq <= seq) {
        struct xds_entry *newer = entry->newer;
        if (entry->gone)
            drop_tombstone(list, entry);
        entry = newer;
    }
}

void xds_store_init(struct xds_store *store)
{
    *store = (struct xds_store){.tombstones_max = XDS_TOMBSTONES_MAX};
}

void xds_store_deinit(struct xds_store *store)
{
    for (int i = 0; i < XDS_TYPE_COUNT; i++) {
        struct xds_list *list = &store->lists[i];
        while (list->oldest) {
            struct xds_entry *entry = list->oldest;
            unlink_entry(list, entry);
            free_entry(list, entry);
        }
        map_deinit(&list->names);
        xds_index_deinit(&list->aliases);
        xds_index_deinit(&list->groups);
        free(list->by_id);
        free(list->free_ids);
    }
    xds_store_init(store);
}
