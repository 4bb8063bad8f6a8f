#include "kit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "injector/patch.h"
#include "suite.h"

json_t *kit_json(const char *text)
{
    json_error_t error;
    char *copy = strdup(text);
    for (char *at = copy; *at; at++)
        *at = *at == '\'' ? '"' : *at;
    json_t *root = json_loads(copy, JSON_REJECT_DUPLICATES, &error);
    if (!root)
        printf("\n%s: %s\n", copy, error.text);
    CU_ASSERT_FATAL(root != NULL);
    free(copy);
    return root;
}

void kit_inject_json(json_t *pod, const char *kube_version, struct inject_result *result)
{
    struct settings settings;
    json_t *before = json_deep_copy(pod);
    CU_ASSERT_EQUAL_FATAL(settings_init(&settings, NULL), ERR_OK);
    settings.image = "handfast:test";
    settings.kube_version = kube_version;
    CU_ASSERT_EQUAL_FATAL(settings_check(&settings, NULL), ERR_OK);
    inject_pod(pod, &settings, false, result);
    CU_ASSERT(json_equal(pod, before)); /* read only */
    json_decref(before);
    settings_deinit(&settings);
}

void kit_inject(const char *text, const char *kube_version, struct inject_result *result)
{
    json_t *pod = kit_json(text);
    kit_inject_json(pod, kube_version, result);
    json_decref(pod);
}

json_t *kit_injected(const char *text, const char *kube_version, const char *warning)
{
    struct inject_result result;
    json_t *pod = kit_json(text);
    kit_inject_json(pod, kube_version, &result);
    if (result.outcome != INJECT_DONE)
        printf("\n%s: %s\n", text, result.err.text);
    CU_ASSERT_EQUAL_FATAL(result.outcome, INJECT_DONE);
    CU_ASSERT(warning ? kit_warned(&result, warning) : json_array_size(result.warnings) == 0);
    if (!warning && json_array_size(result.warnings))
        kit_warned(&result, "no warning at all");
    CU_ASSERT_FATAL(patch_apply(pod, result.patch));
    inject_result_deinit(&result);
    return pod;
}

void kit_refused(const char *text, const char *part)
{
    struct inject_result result;
    kit_inject(text, NULL, &result);
    bool as_expected = result.outcome == INJECT_REFUSED && strstr(result.err.text, part);
    if (!as_expected)
        printf("\n%s:\n  %s: %s\n  expected: %s\n", text, inject_outcome_name(result.outcome),
               result.err.text, part);
    CU_ASSERT(as_expected);
    CU_ASSERT_EQUAL(result.err.code, ERR_INVALID);
    CU_ASSERT_EQUAL(json_array_size(result.patch), 0);
    inject_result_deinit(&result);
}

void kit_skipped(const char *text, enum inject_outcome outcome, const char *warning)
{
    struct inject_result result;
    kit_inject(text, NULL, &result);
    if (result.outcome != outcome)
        printf("\n%s: %s\n", text, inject_outcome_name(result.outcome));
    CU_ASSERT_EQUAL(result.outcome, outcome);
    CU_ASSERT_EQUAL(json_array_size(result.patch), 0);
    CU_ASSERT(warning ? kit_warned(&result, warning) : json_array_size(result.warnings) == 0);
    inject_result_deinit(&result);
}

bool kit_warned(const struct inject_result *result, const char *part)
{
    size_t index;
    json_t *warning;
    json_array_foreach(result->warnings, index, warning)
    {
        if (strstr(json_string_value(warning), part))
            return true;
    }
    printf("\nexpected the warning '%s', found:\n", part);
    json_array_foreach(result->warnings, index, warning)
        printf("  %s\n", json_string_value(warning));
    return false;
}

json_t *kit_at(json_t *root, const char *pointer)
{
    while (root && *pointer == '/') {
        char part[128];
        size_t length = strcspn(++pointer, "/");
        snprintf(part, sizeof part, "%.*s", (int)length, pointer);
        root = json_is_array(root) ? json_array_get(root, strtoul(part, NULL, 10))
                                   : json_object_get(root, part);
        pointer += length;
    }
    return root;
}

const char *kit_text(json_t *root, const char *pointer)
{
    const char *text = json_string_value(kit_at(root, pointer));
    return text ? text : "";
}

/* The version of this build stands in the files as @VERSION@. */
static void put_version(char *text)
{
    static const char mark[] = "@VERSION@";
    for (char *at = text; (at = strstr(at, mark));) {
        size_t length = strlen(HANDFAST_VERSION), rest = strlen(at + sizeof mark - 1);
        memcpy(at, HANDFAST_VERSION, length);
        memmove(at + length, at + sizeof mark - 1, rest + 1);
    }
}

json_t *kit_file(const char *name)
{
    char path[4096], *text = NULL;
    json_error_t error;
    size_t length;
    _Static_assert(sizeof HANDFAST_VERSION <= sizeof "@VERSION@", "the mark is too short");
    snprintf(path, sizeof path, HANDFAST_SOURCE_DIR "/tests/unit/injector/pods/%s.json", name);
    CU_ASSERT_EQUAL_FATAL(file_read(path, 1 << 20, &text, &length, NULL), ERR_OK);
    put_version(text);
    json_t *root = json_loads(text, JSON_REJECT_DUPLICATES, &error);
    if (!root)
        printf("\n%s:%d: %s\n", path, error.line, error.text);
    CU_ASSERT_FATAL(root != NULL);
    free(text);
    return root;
}
