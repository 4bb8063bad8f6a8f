#include "injector/pod.h"

#include <string.h>

#include "injector/value.h"

static enum err_code take(json_t *parent, const char *path, const char *key, json_type type,
                          json_t **out, struct err *err)
{
    *out = json_object_get(parent, key);
    if (json_is_null(*out))
        *out = NULL;
    if (!*out || json_typeof(*out) == type)
        return ERR_OK;
    return err_set(err, ERR_INVALID, "%s%s%s of the pod is not %s", path, *path ? "." : "", key,
                   type == JSON_OBJECT ? "an object" : "a list");
}

static enum err_code check_texts(json_t *map, const char *path, struct err *err)
{
    const char *key;
    json_t *value;
    json_object_foreach(map, key, value)
    {
        char shown[80];
        if (!json_is_string(value))
            return err_set(err, ERR_INVALID, "%s of the pod: the value of '%s' is not a string",
                           path, value_printable(key, shown, sizeof shown));
    }
    return ERR_OK;
}

static enum err_code check_named(json_t *list, const char *path, struct err *err)
{
    size_t index;
    json_t *item;
    json_array_foreach(list, index, item)
    {
        if (!json_is_object(item) || !pod_text(item, "name"))
            return err_set(err, ERR_INVALID, "%s[%zu] of the pod has no name", path, index);
    }
    return ERR_OK;
}

enum err_code pod_read(struct pod *pod, json_t *object, struct err *err)
{
    memset(pod, 0, sizeof *pod);
    if (take(object, "", "metadata", JSON_OBJECT, &pod->metadata, err) != ERR_OK ||
        take(object, "", "spec", JSON_OBJECT, &pod->spec, err) != ERR_OK ||
        take(pod->metadata, "metadata", "labels", JSON_OBJECT, &pod->labels, err) != ERR_OK ||
        take(pod->metadata, "metadata", "annotations", JSON_OBJECT, &pod->annotations, err) !=
            ERR_OK ||
        take(pod->spec, "spec", "securityContext", JSON_OBJECT, &pod->security_context, err) !=
            ERR_OK ||
        take(pod->spec, "spec", "initContainers", JSON_ARRAY, &pod->init_containers, err) !=
            ERR_OK ||
        take(pod->spec, "spec", "containers", JSON_ARRAY, &pod->containers, err) != ERR_OK ||
        take(pod->spec, "spec", "volumes", JSON_ARRAY, &pod->volumes, err) != ERR_OK)
        return ERR_INVALID;
    if (json_array_size(pod->containers) == 0)
        return err_set(err, ERR_INVALID, "the pod has no spec.containers");
    if (check_texts(pod->labels, "metadata.labels", err) != ERR_OK ||
        check_texts(pod->annotations, "metadata.annotations", err) != ERR_OK ||
        check_named(pod->init_containers, "spec.initContainers", err) != ERR_OK ||
        check_named(pod->containers, "spec.containers", err) != ERR_OK ||
        check_named(pod->volumes, "spec.volumes", err) != ERR_OK)
        return ERR_INVALID;
    return ERR_OK;
}

bool pod_container_at(const struct pod *pod, size_t number, struct pod_container *out)
{
    size_t inits = json_array_size(pod->init_containers);
    bool init = number < inits;
    out->list = init ? "initContainers" : "containers";
    out->index = init ? number : number - inits;
    out->container = json_array_get(init ? pod->init_containers : pod->containers, out->index);
    out->name = pod_text(out->container, "name");
    return out->container != NULL;
}

bool pod_find_container(const struct pod *pod, const char *name, struct pod_container *out)
{
    for (size_t i = 0; pod_container_at(pod, i, out); i++) {
        if (strcmp(out->name, name) == 0)
            return true;
    }
    return false;
}

bool pod_container_stays(const struct pod_container *container)
{
    const char *policy = pod_text(container->container, "restartPolicy");
    return strcmp(container->list, "containers") == 0 || (policy && strcmp(policy, "Always") == 0);
}

const char *pod_text(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}
