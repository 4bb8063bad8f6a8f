/* Text -> the entries that go by it: aliases that several resources share, groups and their
 * members. Only store.c uses it. */
#ifndef XDS_INDEX_H
#define XDS_INDEX_H

#include "base/map.h"

struct xds_entry;

struct xds_members {
    struct xds_entry **items;
    uint32_t count, capacity;
};

struct xds_index {
    struct map members; /* text -> struct xds_members */
};

void xds_index_deinit(struct xds_index *index);
/* A pair may be added several times, and then has to be removed as often. False: out of memory, the
 * index is as before. */
bool xds_index_add(struct xds_index *index, const char *text, struct xds_entry *entry);
/* A pair that is not there is passed over. */
void xds_index_remove(struct xds_index *index, const char *text, struct xds_entry *entry);
/* Borrowed until the next change; NULL = nobody. */
const struct xds_members *xds_index_get(const struct xds_index *index, const char *text);

#endif
