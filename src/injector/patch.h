/* A JSON Patch (RFC 6902) being written: `add` and `replace` only. One thread.
 *
 * Nothing here returns an error: whoever builds a patch goes on, and asks patch_failed() once. */
#ifndef INJECTOR_PATCH_H
#define INJECTOR_PATCH_H

#include <jansson.h>
#include <stdbool.h>

enum { PATCH_PATH_MAX = 512 };

struct patch {
    json_t *operations; /* an array */
    bool failed;        /* no memory, or a path over PATCH_PATH_MAX */
};

void patch_init(struct patch *patch);
void patch_deinit(struct patch *patch);

/* Append an operation. Take `value`, and a NULL for it makes the patch fail: what could not be
 * built is never left out of a pod. The path is a JSON Pointer whose last part is `key`, which is
 * escaped (RFC 6901 section 3); NULL: the path is whole already. */
void patch_add(struct patch *patch, json_t *value, const char *key, const char *path, ...)
    __attribute__((format(printf, 4, 5)));
void patch_replace(struct patch *patch, json_t *value, const char *key, const char *path, ...)
    __attribute__((format(printf, 4, 5)));

/* Carries the operations out on `document`, for who has no API server to do it. False: one does not
 * fit, or there is no memory; the document may be half changed then. */
bool patch_apply(json_t *document, const json_t *operations);

#endif
