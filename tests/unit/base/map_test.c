#include "base/map.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "suite.h"

static void map_finds_what_was_set_through_growth_and_removal(void)
{
    struct map map;
    map_init(&map);
    static int values[1000];
    char key[16];
    for (int i = 0; i < 1000; i++) {
        snprintf(key, sizeof key, "key-%d", i);
        CU_ASSERT(map_set_str(&map, key, &values[i], NULL));
    }
    for (int i = 0; i < 1000; i += 3) {
        snprintf(key, sizeof key, "key-%d", i);
        CU_ASSERT_PTR_EQUAL(map_remove_str(&map, key), &values[i]);
    }
    for (int i = 0; i < 1000; i++) {
        snprintf(key, sizeof key, "key-%d", i);
        CU_ASSERT_PTR_EQUAL(map_get_str(&map, key), i % 3 ? &values[i] : NULL);
    }
    CU_ASSERT_EQUAL(map.count, 666);
    map_deinit(&map);
}

static void map_set_hands_back_the_former_value(void)
{
    struct map map;
    map_init(&map);
    int a, b;
    void *old = &a;
    CU_ASSERT(map_set_str(&map, "k", &a, &old));
    CU_ASSERT_PTR_NULL(old);
    CU_ASSERT(map_set_str(&map, "k", &b, &old));
    CU_ASSERT_PTR_EQUAL(old, &a);
    CU_ASSERT_EQUAL(map.count, 1);
    map_deinit(&map);
}

static void map_keys_may_hold_null_bytes(void)
{
    struct map map;
    map_init(&map);
    int a, b;
    CU_ASSERT(map_set(&map, "x\0a", 3, &a, NULL));
    CU_ASSERT(map_set(&map, "x\0b", 3, &b, NULL));
    CU_ASSERT_PTR_EQUAL(map_get(&map, "x\0a", 3), &a);
    CU_ASSERT_PTR_EQUAL(map_get(&map, "x\0b", 3), &b);
    CU_ASSERT_PTR_NULL(map_get_str(&map, "x"));
    map_deinit(&map);
}

/* --- keys that were chosen to meet under a hash without a secret (FNV-1a) -------------------- */

enum { LEVELS = 10, BLOCK = 6, CHOSEN = 1 << LEVELS };

static uint32_t fnv(uint32_t hash, const char *text)
{
    for (; *text; text++)
        hash = (hash ^ (uint8_t)*text) * 16777619u;
    return hash;
}

/* Two texts that lead from `*hash` to the same one, which it becomes. */
static void find_twins(uint32_t *hash, char twins[2][BLOCK + 1], unsigned *seed)
{
    enum { SEEN = 1 << 18 };
    struct {
        uint32_t hash;
        char text[BLOCK + 1];
    } *seen = calloc(SEEN, sizeof *seen), *slot;
    char text[BLOCK + 1] = "";
    uint32_t reached;
    CU_ASSERT_FATAL(seen != NULL);
    for (;; slot->hash = reached, strcpy(slot->text, text)) {
        for (int i = 0; i < BLOCK; i++)
            text[i] = (char)('a' + rand_r(seed) % 26);
        reached = fnv(*hash, text);
        slot = &seen[reached % SEEN];
        if (slot->text[0] && slot->hash == reached && strcmp(slot->text, text) != 0)
            break;
    }
    strcpy(twins[0], slot->text);
    strcpy(twins[1], text);
    *hash = reached;
    free(seen);
}

static int compare(const void *a, const void *b)
{
    const uint32_t *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

static void map_spreads_keys_that_a_peer_chose(void)
{
    static char twins[LEVELS][2][BLOCK + 1];
    static uint32_t hashes[CHOSEN];
    uint32_t hash = 2166136261u;
    unsigned seed = 1, count = 0, distinct = 1;
    struct map map;
    map_init(&map);
    for (int level = 0; level < LEVELS; level++)
        find_twins(&hash, twins[level], &seed);
    for (int i = 0; i < CHOSEN; i++) {
        char key[LEVELS * BLOCK + 1] = "";
        for (int level = 0; level < LEVELS; level++)
            strcat(key, twins[level][i >> level & 1]);
        CU_ASSERT_EQUAL(fnv(2166136261u, key), hash);
        CU_ASSERT(map_set_str(&map, key, &map, NULL));
    }
    size_t position = 0;
    for (const struct map_entry *at; (at = map_next(&map, &position));)
        hashes[count++] = at->hash;
    CU_ASSERT_EQUAL(count, CHOSEN);
    qsort(hashes, count, sizeof *hashes, compare);
    for (unsigned i = 1; i < count; i++)
        distinct += hashes[i] != hashes[i - 1];
    CU_ASSERT(distinct > CHOSEN - 8);
    map_deinit(&map);
}

int main(int argc, char **argv)
{
    static const struct suite_case cases[] = {
        SUITE_CASE(map_finds_what_was_set_through_growth_and_removal),
        SUITE_CASE(map_set_hands_back_the_former_value),
        SUITE_CASE(map_keys_may_hold_null_bytes),
        SUITE_CASE(map_spreads_keys_that_a_peer_chose),
        SUITE_END,
    };
    return suite_main("map", cases, argc, argv);
}
