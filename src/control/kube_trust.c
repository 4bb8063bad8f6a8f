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

/* Forgets a namespace that asks for nothing and holds nothing. */
static void settle(struct trust_place *place)
{
    if (place->wanted || place->held || place->call)
        return;
    map_remove_str(&place->trust->namespaces, place->ns);
    place_free(place);
}

/* Copies what a ConfigMap says. */
static void note_held(struct trust_place *place, const json_t *object)
{
    const json_t *value = json_object_get(json_object_get(object, "data"), TRUST_KEY);
    free(place->held);
    place->held = NULL;
    bool small = json_is_string(value) && json_string_length(value) <= TRUST_MAX;
    if (object)
        place->held = strdup(small ? json_string_value(value) : "");
}

static bool is_due(const struct trust_place *place)
{
    const struct kube_trust *trust = place->trust;
    return trust->keeper->leading && trust->pem && place->wanted && !place->call &&
           !(place->held && strcmp(place->held, trust->pem) == 0);
}

/* --- writing ---------------------------------------------------------------------------------- */

static void on_applied(const struct kube_answer *answer, const struct err *err, void *arg)
{
    struct trust_place *place = arg;
    char what[KEEPER_NAME_MAX];
    struct kube_trust *trust = place->trust;
    place->call = NULL;
    trust->calls--;
    snprintf(what, sizeof what, "the trust ConfigMap of %s", place->ns);
    if (kube_keeper_result(trust->keeper, answer, err, what) == ERR_OK)
        note_held(place, answer->body);
    /* It failed, or there was a new bundle meanwhile, or the server made something else of it. */
    if (is_due(place))
        retry_later(trust);
    else if (trust->waiting && !trust->retry.slot)
        timer_start(trust->timers, &trust->retry, 0, on_retry);
    settle(place);
}

static void keep(struct trust_place *place)
{
    struct kube_trust *trust = place->trust;
    char path[KEEPER_NAME_MAX * 2];
    struct err err = {0};
    if (!is_due(place))
        return;
    if (trust->calls >= TRUST_CALLS_MAX) {
        trust->waiting = true;
        return;
    }
    json_t *object =
        kube_keeper_object(trust->keeper, "v1", "ConfigMap", place->ns, TRUST_CONFIG_MAP);
    if (object &&
        json_object_set_new(object, "data", json_pack("{s:s}", TRUST_KEY, trust->pem)) < 0) {
        json_decref(object); /* applied without data it would take the bundle away */
        object = NULL;
    }
    snprintf(path, sizeof path, "/api/v1/namespaces/%s/configmaps/" TRUST_CONFIG_MAP, place->ns);
    place->call = kube_keeper_apply(trust->keeper, path, object, on_applied, place, &err);
    if (place->call)
        trust->calls++;
    else
        retry_later(trust);
}

void kube_trust_check(struct kube_trust *trust)
{
    struct map_entry *entry;
    trust->waiting = false;
    for (size_t left = trust->namespaces.count; left > 0 && !trust->waiting; left--) {
        size_t at = trust->turn;
        if (!(entry = map_next(&trust->namespaces, &trust->turn))) {
            at = trust->turn = 0;
            entry = map_next(&trust->namespaces, &trust->turn);
        }
        keep(entry->value);
        if (trust->waiting)
            trust->turn = at; /* the next time it is the first */
    }
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

/* --- which namespaces there are, and what they hold ------------------------------------------ */

static void on_space(const char *key, json_t *object, void *arg)
{
    struct trust_place *place = place_of(arg, key);
    const json_t *status = json_object_get(object, "status");
    const char *phase = json_string_value(json_object_get(status, "phase"));
    if (!place)
        return;
    place->wanted = !phase || strcmp(phase, "Terminating") != 0;
    keep(place);
    settle(place);
}

static void on_space_gone(const char *key, void *arg)
{
    struct kube_trust *trust = arg;
    struct trust_place *place = map_get_str(&trust->namespaces, key);
    if (!place || strcmp(key, trust->keeper->ns) == 0)
        return;
    place->wanted = false; /* its ConfigMap may stay: pods that are there still mount it */
    settle(place);
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
    if (!place)
        return;
    note_held(place, object);
    keep(place);
}

static void on_map_gone(const char *key, void *arg)
{
    struct trust_place *place = place_of_map(arg, key);
    if (!place)
        return;
    note_held(place, NULL);
    keep(place);
    settle(place);
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
