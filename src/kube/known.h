/* Which objects of a collection are known, by key, and in which version: all that is kept of them,
 * and enough to turn a new list into what has changed. One thread.
 *
 *   kube_known_begin, kube_known_put for every item, kube_known_sweep: what was in no list is gone
 */
#ifndef KUBE_KNOWN_H
#define KUBE_KNOWN_H

#include <jansson.h>
#include <stdbool.h>

#include "base/map.h"

enum {
    KUBE_KEY_MAX = 512,       /* namespace and name have 253 characters at most */
    KUBE_VERSION_MAX = 64,    /* of a resourceVersion, an opaque text */
    KUBE_KNOWN_MAX = 1000000, /* objects of a collection */
};

struct kube_known {
    struct map map;
    unsigned round;
    size_t swept; /* where kube_known_sweep goes on */
};

enum kube_known_change { KUBE_KNOWN_SAME, KUBE_KNOWN_CHANGED, KUBE_KNOWN_FULL };

void kube_known_init(struct kube_known *known);
void kube_known_deinit(struct kube_known *known);

/* A new list begins. */
void kube_known_begin(struct kube_known *known);
/* The object is there, in this version. FULL: over the ceiling, or out of memory; not noted. */
enum kube_known_change kube_known_put(struct kube_known *known, const char *key,
                                      const char *version);
/* False when it was not known. */
bool kube_known_remove(struct kube_known *known, const char *key);
/* Takes out one object that was not put since kube_known_begin; its key, malloc'd, or NULL when
 * there is none (left), or no memory. Nothing is put between two calls. */
char *kube_known_sweep(struct kube_known *known);

/* "namespace/name" or "name", and the version, of an object. False: it has no usable name, or a
 * version that is no text. An object without a version gets "": it always counts as changed. */
bool kube_object_key(const json_t *object, char key[KUBE_KEY_MAX], const char **version);

#endif
