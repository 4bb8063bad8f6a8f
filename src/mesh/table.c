#include "mesh/table.h"

#include <stdlib.h>
#include <string.h>

#include "mesh/block.h"

/* All three kinds of record are one allocation that starts with the count. */
static void record_unref(struct mesh_record *record)
{
    if (ref_put(&record->ref))
        free(record);
}

/* The slot that holds the key, or the free one where it would go. */
static uint32_t find_slot(const struct mesh_table *table, const char *key, uint32_t hash)
{
    uint32_t mask = table->slot_count - 1, at = hash & mask;
    for (;; at = (at + 1) & mask) {
        if (table->slots[at] == 0)
            return at;
        const struct mesh_record *record = table->items[table->slots[at] - 1].record;
        if (record->hash == hash && strcmp(record->key, key) == 0)
            return at;
    }
}

static bool grow(struct mesh_table *table)
{
    uint32_t capacity = table->capacity ? table->capacity * 2 : 8, slot_count = capacity * 2;
    struct mesh_item *items = realloc(table->items, capacity * sizeof *items);
    if (!items)
        return false;
    table->items = items;
    uint32_t *slots = calloc(slot_count, sizeof *slots);
    if (!slots)
        return false;
    free(table->slots);
    table->slots = slots;
    table->slot_count = slot_count;
    table->capacity = capacity;
    for (uint32_t i = 0; i < table->count; i++) {
        const struct mesh_record *record = items[i].record;
        table->slots[find_slot(table, record->key, record->hash)] = i + 1;
    }
    return true;
}

bool mesh_table_copy(struct mesh_table *to, const struct mesh_table *from)
{
    *to = (struct mesh_table){0};
    if (from->count == 0)
        return true;
    struct mesh_table copy = *from;
    copy.items = malloc(from->capacity * sizeof *copy.items);
    copy.slots = malloc(from->slot_count * sizeof *copy.slots);
    if (!copy.items || !copy.slots) {
        free(copy.items);
        free(copy.slots);
        return false;
    }
    memcpy(copy.items, from->items, from->count * sizeof *copy.items);
    memcpy(copy.slots, from->slots, from->slot_count * sizeof *copy.slots);
    for (uint32_t i = 0; i < copy.count; i++)
        ref_get(&copy.items[i].record->ref);
    *to = copy;
    return true;
}

void mesh_table_deinit(struct mesh_table *table)
{
    for (uint32_t i = 0; i < table->count; i++)
        record_unref(table->items[i].record);
    free(table->items);
    free(table->slots);
    *table = (struct mesh_table){0};
}

bool mesh_table_put(struct mesh_table *table, struct mesh_record *record, uint64_t age)
{
    if (table->count == table->capacity && !grow(table))
        return false;
    ref_get(&record->ref);
    uint32_t *slot = &table->slots[find_slot(table, record->key, record->hash)];
    if (*slot == 0) {
        *slot = ++table->count;
    } else {
        record_unref(table->items[*slot - 1].record);
    }
    table->items[*slot - 1] = (struct mesh_item){record, age};
    return true;
}

/* Frees a slot and moves back what lay behind it on the way from its home. */
static void close_gap(struct mesh_table *table, uint32_t hole)
{
    uint32_t mask = table->slot_count - 1;
    table->slots[hole] = 0;
    for (uint32_t at = (hole + 1) & mask; table->slots[at]; at = (at + 1) & mask) {
        uint32_t home = table->items[table->slots[at] - 1].record->hash & mask;
        if (((at - home) & mask) >= ((at - hole) & mask)) {
            table->slots[hole] = table->slots[at];
            table->slots[at] = 0;
            hole = at;
        }
    }
}

bool mesh_table_remove(struct mesh_table *table, const char *key)
{
    if (table->count == 0)
        return false;
    uint32_t slot = find_slot(table, key, mesh_hash(key));
    if (table->slots[slot] == 0)
        return false;
    uint32_t index = table->slots[slot] - 1, last = table->count - 1;
    struct mesh_record *record = table->items[index].record;
    close_gap(table, slot);
    if (index != last) {
        /* The last item moves into the free place. */
        const struct mesh_record *moved = table->items[last].record;
        table->slots[find_slot(table, moved->key, moved->hash)] = index + 1;
        table->items[index] = table->items[last];
    }
    table->count--;
    record_unref(record);
    return true;
}

int64_t mesh_table_find(const struct mesh_table *table, const char *key, uint32_t hash)
{
    if (table->count == 0)
        return -1;
    return (int64_t)table->slots[find_slot(table, key, hash)] - 1;
}
