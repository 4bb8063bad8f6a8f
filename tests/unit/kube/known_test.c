/* Keys, versions, and what a new list makes of them. */
#include "kube/known.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "suite.h"

static void version_alone_tells_what_has_changed(void)
{
    struct kube_known known;
    kube_known_init(&known);
    kube_known_begin(&known);
    CU_ASSERT_EQUAL(kube_known_put(&known, "a/x", "1"), KUBE_KNOWN_CHANGED);
    CU_ASSERT_EQUAL(kube_known_put(&known, "a/x", "1"), KUBE_KNOWN_SAME);
    CU_ASSERT_EQUAL(kube_known_put(&known, "a/x", "10"), KUBE_KNOWN_CHANGED);
    CU_ASSERT_EQUAL(kube_known_put(&known, "a/x", "1"), KUBE_KNOWN_CHANGED);
    CU_ASSERT_EQUAL(kube_known_put(&known, "a/y", ""), KUBE_KNOWN_CHANGED);
    CU_ASSERT_EQUAL(kube_known_put(&known, "a/y", ""), KUBE_KNOWN_CHANGED);
    CU_ASSERT_TRUE(kube_known_remove(&known, "a/x"));
    CU_ASSERT_FALSE(kube_known_remove(&known, "a/x"));
    CU_ASSERT_PTR_NULL(kube_known_sweep(&known));
    kube_known_deinit(&known);
}

enum { MANY = 5000 };

/* Every third stays; the others are reported once each, whatever the table does meanwhile. */
static void sweep_finds_each_that_is_gone_once(void)
{
    struct kube_known known;
    char key[64];
    bool told[MANY] = {false};
    unsigned count = 0;
    kube_known_init(&known);
    kube_known_begin(&known);
    for (int i = 0; i < MANY; i++) {
        snprintf(key, sizeof key, "ns-%d/pod-%d", i % 17, i);
        CU_ASSERT_EQUAL(kube_known_put(&known, key, "1"), KUBE_KNOWN_CHANGED);
    }
    kube_known_begin(&known);
    for (int i = 0; i < MANY; i += 3) {
        snprintf(key, sizeof key, "ns-%d/pod-%d", i % 17, i);
        CU_ASSERT_EQUAL(kube_known_put(&known, key, i % 2 ? "1" : "2"),
                        i % 2 ? KUBE_KNOWN_SAME : KUBE_KNOWN_CHANGED);
    }
    for (char *gone; (gone = kube_known_sweep(&known)); count++) {
        int number = atoi(strstr(gone, "pod-") + 4);
        CU_ASSERT_FALSE(told[number]);
        CU_ASSERT_NOT_EQUAL(number % 3, 0);
        told[number] = true;
        free(gone);
    }
    CU_ASSERT_EQUAL(count, MANY - (MANY + 2) / 3);
    CU_ASSERT_EQUAL(known.map.count, (MANY + 2) / 3);
    kube_known_deinit(&known);
}

static void key_is_namespace_and_name(void)
{
    static const struct {
        const char *json, *key, *version;
    } table[] = {
        {"{\"metadata\":{\"namespace\":\"a\",\"name\":\"b\",\"resourceVersion\":\"7\"}}", "a/b",
         "7"},
        {"{\"metadata\":{\"name\":\"b\"}}", "b", ""},
        {"{\"metadata\":{\"name\":\"\"}}", NULL, NULL},
        {"{\"metadata\":{\"name\":\"a/b\"}}", NULL, NULL},
        {"{\"metadata\":{\"name\":\"a\\u0000b\"}}", NULL, NULL},
        {"{\"metadata\":{\"name\":7}}", NULL, NULL},
        {"{\"metadata\":{\"name\":\"b\",\"namespace\":\"\"}}", NULL, NULL},
        {"{\"metadata\":{\"name\":\"b\",\"namespace\":null}}", NULL, NULL},
        {"{\"metadata\":{\"name\":\"b\",\"resourceVersion\":7}}", NULL, NULL},
        {"{\"metadata\":[]}", NULL, NULL},
        {"{}", NULL, NULL},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        char key[KUBE_KEY_MAX];
        const char *version = NULL;
        json_t *object = json_loads(table[i].json, JSON_ALLOW_NUL, NULL);
        bool good = kube_object_key(object, key, &version);
        CU_ASSERT_EQUAL(good, table[i].key != NULL);
        if (good && table[i].key) {
            CU_ASSERT_STRING_EQUAL(key, table[i].key);
            CU_ASSERT_STRING_EQUAL(version, table[i].version);
        }
        json_decref(object);
    }
    char name[300] = {0}, key[KUBE_KEY_MAX];
    const char *version = NULL;
    memset(name, 'n', 253);
    json_t *longest = json_pack("{s{ss,ss}}", "metadata", "name", name, "namespace", name);
    CU_ASSERT_TRUE(kube_object_key(longest, key, &version));
    CU_ASSERT_EQUAL(strlen(key), 507);
    json_decref(longest);
    name[253] = 'n';
    longest = json_pack("{s{ss}}", "metadata", "name", name);
    CU_ASSERT_FALSE(kube_object_key(longest, key, &version));
    json_decref(longest);
}

int main(int argc, char **argv)
{
    static const struct suite_case cases[] = {
        SUITE_CASE(version_alone_tells_what_has_changed),
        SUITE_CASE(sweep_finds_each_that_is_gone_once),
        SUITE_CASE(key_is_namespace_and_name),
        SUITE_END,
    };
    return suite_main("kube/known", cases, argc, argv);
}
