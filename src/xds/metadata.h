/* A node's metadata: a flat google.protobuf.Struct of texts. Pure. */
#ifndef XDS_METADATA_H
#define XDS_METADATA_H

#include <stdbool.h>
#include <stddef.h>

struct xds_metadata_field {
    const char *key, *value; /* an empty value leaves the field out */
};

enum { XDS_METADATA_FIELDS_MAX = 8 };

/* Packs at most XDS_METADATA_FIELDS_MAX fields into malloc'd memory that the caller frees. False:
 * out of memory. */
bool xds_metadata_pack(const struct xds_metadata_field *fields, unsigned count, void **out,
                       size_t *len);

#endif
