/* JSON from somebody who may mean ill: strict, and no more expensive than it looks. Pure. */
#ifndef INJECTOR_DOCUMENT_H
#define INJECTOR_DOCUMENT_H

#include <jansson.h>

#include "base/err.h"

enum {
    /* The API server takes no larger request, RFC 8259 leaves it to us. */
    DOCUMENT_MAX_BYTES = 3 * 1024 * 1024,
    DOCUMENT_DEPTH_MAX = 64,      /* a pod with its managedFields has about 20 */
    DOCUMENT_VALUES_MAX = 200000, /* 3 MiB of brackets would be a million, 100 bytes each */
};

/* Parses all of text[0..len-1]: one value, UTF-8, no key twice in an object, within the ceilings.
 * ERR_TOO_LARGE over one of them; ERR_INVALID with what is wrong where. */
enum err_code document_parse(json_t **out, const char *text, size_t len, struct err *err);

#endif
