/* A hash map from byte strings to pointers. Keys may come from a peer: it cannot choose them so
 * that they meet. It copies keys and borrows values; one thread, or const and any thread. Open
 * addressing, so a copy of the whole map is one allocation and a walk. */
#ifndef MAP_H
#define MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct map_entry {
    char *key; /* key_len bytes and a null; NULL in a free slot */
    void *value;
    uint32_t key_len;
    uint32_t hash;
};

struct map {
    struct map_entry *slots;
    size_t capacity; /* a power of two, or 0 */
    size_t count;
};

/* An empty map; needs no memory until the first map_set. */
void map_init(struct map *map);
/* Frees keys and slots, not values. */
void map_deinit(struct map *map);

/* Sets key to value (not NULL). The former value, or NULL, goes to *old when old is not NULL.
 * False: out of memory, and the map is as before. */
bool map_set(struct map *map, const void *key, size_t key_len, void *value, void **old);
/* The value, borrowed, or NULL. */
void *map_get(const struct map *map, const void *key, size_t key_len);
/* Takes the entry out and returns its value, or NULL. */
void *map_remove(struct map *map, const void *key, size_t key_len);

/* For null-terminated keys. */
bool map_set_str(struct map *map, const char *key, void *value, void **old);
void *map_get_str(const struct map *map, const char *key);
void *map_remove_str(struct map *map, const char *key);

/* Walks the entries in no order: `size_t i = 0; while ((e = map_next(&map, &i)))`. The map must not
 * change meanwhile, except that an entry's value may be replaced in place. */
struct map_entry *map_next(const struct map *map, size_t *position);

#endif
