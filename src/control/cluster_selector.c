#include "control/cluster_selector.h"

#include <stdlib.h>
#include <string.h>

#include "control/cluster_json.h"
#include "mesh/block.h"

static void lay_out(struct mesh_block *block, const json_t *labels)
{
    const char *key;
    const json_t *value;
    unsigned count = 0;
    struct cluster_selector *out = mesh_block_take(block, sizeof *out);
    struct mesh_label *items = mesh_block_take(block, json_object_size(labels) * sizeof *items);
    json_object_foreach((json_t *)(uintptr_t)labels, key, value)
    {
        const char *key_copy = mesh_block_text(block, key);
        const char *value_copy = mesh_block_text(block, json_string_value(value));
        if (items)
            items[count++] = (struct mesh_label){key_copy, value_copy};
    }
    if (out)
        *out = (struct cluster_selector){.count = count, .labels = items};
}

static enum err_code check(const json_t *json, struct err *err)
{
    const char *key;
    const json_t *value;
    if (!json_is_object(json))
        return err_set(err, ERR_INVALID, "selector is no object");
    json_object_foreach((json_t *)(uintptr_t)json, key, value)
    {
        if (strcmp(key, "matchLabels") != 0 && !cluster_json_says_nothing(value))
            return err_set(err, ERR_INVALID,
                           "selector holds \"%.64s\"; workloads are picked by matchLabels only",
                           key);
    }
    const json_t *labels = json_object_get(json, "matchLabels");
    if (!cluster_json_says_nothing(labels) && !json_is_object(labels))
        return err_set(err, ERR_INVALID, "selector.matchLabels is no object");
    json_object_foreach((json_t *)(uintptr_t)labels, key, value)
    {
        if (!json_is_string(value))
            return err_set(err, ERR_INVALID, "selector.matchLabels[\"%.64s\"] is no text", key);
    }
    return ERR_OK;
}

enum err_code cluster_selector_read(const json_t *json, struct cluster_selector **out,
                                    struct err *err)
{
    struct mesh_block block = {0};
    enum err_code code = cluster_json_says_nothing(json) ? ERR_OK : check(json, err);
    if (code != ERR_OK)
        return code;
    const json_t *labels = json_object_get(json, "matchLabels");
    lay_out(&block, labels);
    block.base = malloc(block.used);
    if (!block.base)
        return err_set(err, ERR_NO_MEMORY, "no memory for a selector");
    block.used = 0;
    lay_out(&block, labels);
    *out = (struct cluster_selector *)(void *)block.base;
    return ERR_OK;
}

bool cluster_selector_matches(const struct cluster_selector *selector,
                              const struct mesh_workload *workload)
{
    for (unsigned i = 0; i < selector->count; i++) {
        const char *value = mesh_workload_label(workload, selector->labels[i].key);
        if (!value || strcmp(value, selector->labels[i].value) != 0)
            return false;
    }
    return true;
}

bool cluster_selector_equal(const struct cluster_selector *a, const struct cluster_selector *b)
{
    if (a->count != b->count)
        return false;
    for (unsigned i = 0; i < a->count; i++) {
        bool found = false;
        for (unsigned j = 0; j < b->count && !found; j++)
            found = strcmp(a->labels[i].key, b->labels[j].key) == 0 &&
                    strcmp(a->labels[i].value, b->labels[j].value) == 0;
        if (!found)
            return false;
    }
    return true;
}
