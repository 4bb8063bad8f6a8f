/* A resource as the server keeps it: serialised once, shared by every stream that sends it.
 * Immutable and reference-counted; any thread. */
#ifndef XDS_RESOURCE_H
#define XDS_RESOURCE_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/ref.h"

enum { XDS_VERSION_MAX = 17 }; /* 64 bits in hexadecimal, and the null */

struct xds_resource {
    struct ref ref; /* private */
    const char *name;
    char version[XDS_VERSION_MAX]; /* hash of the content: comes back when the content does */
    uint64_t hash;                 /* the same as a number */
    const char *const *aliases;    /* "network/ip" */
    unsigned alias_count;
    const char *const
        *groups; /* names of the resources that bring this one along: a workload's services */
    unsigned group_count;
    const uint8_t *wire; /* an encoded discovery.v3.Resource */
    size_t wire_len;
};

struct xds_resource_spec {
    const char *type_url, *name;
    const void *body; /* the encoded message that goes into the Any */
    size_t body_len;
    const char *const *aliases, *const *groups; /* may be NULL when the counts are 0 */
    unsigned alias_count, group_count;
};

/* One reference to the caller; everything is copied. ERR_NO_MEMORY; ERR_TOO_LARGE when the resource
 * would not fit into one response (3 MiB). */
enum err_code xds_resource_new(const struct xds_resource_spec *spec, struct xds_resource **out,
                               struct err *err);
struct xds_resource *xds_resource_ref(struct xds_resource *resource);
/* NULL is allowed. */
void xds_resource_unref(struct xds_resource *resource);

#endif
