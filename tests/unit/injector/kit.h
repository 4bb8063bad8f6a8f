/* Pods as text, injected. */
#ifndef KIT_H
#define KIT_H

#include <jansson.h>
#include <stdbool.h>

#include "injector/inject.h"

/* JSON of a text in which ' stands for "; fails the test when it is none. */
json_t *kit_json(const char *text);

/* Injects into the pod that `text` (as kit_json takes it) or `pod` is, for this server version
 * (NULL: recent). Free the result with inject_result_deinit. */
void kit_inject(const char *text, const char *kube_version, struct inject_result *result);
void kit_inject_json(json_t *pod, const char *kube_version, struct inject_result *result);

/* The same, expects INJECT_DONE without a warning unless `warning` is in one, and returns the pod
 * with the patch applied. */
json_t *kit_injected(const char *text, const char *kube_version, const char *warning);

/* Expects that the pod is refused with `part` in the sentence; prints both when not. */
void kit_refused(const char *text, const char *part);
/* Expects this outcome, no operation, and `warning` in a warning, or no warning when NULL. */
void kit_skipped(const char *text, enum inject_outcome outcome, const char *warning);

/* True when one of the warnings has `part`; prints them when not. */
bool kit_warned(const struct inject_result *result, const char *part);

/* The value at a JSON Pointer (no escapes), borrowed, or NULL; its text or "". */
json_t *kit_at(json_t *root, const char *pointer);
const char *kit_text(json_t *root, const char *pointer);

/* The file tests/unit/injector/pods/<name>.json. */
json_t *kit_file(const char *name);

#endif
