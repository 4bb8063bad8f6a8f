/* YAML as Kubernetes reads it, to JSON and back. Comments, anchors and the spelling of numbers are
 * lost on the way; the order of keys is kept. Pure; one thread. */
#ifndef CLI_MANIFEST_YAML_H
#define CLI_MANIFEST_YAML_H

#include <jansson.h>

#include "base/err.h"

enum {
    MANIFEST_DEPTH_MAX = 100,
    MANIFEST_VALUES_MAX =
        1000000, /* with anchors followed: a small text can mean a large document */
};

/* Parses one document; *out is NULL for a text with nothing but comments. `first_line` is the line
 * of the file that text begins at, for sentences. Plain words mean what they mean to Kubernetes
 * (YAML 1.1: yes, on and y are true). ERR_INVALID says what is wrong where; ERR_TOO_LARGE,
 * ERR_NO_MEMORY. */
enum err_code manifest_parse(json_t **out, const char *text, size_t len, size_t first_line,
                             struct err *err);

/* The value as one document in block style, with a newline at its end and no "---"; malloc'd. What
 * another reader might take for a number or a truth is quoted. NULL without memory. */
char *manifest_format(json_t *value);

#endif
