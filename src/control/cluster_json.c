#include "control/cluster_json.h"

#include <string.h>

const json_t *cluster_json_at(const json_t *json, const char *path)
{
    while (json) {
        size_t len = strcspn(path, ".");
        json = json_object_getn(json, path, len);
        if (path[len] == 0)
            break;
        path += len + 1;
    }
    return json;
}

const char *cluster_json_text(const json_t *json, const char *path)
{
    const char *text = json_string_value(cluster_json_at(json, path));
    return text && text[0] ? text : NULL;
}

bool cluster_json_flag(const json_t *json, const char *path, bool fallback)
{
    const json_t *value = cluster_json_at(json, path);
    return json_is_boolean(value) ? json_is_true(value) : fallback;
}

uint16_t cluster_json_port(const json_t *json, const char *path)
{
    json_int_t value = json_integer_value(cluster_json_at(json, path));
    return value > 0 && value <= UINT16_MAX ? (uint16_t)value : 0;
}

bool cluster_json_annotated(const json_t *object, const char *annotation)
{
    const json_t *annotations = cluster_json_at(object, "metadata.annotations");
    const char *text = json_string_value(json_object_get(annotations, annotation));
    return text && strcmp(text, "true") == 0;
}

bool cluster_json_says_nothing(const json_t *json)
{
    switch (json ? json_typeof(json) : JSON_NULL) {
    case JSON_NULL:
        return true;
    case JSON_STRING:
        return json_string_length(json) == 0;
    case JSON_ARRAY:
        return json_array_size(json) == 0;
    case JSON_OBJECT:
        return json_object_size(json) == 0;
    default:
        return false;
    }
}
