#include "base/map.h"

#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>

/* --- the hash: SipHash-1-3 (Aumasson and Bernstein, 2012) ------------------------------------
 *
 * Some maps have keys that a peer chooses, such as the names that a proxy subscribes to. With a
 * hash that anybody can compute, ten thousand of them would be made to meet in one slot. */

static uint64_t secret[2];

/* Before main(), so that no thread can see it change. The kernel gives every process 16 random
 * bytes (getauxval(3)). */
__attribute__((constructor)) static void choose_secret(void)
{
    memcpy(secret, (const void *)(uintptr_t)getauxval(AT_RANDOM), sizeof secret);
}

static uint64_t rotate(uint64_t x, unsigned bits)
{
    return x << bits | x >> (64 - bits);
}

static void mix(uint64_t v[4])
{
    v[0] += v[1];
    v[2] += v[3];
    v[1] = rotate(v[1], 13) ^ v[0];
    v[3] = rotate(v[3], 16) ^ v[2];
    v[0] = rotate(v[0], 32) + v[3];
    v[2] += v[1];
    v[1] = rotate(v[1], 17) ^ v[2];
    v[3] = rotate(v[3], 21) ^ v[0];
    v[2] = rotate(v[2], 32);
}

static void take_word(uint64_t v[4], uint64_t word)
{
    v[3] ^= word;
    mix(v);
    v[0] ^= word;
}

static uint32_t hash_bytes(const void *key, size_t len)
{
    uint64_t v[4] = {secret[0] ^ 0x736f6d6570736575, secret[1] ^ 0x646f72616e646f6d,
                     secret[0] ^ 0x6c7967656e657261, secret[1] ^ 0x7465646279746573};
    const uint8_t *at = key;
    uint64_t word;
    size_t left = len;
    for (; left >= sizeof word; left -= sizeof word, at += sizeof word) {
        memcpy(&word, at, sizeof word);
        take_word(v, word);
    }
    word = (uint64_t)len << 56;
    for (size_t i = 0; i < left; i++)
        word |= (uint64_t)at[i] << (8 * i);
    take_word(v, word);
    v[2] ^= 0xff;
    for (int i = 0; i < 3; i++)
        mix(v);
    return (uint32_t)(v[0] ^ v[1] ^ v[2] ^ v[3]);
}

/* --- the map ---------------------------------------------------------------------------------- */

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
