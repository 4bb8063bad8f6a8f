/* What a plain word of YAML means (YAML 1.1 as Kubernetes' reader has it). Pure. */
#ifndef CLI_MANIFEST_SCALAR_H
#define CLI_MANIFEST_SCALAR_H

#include <jansson.h>
#include <stdbool.h>

/* A new value: null, a truth, a number, or the text itself. NULL: it is a number that JSON does not
 * have (.inf, .nan), no UTF-8, or there is no memory. */
json_t *manifest_scalar_resolve(const char *text, size_t len);

/* True when `text`, written plain, would or might be read as something else than a text. */
bool manifest_scalar_needs_quotes(const char *text);

#endif
