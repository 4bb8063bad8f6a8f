#include "base/map.h"

#include <stdlib.h>
#include <string.h>

/* FNV-1a. Keys come from the control plane and from configuration, not from peers. */
static uint32_t hash_bytes(const void *key, size_t len)
{
    const uint8_t *at = key;
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < len; i++)
        hash = (hash ^ at[i]) * 16777619u;
    return hash;
}

void map_init(struct map *map)
{
    *map = (struct map){0};
}

void map_deinit(struct map *map)
{
    for (size_t i = 0; i < map->capacity; i++)
        free(map->slots[i].key);
    free(map->slots);
    map_init(map);
}

/* The slot that holds the key, or the free one where it would go. */
static size_t find(const struct map *map, const void *key, size_t len, uint32_t hash)
{
    size_t mask = map->capacity - 1, i = hash & mask;
    for (;; i = (i + 1) & mask) {
        const struct map_entry *slot = &map->slots[i];
        if (!slot->key ||
            (slot->hash == hash && slot->key_len == len && memcmp(slot->key, key, len) == 0))
            return i;
    }
}

static bool grow(struct map *map)
{
    struct map bigger = {.capacity = map->capacity ? map->capacity * 2 : 8, .count = map->count};
    bigger.slots = calloc(bigger.capacity, sizeof *bigger.slots);
    if (!bigger.slots)
        return false;
    for (size_t i = 0; i < map->capacity; i++) {
        const struct map_entry *slot = &map->slots[i];
        if (slot->key)
            bigger.slots[find(&bigger, slot->key, slot->key_len, slot->hash)] = *slot;
    }
    free(map->slots);
    *map = bigger;
    return true;
}

bool map_set(struct map *map, const void *key, size_t key_len, void *value, void **old)
{
    if (old)
        *old = NULL;
    if (map->count * 4 >= map->capacity * 3 && !grow(map))
        return false;
    uint32_t hash = hash_bytes(key, key_len);
    struct map_entry *slot = &map->slots[find(map, key, key_len, hash)];
    if (slot->key) {
        if (old)
            *old = slot->value;
        slot->value = value;
        return true;
    }
    char *copy = malloc(key_len + 1);
    if (!copy)
        return false;
    memcpy(copy, key, key_len);
    copy[key_len] = 0;
    *slot =
        (struct map_entry){.key = copy, .value = value, .key_len = (uint32_t)key_len, .hash = hash};
    map->count++;
    return true;
}

void *map_get(const struct map *map, const void *key, size_t key_len)
{
    if (map->count == 0)
        return NULL;
    const struct map_entry *slot = &map->slots[find(map, key, key_len, hash_bytes(key, key_len))];
    return slot->key ? slot->value : NULL;
}

void *map_remove(struct map *map, const void *key, size_t key_len)
{
    if (map->count == 0)
        return NULL;
    size_t mask = map->capacity - 1, hole = find(map, key, key_len, hash_bytes(key, key_len));
    if (!map->slots[hole].key)
        return NULL;
    void *value = map->slots[hole].value;
    free(map->slots[hole].key);
    map->slots[hole].key = NULL;
    map->count--;
    /* Close the gap: move back every following entry whose home is not between the hole and itself.
     */
    for (size_t i = (hole + 1) & mask; map->slots[i].key; i = (i + 1) & mask) {
        size_t home = map->slots[i].hash & mask;
        if (((i - home) & mask) >= ((i - hole) & mask)) {
            map->slots[hole] = map->slots[i];
            map->slots[i].key = NULL;
            hole = i;
        }
    }
    return value;
}

bool map_set_str(struct map *map, const char *key, void *value, void **old)
{
    return map_set(map, key, strlen(key), value, old);
}

void *map_get_str(const struct map *map, const char *key)
{
    return map_get(map, key, strlen(key));
}

void *map_remove_str(struct map *map, const char *key)
{
    return map_remove(map, key, strlen(key));
}

struct map_entry *map_next(const struct map *map, size_t *position)
{
    while (*position < map->capacity) {
        struct map_entry *slot = &map->slots[(*position)++];
        if (slot->key)
            return slot;
    }
    return NULL;
}
