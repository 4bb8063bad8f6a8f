/* Base 64 (RFC 4648 section 4), one way. Pure. */
#ifndef INJECTOR_BASE64_H
#define INJECTOR_BASE64_H

#include <stddef.h>

/* malloc'd text, the caller frees; NULL without memory. */
char *base64_encode(const void *data, size_t len);

#endif
