/* Manifests with sidecars: text of YAML documents in, text out. Pure; one thread. */
#ifndef CLI_MANIFEST_H
#define CLI_MANIFEST_H

#include <stdbool.h>
#include <stdio.h>

#include "injector/settings.h"

enum { MANIFEST_MAX_BYTES = 16 * 1024 * 1024 };

/* Injects into the pods and pod templates of every document in text[0..len-1]: Pod, PodTemplate,
 * Deployment, StatefulSet, DaemonSet, ReplicaSet, ReplicationController, Job, CronJob, and those in
 * a List. A document in which nothing changes is written as it stands, byte for byte; a changed one
 * anew. `json`: every document as JSON instead. Warnings, and why a pod was left alone, go to
 * `notes`. `text` may hold no null. *out is malloc'd.
 *
 * ERR_INVALID, with the document and the reason, when a document is no YAML or a pod is refused:
 * then nothing is to be applied. ERR_TOO_LARGE, ERR_NO_MEMORY. */
enum err_code manifest_inject(const char *text, size_t len, const struct settings *settings,
                              bool json, FILE *notes, char **out, size_t *out_len, struct err *err);

#endif
