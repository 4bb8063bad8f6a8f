#include "control/kube_status.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"

enum { KEY_MAX = 640 };

struct status_entry {
    struct kube_status *status;
    struct kube_call *call;
    char *path;   /* of the object's status */
    json_t *want; /* {status, reason, message, observedGeneration}; NULL: no verdict yet */
    json_t *have; /* the same, and lastTransitionTime, as the object carries it; NULL: none */
    json_t *sent; /* what the call writes */
};

static void on_retry(struct timer *timer);

static const char *plural(enum cluster_kind kind)
{
    return kind == CLUSTER_POLICIES ? "authorizationpolicies"
           : kind == CLUSTER_MTLS   ? "peerauthentications"
                                    : NULL;
}

static const char *key_of(enum cluster_kind kind, const char *name, char key[KEY_MAX])
{
    snprintf(key, KEY_MAX, "%s/%s", plural(kind), name);
    return key;
}

static void entry_free(struct status_entry *entry)
{
    if (entry->call)
        kube_call_cancel(entry->call);
    json_decref(entry->want);
    json_decref(entry->have);
    json_decref(entry->sent);
    free(entry->path);
    free(entry);
}

static struct status_entry *entry_of(struct kube_status *status, enum cluster_kind kind,
                                     const char *name)
{
    char key[KEY_MAX];
    const char *slash = strchr(name, '/');
    if (!plural(kind) || !slash)
        return NULL;
    struct status_entry *entry = map_get_str(&status->entries, key_of(kind, name, key));
    if (entry)
        return entry;
    entry = calloc(1, sizeof *entry);
    if (entry && asprintf(&entry->path, "/apis/handfast.io/v1/namespaces/%.*s/%s/%s/status",
                          (int)(slash - name), name, plural(kind), slash + 1) < 0)
        entry->path = NULL;
    if (entry && entry->path && map_set_str(&status->entries, key, entry, NULL)) {
        entry->status = status;
        return entry;
    }
    if (entry)
        entry_free(entry);
    return NULL;
}

/* --- writing ---------------------------------------------------------------------------------- */

static const char *string_of(const json_t *object, const char *key)
{
    const char *value = json_string_value(json_object_get(object, key));
    return value ? value : "";
}

static bool says_the_same(const json_t *want, const json_t *have)
{
    return have && strcmp(string_of(want, "status"), string_of(have, "status")) == 0 &&
           strcmp(string_of(want, "reason"), string_of(have, "reason")) == 0 &&
           strcmp(string_of(want, "message"), string_of(have, "message")) == 0 &&
           json_integer_value(json_object_get(want, "observedGeneration")) ==
               json_integer_value(json_object_get(have, "observedGeneration"));
}

static void look_again(struct kube_status *status, int64_t delay_ms)
{
    if (!status->retry.slot)
        timer_start(status->timers, &status->retry, delay_ms, on_retry);
}

static void on_written(const struct kube_answer *answer, const struct err *err, void *arg)
{
    struct status_entry *entry = arg;
    struct kube_status *status = entry->status;
    entry->call = NULL;
    status->calls--;
    /* 404: the object has gone meanwhile, or its kind has no status; not to be tried again either.
     */
    if ((err->code == ERR_OK && answer->status == 404) ||
        kube_keeper_result(status->keeper, answer, err, entry->path) == ERR_OK) {
        json_decref(entry->have); /* now, not by the watch, or it would be written again */
        entry->have = json_incref(entry->sent);
        look_again(status, 0); /* for those that had no turn */
    } else {
        look_again(status, STATUS_RETRY_MS);
    }
    json_decref(entry->sent);
    entry->sent = NULL;
}

/* True when there was something to write and no room for it. */
static bool keep(struct status_entry *entry)
{
    struct kube_status *status = entry->status;
    char now[CLOCK_TEXT_MAX];
    struct err err = {0};
    if (!status->keeper->leading || !entry->want || entry->call ||
        says_the_same(entry->want, entry->have))
        return false;
    if (status->calls >= STATUS_CALLS_MAX)
        return true;
    json_t *condition = json_deep_copy(entry->want);
    bool turned = strcmp(string_of(entry->want, "status"), string_of(entry->have, "status")) != 0;
    const char *since = string_of(entry->have, "lastTransitionTime");
    json_object_set_new(condition, "type", json_string("Accepted"));
    json_object_set_new(condition, "lastTransitionTime",
                        json_string(turned || !*since ? clock_format(clock_wall_s(), now) : since));
    entry->call =
        kube_request(status->keeper->client, "PATCH", entry->path, "application/merge-patch+json",
                     json_pack("{s:{s:[O]}}", "status", "conditions", condition), KEEPER_CALL_MS,
                     on_written, entry, &err);
    if (entry->call) {
        status->calls++;
        entry->sent = json_incref(condition);
    } else {
        look_again(status, STATUS_RETRY_MS);
    }
    json_decref(condition);
    return false;
}

void kube_status_check(struct kube_status *status)
{
    struct map_entry *slot;
    for (size_t left = status->entries.count; left > 0; left--) {
        size_t at = status->turn;
        if (!(slot = map_next(&status->entries, &status->turn))) {
            at = status->turn = 0;
            slot = map_next(&status->entries, &status->turn);
        }
        if (keep(slot->value)) {
            status->turn = at; /* the next time it is the first */
            return;
        }
    }
}

static void on_retry(struct timer *timer)
{
    kube_status_check(
        (struct kube_status *)(void *)((char *)timer - offsetof(struct kube_status, retry)));
}

/* --- what there is to say -------------------------------------------------------------------- */

void kube_status_seen(struct kube_status *status, enum cluster_kind kind, const char *key,
                      const json_t *object)
{
    struct status_entry *entry = entry_of(status, kind, key);
    const json_t *conditions = json_object_get(json_object_get(object, "status"), "conditions");
    size_t index;
    json_t *condition;
    if (!entry)
        return;
    json_decref(entry->have);
    entry->have = NULL;
    json_array_foreach(conditions, index, condition)
    {
        if (strcmp(string_of(condition, "type"), "Accepted") == 0)
            entry->have = json_incref(condition);
    }
    keep(entry);
}

void kube_status_gone(struct kube_status *status, enum cluster_kind kind, const char *key)
{
    char text[KEY_MAX];
    struct status_entry *entry =
        plural(kind) ? map_remove_str(&status->entries, key_of(kind, key, text)) : NULL;
    if (!entry)
        return;
    if (entry->call) {
        status->calls--;
        look_again(status, 0);
    }
    entry_free(entry);
}

void kube_status_verdict(struct kube_status *status, const struct cluster_verdict *verdict)
{
    struct status_entry *entry = entry_of(status, verdict->kind, verdict->key);
    if (!entry)
        return;
    json_decref(entry->want);
    entry->want = json_pack("{s:s, s:s, s:s, s:I}", "status", verdict->accepted ? "True" : "False",
                            "reason", verdict->reason, "message", verdict->sentence,
                            "observedGeneration", (json_int_t)verdict->generation);
    keep(entry);
}

void kube_status_init(struct kube_status *status)
{
    map_init(&status->entries);
}

void kube_status_deinit(struct kube_status *status)
{
    size_t at = 0;
    timer_stop(status->timers, &status->retry);
    for (struct map_entry *slot; (slot = map_next(&status->entries, &at));)
        entry_free(slot->value);
    map_deinit(&status->entries);
}
