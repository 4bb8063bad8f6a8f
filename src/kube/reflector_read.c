/* What arrives in a reflector: items, events, the frame of a list; declared in reflector_impl.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "kube/json.h"
#include "kube/reflector_impl.h"

static json_t *parse(const char *bytes, size_t len, char *why, size_t size)
{
    json_error_t error;
    json_t *value = kube_json_load(bytes, len, &error);
    if (!value)
        snprintf(why, size, "%s at byte %d of %zu", error.text, error.position, len);
    return value;
}

static void damage(struct kube_reflector *reflector, const char *what, const char *why)
{
    reflector->damaged = true;
    LOG_LIMITED(LOG_LEVEL_WARN, 2, "kube_object_unreadable", F_STR("path", reflector->path),
                F_STR("what", what), F_STR("error", why));
}

/* Hands over an object that is there. */
static void take_object(struct kube_reflector *reflector, json_t *object)
{
    char key[KUBE_KEY_MAX];
    const char *version = NULL;
    if (!kube_object_key(object, key, &version)) {
        damage(reflector, "object", "it has no usable metadata.name and resourceVersion");
        return;
    }
    enum kube_known_change change = kube_known_put(&reflector->known, key, version);
    if (change == KUBE_KNOWN_FULL) {
        damage(reflector, key, "there are too many objects, or there is no memory for another");
    } else if (change == KUBE_KNOWN_CHANGED) {
        json_object_del(json_object_get(object, "metadata"), "managedFields");
        reflector->events->on_object(key, object, reflector->arg);
    }
}

bool reflector_take_item(void *arg, const char *bytes, size_t len)
{
    struct kube_reflector *reflector = arg;
    char why[200];
    json_t *object = parse(bytes, len, why, sizeof why);
    if (object)
        take_object(reflector, object);
    else
        damage(reflector, "item", why);
    json_decref(object);
    return !reflector->closed;
}

/* --- events ----------------------------------------------------------------------------------- */

/* The version to go on from after this event. */
static void note_version(struct kube_reflector *reflector, const json_t *object)
{
    const char *version =
        json_string_value(json_object_get(json_object_get(object, "metadata"), "resourceVersion"));
    if (version && *version && strlen(version) < sizeof reflector->version)
        memcpy(reflector->version, version, strlen(version) + 1);
}

/* An ERROR event carries a Status. */
static void take_error(struct kube_reflector *reflector, const json_t *status)
{
    char message[300];
    json_int_t code = json_integer_value(json_object_get(status, "code"));
    const char *reason = json_string_value(json_object_get(status, "reason"));
    json_int_t after = json_integer_value(
        json_object_get(json_object_get(status, "details"), "retryAfterSeconds"));
    kube_status_message(status, message, sizeof message);
    bool expired = code == 410 || (reason && strcmp(reason, "Expired") == 0) ||
                   (reason && strcmp(reason, "Gone") == 0) ||
                   strstr(message, "too old resource version");
    reflector->verdict = expired ? REFLECTOR_EXPIRED : REFLECTOR_REFUSED;
    reflector->retry_after_s = after > 0 && after < 3600 ? after : 0;
    err_set(&reflector->err, ERR_RPC_STATUS, "the watch got the error %lld %s", (long long)code,
            message);
}

static void take_gone(struct kube_reflector *reflector, const json_t *object)
{
    char key[KUBE_KEY_MAX];
    const char *version = NULL;
    if (!kube_object_key(object, key, &version))
        reflector->verdict = REFLECTOR_BROKEN;
    else if (kube_known_remove(&reflector->known, key))
        reflector->events->on_gone(key, reflector->arg);
}

static void take_event(struct kube_reflector *reflector, const char *type, json_t *object)
{
    if (strcmp(type, "ERROR") == 0) {
        take_error(reflector, object);
        return;
    }
    note_version(reflector, object);
    if (strcmp(type, "ADDED") == 0 || strcmp(type, "MODIFIED") == 0) {
        reflector->damaged = false;
        take_object(reflector, object);
        if (reflector->damaged)
            reflector->verdict = REFLECTOR_BROKEN;
    } else if (strcmp(type, "DELETED") == 0) {
        take_gone(reflector, object);
    } /* else BOOKMARK, or something of a later Kubernetes */
}

bool reflector_take_event(void *arg, const char *bytes, size_t len)
{
    struct kube_reflector *reflector = arg;
    char why[200] = "it is no watch event";
    json_t *event = parse(bytes, len, why, sizeof why);
    const char *type = json_string_value(json_object_get(event, "type"));
    json_t *object = json_object_get(event, "object");
    if (type && json_is_object(object))
        take_event(reflector, type, object);
    else
        reflector->verdict = REFLECTOR_BROKEN;
    if (reflector->verdict == REFLECTOR_BROKEN)
        err_set(&reflector->err, ERR_INVALID, "a watch event cannot be read: %s",
                event && type ? "its object has no usable name or version" : why);
    json_decref(event);
    return !reflector->closed && reflector->verdict == REFLECTOR_FINE;
}

/* --- lists ------------------------------------------------------------------------------------ */

bool reflector_take_frame(struct kube_reflector *reflector)
{
    char why[200] = "it has no metadata.resourceVersion";
    const struct kube_buffer *frame = &reflector->cutter.frame;
    json_t *list = NULL;
    if (kube_cutter_is_whole(&reflector->cutter))
        list = parse(frame->bytes, frame->len, why, sizeof why);
    else
        snprintf(why, sizeof why, "it is cut off");
    const json_t *metadata = json_object_get(list, "metadata");
    const char *version = json_string_value(json_object_get(metadata, "resourceVersion"));
    const char *page = json_string_value(json_object_get(metadata, "continue"));
    bool good = version && *version && strlen(version) < sizeof reflector->version &&
                (!page || strlen(page) < sizeof reflector->page);
    if (good) {
        /* All pages show the state of the first one. */
        if (reflector->step == REFLECTOR_LIST)
            memcpy(reflector->version, version, strlen(version) + 1);
        snprintf(reflector->page, sizeof reflector->page, "%s", page ? page : "");
    } else {
        err_set(&reflector->err, ERR_INVALID, "the list cannot be read: %s", why);
    }
    json_decref(list);
    if (reflector->cutter.dropped > 0)
        damage(reflector, "item", "it is larger than we take");
    return good;
}

bool reflector_sweep(struct kube_reflector *reflector)
{
    char *key;
    while (!reflector->closed && (key = kube_known_sweep(&reflector->known))) {
        reflector->events->on_gone(key, reflector->arg);
        free(key);
    }
    return !reflector->closed;
}
