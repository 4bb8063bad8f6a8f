#include "injector/patch.h"

#include <string.h>

#include "kit.h"
#include "suite.h"

static void keys_are_escaped_and_appended(void)
{
    struct patch patch;
    json_t *want = kit_json("[{'op': 'add', 'path': '/a/b~1c~0d', 'value': 1},"
                            " {'op': 'replace', 'path': '/a/0', 'value': 2}]");
    patch_init(&patch);
    patch_add(&patch, json_integer(1), "b/c~d", "/%s", "a");
    patch_replace(&patch, json_integer(2), NULL, "/a/%d", 0);
    CU_ASSERT(!patch.failed);
    CU_ASSERT(json_equal(patch.operations, want));
    patch_deinit(&patch);
    json_decref(want);
}

static void what_could_not_be_built_makes_the_patch_fail(void)
{
    char longest[PATCH_PATH_MAX + 1];
    struct patch patch;
    memset(longest, 'x', PATCH_PATH_MAX);
    longest[PATCH_PATH_MAX] = 0;
    patch_init(&patch);
    patch_add(&patch, NULL, NULL, "/a");
    CU_ASSERT(patch.failed);
    patch_deinit(&patch);
    patch_init(&patch);
    patch_add(&patch, json_true(), longest, "/a");
    CU_ASSERT(patch.failed);
    patch_deinit(&patch);
    patch_init(&patch);
    patch_add(&patch, json_true(), "b", "/%s", longest);
    CU_ASSERT(patch.failed);
    patch_deinit(&patch);
}

static void operations_are_carried_out(void)
{
    static const struct {
        const char *document, *operation, *result; /* NULL: it does not fit */
    } rows[] = {
        {"{'a': 1}", "{'op': 'add', 'path': '/b', 'value': 2}", "{'a': 1, 'b': 2}"},
        {"{'a': 1}", "{'op': 'add', 'path': '/a', 'value': 2}", "{'a': 2}"},
        {"{'a': [1]}", "{'op': 'add', 'path': '/a/0', 'value': 2}", "{'a': [2, 1]}"},
        {"{'a': [1]}", "{'op': 'add', 'path': '/a/1', 'value': 2}", "{'a': [1, 2]}"},
        {"{'a': [1]}", "{'op': 'add', 'path': '/a/-', 'value': 2}", "{'a': [1, 2]}"},
        {"{'a': [1]}", "{'op': 'add', 'path': '/a/2', 'value': 2}", NULL},
        {"{'a': [1]}", "{'op': 'add', 'path': '/a/x', 'value': 2}", NULL},
        {"{'a': [1]}", "{'op': 'replace', 'path': '/a/0', 'value': 2}", "{'a': [2]}"},
        {"{'a': [1]}", "{'op': 'replace', 'path': '/a/1', 'value': 2}", NULL},
        {"{'a': 1}", "{'op': 'replace', 'path': '/b', 'value': 2}", NULL},
        {"{'a': {'b/c~': 1}}", "{'op': 'replace', 'path': '/a/b~1c~0', 'value': 2}",
         "{'a': {'b/c~': 2}}"},
        {"{'a': 1}", "{'op': 'add', 'path': '/a/b', 'value': 2}", NULL},
        {"{'a': 1}", "{'op': 'add', 'path': 'a', 'value': 2}", NULL},
        {"{'a': 1}", "{'op': 'add', 'path': '/a~2', 'value': 2}", NULL},
        {"{'a': 1}", "{'op': 'add', 'path': '/a'}", NULL},
        {"{'a': 1}", "{'op': 'add', 'value': 1}", NULL},
    };
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        json_t *document = kit_json(rows[i].document);
        json_t *operations = json_pack("[o]", kit_json(rows[i].operation));
        bool done = patch_apply(document, operations);
        CU_ASSERT_EQUAL(done, rows[i].result != NULL);
        if (rows[i].result) {
            json_t *want = kit_json(rows[i].result);
            CU_ASSERT(json_equal(document, want));
            json_decref(want);
        }
        json_decref(operations);
        json_decref(document);
    }
}

int main(int argc, char **argv)
{
    static const struct suite_case cases[] = {
        SUITE_CASE(keys_are_escaped_and_appended),
        SUITE_CASE(what_could_not_be_built_makes_the_patch_fail),
        SUITE_CASE(operations_are_carried_out),
        SUITE_END,
    };
    return suite_main("injector.patch", cases, argc, argv);
}
