#include "xds/index.h"

#include <stdlib.h>

static void members_free(struct xds_members *members)
{
    if (members)
        free(members->items);
    free(members);
}

void xds_index_deinit(struct xds_index *index)
{
    size_t position = 0;
    for (struct map_entry *at; (at = map_next(&index->members, &position));)
        members_free(at->value);
    map_deinit(&index->members);
}

static bool append(struct xds_members *members, struct xds_entry *entry)
{
    if (members->count == members->capacity) {
        uint32_t capacity = members->capacity ? members->capacity * 2 : 1;
        struct xds_entry **items = realloc(members->items, capacity * sizeof(*items));
        if (!items)
            return false;
        members->items = items;
        members->capacity = capacity;
    }
    members->items[members->count++] = entry;
    return true;
}

bool xds_index_add(struct xds_index *index, const char *text, struct xds_entry *entry)
{
    struct xds_members *members = map_get_str(&index->members, text);
    if (members)
        return append(members, entry);
    members = calloc(1, sizeof *members);
    if (!members || !append(members, entry) || !map_set_str(&index->members, text, members, NULL)) {
        members_free(members);
        return false;
    }
    return true;
}

void xds_index_remove(struct xds_index *index, const char *text, struct xds_entry *entry)
{
    struct xds_members *members = map_get_str(&index->members, text);
    if (!members)
        return;
    for (uint32_t i = 0; i < members->count; i++) {
        if (members->items[i] == entry) {
            members->items[i] = members->items[--members->count];
            break;
        }
    }
    if (members->count == 0) {
        map_remove_str(&index->members, text);
        members_free(members);
    }
}

const struct xds_members *xds_index_get(const struct xds_index *index, const char *text)
{
    return map_get_str(&index->members, text);
}
