#include "control/kube_trust.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

/* A namespace and its ConfigMap. */
struct trust_place {
    struct kube_trust *trust;
    struct kube_call *call;
    char *ns;
    char *held;  /* what its ConfigMap says; NULL: there is none */
    bool wanted; /* the namespace asks for it */
};

static void on_retry(struct timer *timer);

static void place_free(struct trust_place *place)
{
    if (place->call)
        kube_call_cancel(place->call);
    free(place->held);
    free(place->ns);
    free(place);
}

/* The place of a namespace, made if need be. */
static struct trust_place *place_of(struct kube_trust *trust, const char *ns)
{
    struct trust_place *place = map_get_str(&trust->namespaces, ns);
    if (place)
        return place;
    place = calloc(1, sizeof *place);
    if (place)
        place->ns = strdup(ns);
    if (place && place->ns && map_set_str(&trust->namespaces, ns, place, NULL)) {
        place->trust = trust;
        return place;
    }
    if (place)
        place_free(place);
    return NULL;
}

static void retry_later(struct kube_trust *trust)
{
    if (!trust->retry.slot)
        timer_start(trust->timers, &trust->retry, TRUST_RETRY_MS, on_retry);
}

/* --- writing ---------------------------------------------------------------------------------- */

static void on_applied(const struct kube_answer *answer, const struct err *err, void *arg)
{
    struct trust_place *place = arg;
    char what[KEEPER_NAME_MAX];
    place->call = NULL;
    snprintf(what, sizeof what, "the trust ConfigMap of %s", place->ns);
    if (kube_keeper_result(place->trust->keeper, answer, err, what) != ERR_OK)
        retry_later(place->trust);
}

static void keep(struct trust_place *place)
{
    struct kube_trust *trust = place->trust;
    char path[KEEPER_NAME_MAX * 2];
    struct err err = {0};
    if (!trust->keeper->leading || !trust->pem || !place->wanted || place->call ||
        (place->held && strcmp(place->held, trust->pem) == 0))
        return;
    json_t *object =
        kube_keeper_object(trust->keeper, "v1", "ConfigMap", place->ns, TRUST_CONFIG_MAP);
    if (object)
        json_object_set_new(object, "data", json_pack("{s:s}", TRUST_KEY, trust->pem));
    snprintf(path, sizeof path, "/api/v1/namespaces/%s/configmaps/" TRUST_CONFIG_MAP, place->ns);
    place->call = kube_keeper_apply(trust->keeper, path, object, on_applied, place, &err);
    if (!place->call)
        retry_later(trust);
}

void kube_trust_check(struct kube_trust *trust)
{
    size_t at = 0;
    for (struct map_entry *entry; (entry = map_next(&trust->namespaces, &at));)
        keep(entry->value);
}

static void on_retry(struct timer *timer)
{
    kube_trust_check(
        (struct kube_trust *)(void *)((char *)timer - offsetof(struct kube_trust, retry)));
}

enum err_code kube_trust_set(struct kube_trust *trust, const char *pem, struct err *err)
{
    char *copy = strdup(pem);
    if (!copy)
        return err_set(err, ERR_NO_MEMORY, "no memory for the trust bundle");
    free(trust->pem);
    trust->pem = copy;
    kube_trust_check(trust);
    return ERR_OK;
}

/* --- which namespaces there are, and what they hold --------------------------------------------
 */

static void on_space(const char *key, json_t *object, void *arg)
{
    struct trust_place *place = place_of(arg, key);
    const json_t *status = json_object_get(object, "status");
    const char *phase = json_string_value(json_object_get(status, "phase"));
    if (!place)
        return;
    place->wanted = !phase || strcmp(phase, "Terminating") != 0;
    keep(place);
}

static void on_space_gone(const char *key, void *arg)
{
    struct kube_trust *trust = arg;
    struct trust_place *place = map_get_str(&trust->namespaces, key);
    if (place && strcmp(key, trust->keeper->ns) != 0)
        place->wanted = false; /* its ConfigMap may stay: pods that are there still mount it */
}

/* "namespace/name" -> the place of that namespace. */
static struct trust_place *place_of_map(struct kube_trust *trust, const char *key)
{
    char ns[KEEPER_NAME_MAX];
    snprintf(ns, sizeof ns, "%.*s", (int)strcspn(key, "/"), key);
    return place_of(trust, ns);
}

static void on_map(const char *key, json_t *object, void *arg)
{
    struct trust_place *place = place_of_map(arg, key);
    const json_t *data = json_object_get(object, "data");
    const char *pem = json_string_value(json_object_get(data, TRUST_KEY));
    if (!place)
        return;
    free(place->held);
    place->held = pem ? strdup(pem) : NULL;
    keep(place);
}

static void on_map_gone(const char *key, void *arg)
{
    struct trust_place *place = place_of_map(arg, key);
    if (!place)
        return;
    free(place->held);
    place->held = NULL;
    keep(place);
}

static void on_synced(void *arg)
{
    (void)arg;
}

enum err_code kube_trust_start(struct kube_trust *trust, struct err *err)
{
    static const struct kube_reflector_events spaces = {
        .on_object = on_space, .on_gone = on_space_gone, .on_synced = on_synced};
    static const struct kube_reflector_events maps = {
        .on_object = on_map, .on_gone = on_map_gone, .on_synced = on_synced};
    map_init(&trust->namespaces);
    struct trust_place *own = place_of(trust, trust->keeper->ns);
    if (!own)
        return err_set(err, ERR_NO_MEMORY, "no memory for the trust bundle");
    own->wanted = true;
    trust->spaces = kube_reflector_start(
        trust->keeper->client, "/api/v1/namespaces?labelSelector=handfast.io%2Finject%3Denabled",
        &spaces, trust, err);
    if (trust->spaces)
        trust->maps = kube_reflector_start(
            trust->keeper->client,
            "/api/v1/configmaps?fieldSelector=metadata.name%3D" TRUST_CONFIG_MAP, &maps, trust,
            err);
    return trust->maps ? ERR_OK : err->code;
}

void kube_trust_close(struct kube_trust *trust)
{
    size_t at = 0;
    timer_stop(trust->timers, &trust->retry);
    if (trust->spaces)
        kube_reflector_close(trust->spaces);
    if (trust->maps)
        kube_reflector_close(trust->maps);
    for (struct map_entry *entry; (entry = map_next(&trust->namespaces, &at));)
        place_free(entry->value);
    map_deinit(&trust->namespaces);
    free(trust->pem);
    trust->spaces = trust->maps = NULL;
    trust->pem = NULL;
}
