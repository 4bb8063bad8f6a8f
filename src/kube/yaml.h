/* A YAML file as a JSON tree, for kubeconfigs: scalars become strings, apart from plain true, false
 * and null. What such a file does not need is refused, with its line and column: anchors and
 * aliases (and with them files that grow when they are read), tags, several documents, keys that
 * are no text or come twice. One thread. */
#ifndef KUBE_YAML_H
#define KUBE_YAML_H

#include <jansson.h>
#include <stddef.h>

#include "base/err.h"

enum { KUBE_YAML_DEPTH_MAX = 32, KUBE_YAML_NODES_MAX = 100000 };

/* *out is the caller's. ERR_INVALID with "7:14: found ..., expected ...", ERR_TOO_LARGE,
 * ERR_NO_MEMORY. */
enum err_code kube_yaml_parse(json_t **out, const char *text, size_t len, struct err *err);

#endif
