/* Follows one collection: LIST in pages, then WATCH from there on, for as long as it takes. Loop
 * thread.
 *
 *   list -> on_object for each new version -> on_gone for what a complete list has no more ->
 *   on_synced -> watch -> on_object, on_gone -> the watch ends by its own clock -> watch again
 *   410 at any point, an event that is no JSON -> list again; what is known stays known
 *   the connection is lost, an answer is cut off, 429, 5xx -> the same again, with backoff
 *   404 -> on_absent; asked again every 30 s; gone only when it is absent twice
 *
 * Only keys and versions are kept. An object that was deleted and made again between two lists
 * arrives as a change: look at its uid. Objects that cannot be read (no JSON that we take, larger
 * than KUBE_PIECE_MAX) are left out with a log line, and nothing is reported as gone by such a
 * list. */
#ifndef KUBE_REFLECTOR_H
#define KUBE_REFLECTOR_H

#include "kube/client.h"

struct kube_reflector;

/* Any of these may close the reflector. Objects of a list carry no kind and no apiVersion; none
 * carries metadata.managedFields. */
struct kube_reflector_events {
    /* New, or another resourceVersion. `key` is "namespace/name" or "name"; both are borrowed,
     * json_incref() keeps the object. */
    void (*on_object)(const char *key, json_t *object, void *arg);
    void (*on_gone)(const char *key, void *arg);
    /* The first list is complete; once. */
    void (*on_synced)(void *arg);
    /* The server has no such collection (404: a custom resource that is not installed); once until
     * it has. May be NULL. */
    void (*on_absent)(void *arg);
};

/* `path` as for kube_request, "/api/v1/pods?labelSelector=app%3Dweb"; `events` must outlive the
 * reflector. Events come later, from the loop. NULL: as for kube_request. */
struct kube_reflector *kube_reflector_start(struct kube_client *client, const char *path,
                                            const struct kube_reflector_events *events, void *arg,
                                            struct err *err);
/* No event comes any more. Before kube_client_close. */
void kube_reflector_close(struct kube_reflector *reflector);

#endif
