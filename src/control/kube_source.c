#include "control/kube_source.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

enum { KEY_MAX = 520 };

static const char *const paths[CLUSTER_KINDS] = {
    [CLUSTER_PODS] = "/api/v1/pods",
    [CLUSTER_SERVICES] = "/api/v1/services",
    [CLUSTER_SLICES] = "/apis/discovery.k8s.io/v1/endpointslices",
    [CLUSTER_POLICIES] = "/apis/handfast.io/v1/authorizationpolicies",
    [CLUSTER_MTLS] = "/apis/handfast.io/v1/peerauthentications",
    [CLUSTER_ISTIO_POLICIES] = "/apis/security.istio.io/v1/authorizationpolicies",
    [CLUSTER_ISTIO_MTLS] = "/apis/security.istio.io/v1/peerauthentications",
};

/* --- pods, for tokens ------------------------------------------------------------------------- */

static void note_pod(struct kube_source *source, const char *key, const json_t *object)
{
    const json_t *metadata = json_object_get(object, "metadata");
    const char *uid = json_string_value(json_object_get(metadata, "uid"));
    char *copy = uid ? strdup(uid) : NULL;
    void *old = NULL;
    if (copy && !map_set_str(&source->pods, key, copy, &old))
        free(copy); /* its proxy is refused until the pod changes */
    free(old);
}

bool kube_source_has_pod(const struct kube_source *source, const char *ns, const char *name,
                         const char *uid)
{
    char key[KEY_MAX];
    snprintf(key, sizeof key, "%s/%s", ns, name);
    const char *known = map_get_str(&source->pods, key);
    return known && strcmp(known, uid) == 0;
}

/* --- events ----------------------------------------------------------------------------------- */

static void on_object(const char *key, json_t *object, void *arg)
{
    struct kube_feed *feed = arg;
    struct kube_source *source = feed->source;
    struct err err = {0};
    source->objects++;
    if (feed->kind == CLUSTER_PODS)
        note_pod(source, key, object);
    else
        kube_status_seen(source->status, feed->kind, key, object);
    if (cluster_put(source->cluster, feed->kind, key, object, &err) != ERR_OK) {
        source->refused++;
        LOG_LIMITED(LOG_LEVEL_ERROR, 5, "object_not_taken", F_STR("collection", paths[feed->kind]),
                    F_STR("key", key), F_ERR(&err));
    }
}

static void on_gone(const char *key, void *arg)
{
    struct kube_feed *feed = arg;
    struct kube_source *source = feed->source;
    if (feed->kind == CLUSTER_PODS)
        free(map_remove_str(&source->pods, key));
    else
        kube_status_gone(source->status, feed->kind, key);
    cluster_remove(source->cluster, feed->kind, key);
}

static void on_synced(void *arg)
{
    struct kube_feed *feed = arg;
    if (feed->synced)
        return;
    feed->synced = true;
    cluster_synced(feed->source->cluster, feed->kind);
}

/* Custom resources may be installed later; until then there is none to wait for. */
static void on_absent(void *arg)
{
    const struct kube_feed *feed = arg;
    LOG_WARN("collection_absent", F_STR("collection", paths[feed->kind]));
    on_synced(arg);
}

/* --- begin and end ---------------------------------------------------------------------------- */

enum err_code kube_source_start(struct kube_source *source, bool istio, struct err *err)
{
    static const struct kube_reflector_events events = {
        .on_object = on_object, .on_gone = on_gone, .on_synced = on_synced, .on_absent = on_absent};
    map_init(&source->pods);
    for (int kind = 0; kind < CLUSTER_KINDS; kind++) {
        struct kube_feed *feed = &source->feeds[kind];
        *feed = (struct kube_feed){.source = source, .kind = (enum cluster_kind)kind};
        if (!istio && (kind == CLUSTER_ISTIO_POLICIES || kind == CLUSTER_ISTIO_MTLS))
            continue;
        feed->reflector = kube_reflector_start(source->client, paths[kind], &events, feed, err);
        if (!feed->reflector)
            return err->code;
    }
    return ERR_OK;
}

void kube_source_close(struct kube_source *source)
{
    size_t at = 0;
    for (int kind = 0; kind < CLUSTER_KINDS; kind++) {
        if (source->feeds[kind].reflector)
            kube_reflector_close(source->feeds[kind].reflector);
        source->feeds[kind].reflector = NULL;
    }
    for (struct map_entry *entry; (entry = map_next(&source->pods, &at));)
        free(entry->value);
    map_deinit(&source->pods);
}
