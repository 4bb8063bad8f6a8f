#include "kube/known.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct entry {
    unsigned round;
    char version[];
};

void kube_known_init(struct kube_known *known)
{
    map_init(&known->map);
    known->round = 0;
    known->swept = 0;
}

void kube_known_deinit(struct kube_known *known)
{
    size_t at = 0;
    struct map_entry *slot;
    while ((slot = map_next(&known->map, &at)))
        free(slot->value);
    map_deinit(&known->map);
}

void kube_known_begin(struct kube_known *known)
{
    known->round++;
    known->swept = 0;
}

enum kube_known_change kube_known_put(struct kube_known *known, const char *key,
                                      const char *version)
{
    struct entry *old = map_get_str(&known->map, key);
    size_t len = strlen(version);
    if (old && len > 0 && strcmp(old->version, version) == 0) {
        old->round = known->round;
        return KUBE_KNOWN_SAME;
    }
    struct entry *entry = NULL;
    if (old || known->map.count < KUBE_KNOWN_MAX)
        entry = malloc(sizeof *entry + len + 1);
    if (!entry)
        return KUBE_KNOWN_FULL;
    entry->round = known->round;
    memcpy(entry->version, version, len + 1);
    if (!map_set_str(&known->map, key, entry, NULL)) {
        free(entry);
        return KUBE_KNOWN_FULL;
    }
    free(old);
    return KUBE_KNOWN_CHANGED;
}

bool kube_known_remove(struct kube_known *known, const char *key)
{
    struct entry *entry = map_remove_str(&known->map, key);
    free(entry);
    return entry != NULL;
}

char *kube_known_sweep(struct kube_known *known)
{
    struct map_entry *slot;
    while ((slot = map_next(&known->map, &known->swept))) {
        if (((struct entry *)slot->value)->round == known->round)
            continue;
        char *key = strdup(slot->key);
        /* The map closes the gap with what follows: look at the same place again. */
        known->swept--;
        if (key)
            kube_known_remove(known, key);
        return key;
    }
    return NULL;
}

static bool is_name(const json_t *value)
{
    const char *text = json_string_value(value);
    size_t len = json_string_length(value);
    return text && len > 0 && len < 254 && strlen(text) == len && !strchr(text, '/');
}

bool kube_object_key(const json_t *object, char key[KUBE_KEY_MAX], const char **version)
{
    const json_t *metadata = json_object_get(object, "metadata");
    const json_t *name = json_object_get(metadata, "name");
    const json_t *namespace = json_object_get(metadata, "namespace");
    const json_t *found = json_object_get(metadata, "resourceVersion");
    if (!is_name(name) || (namespace && !is_name(namespace)))
        return false;
    *version = found ? json_string_value(found) : "";
    if (!*version || strlen(*version) >= KUBE_VERSION_MAX)
        return false;
    snprintf(key, KUBE_KEY_MAX, "%s%s%s", namespace ? json_string_value(namespace) : "",
             namespace ? "/" : "", json_string_value(name));
    return true;
}
