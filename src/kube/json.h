/* The server's JSON as jansson takes it. Pure. */
#ifndef KUBE_JSON_H
#define KUBE_JSON_H

#include <jansson.h>
#include <stddef.h>

/* Parses one value; the caller owns it. Nulls in texts and keys (RFC 8259 section 7 allows them, and
 * whoever writes an annotation may put one there) become U+FFFD: jansson refuses keys with them, and
 * an object that cannot be read is worse than one whose text is a little different. NULL: it is no
 * JSON, or there is no memory; `error` says which. */
json_t *kube_json_load(const char *bytes, size_t len, json_error_t *error);

#endif
