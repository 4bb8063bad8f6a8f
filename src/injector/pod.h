/* A Kubernetes pod, as far as injection reads it, over the JSON of it. Everything is borrowed; one
 * thread. */
#ifndef INJECTOR_POD_H
#define INJECTOR_POD_H

#include <jansson.h>
#include <stdbool.h>

#include "base/err.h"

/* Parts that are absent are NULL. */
struct pod {
    json_t *metadata, *labels, *annotations; /* labels and annotations: strings only */
    json_t *spec, *security_context;
    json_t *init_containers, *containers, *volumes; /* lists of objects that have a name */
};

/* One of the containers. */
struct pod_container {
    json_t *container;
    const char *list; /* "initContainers" or "containers" */
    size_t index;     /* in it */
    const char *name;
};

/* Checks the shape of everything that injection reads of the pod or pod template `object`.
 * ERR_INVALID says what was found where. */
enum err_code pod_read(struct pod *pod, json_t *object, struct err *err);

/* The container number `number`, counted through init containers first; false after the last. */
bool pod_container_at(const struct pod *pod, size_t number, struct pod_container *out);
/* The container, or init container, of this name. */
bool pod_find_container(const struct pod *pod, const char *name, struct pod_container *out);
/* True for what runs as long as the pod: no init container, or one with restartPolicy Always. */
bool pod_container_stays(const struct pod_container *container);

/* The text at a key of an object, or NULL when it is not there or no text. */
const char *pod_text(const json_t *object, const char *key);

#endif
