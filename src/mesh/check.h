/* The rules that every text of a record obeys. Each returns ERR_OK, or ERR_XDS_RESOURCE with
 * `field` in the sentence. NULL counts as "". */
#ifndef MESH_CHECK_H
#define MESH_CHECK_H

#include <stddef.h>

#include "base/err.h"

/* At most MESH_TEXT_MAX bytes. */
enum err_code mesh_check_text(const char *field, const char *text, struct err *err);
/* Every one of them. */
enum err_code mesh_check_texts(const char *field, const char *const *texts, size_t count,
                               size_t max, struct err *err);
/* Can stand as a segment of a SPIFFE ID's path: [a-zA-Z0-9._-], not "." or ".." (SPIFFE-ID
 * section 2.2). */
enum err_code mesh_check_segment(const char *field, const char *text, struct err *err);
/* A trust domain: [a-z0-9._-], at most 255 bytes (SPIFFE-ID section 2.1). */
enum err_code mesh_check_trust_domain(const char *field, const char *text, struct err *err);
enum err_code mesh_check_count(const char *field, size_t count, size_t max, struct err *err);

#endif
