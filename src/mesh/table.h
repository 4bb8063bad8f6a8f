/* Records by key: a dense array, which a copy and a walk like, and a hash index into it. The table
 * holds a reference to each record through its kind. Only snapshot.c and builder.c use it. */
#ifndef MESH_TABLE_H
#define MESH_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/ref.h"

/* How every record starts: workload, service and policy alike. */
struct mesh_record {
    struct ref ref;
    uint32_t hash; /* of key */
    const char *key;
};

struct mesh_item {
    struct mesh_record *record;
    uint64_t age; /* when it came: greater is later */
};

struct mesh_table {
    struct mesh_item *items;
    uint32_t *slots; /* index into items + 1; 0 = free */
    uint32_t count, capacity;
    uint32_t slot_count; /* a power of two, at least twice the capacity, or 0 */
};

/* Takes a reference of its own to every record of `from`. False: out of memory, *to is empty. */
bool mesh_table_copy(struct mesh_table *to, const struct mesh_table *from);
/* Drops every reference; *table is empty then. */
void mesh_table_deinit(struct mesh_table *table);

/* Adds `record` or puts it in the place of the one with its key. False: out of memory. */
bool mesh_table_put(struct mesh_table *table, struct mesh_record *record, uint64_t age);
bool mesh_table_remove(struct mesh_table *table, const char *key);
/* Index into items, or -1. */
int64_t mesh_table_find(const struct mesh_table *table, const char *key, uint32_t hash);

#endif
