#include "base/map.h"

#include <stdio.h>

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

int main(int argc, char **argv)
{
    static const struct suite_case cases[] = {
        SUITE_CASE(map_finds_what_was_set_through_growth_and_removal),
        SUITE_CASE(map_set_hands_back_the_former_value),
        SUITE_CASE(map_keys_may_hold_null_bytes),
        SUITE_END,
    };
    return suite_main("map", cases, argc, argv);
}
