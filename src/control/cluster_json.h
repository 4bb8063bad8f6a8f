/* Kubernetes objects, read without trust: what is missing or of another type than expected is
 * absent. Everything returned is borrowed from the object. */
#ifndef CLUSTER_JSON_H
#define CLUSTER_JSON_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/* The value at a path of keys that hold no dots themselves ("spec.selector"), or NULL. */
const json_t *cluster_json_at(const json_t *json, const char *path);
/* The same for a text that is not empty. */
const char *cluster_json_text(const json_t *json, const char *path);
/* A boolean, or `fallback` where there is none. */
bool cluster_json_flag(const json_t *json, const char *path, bool fallback);
/* A port number from 1 to 65535, or 0. */
uint16_t cluster_json_port(const json_t *json, const char *path);
/* An annotation that says "true". */
bool cluster_json_annotated(const json_t *object, const char *annotation);
/* Null, "", [] or {}: nothing is said. */
bool cluster_json_says_nothing(const json_t *json);

#endif
