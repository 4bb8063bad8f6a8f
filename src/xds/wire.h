/* protobuf-c with its edges taken off: parsing into an arena that has a ceiling and is freed in one
 * go, packing into one allocation. Only xds/ uses it. */
#ifndef XDS_WIRE_H
#define XDS_WIRE_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

/* protoc-c's initialisers cast constness away, which clang blames on whoever uses them. */
#ifdef __clang__
#pragma clang diagnostic ignored "-Wcast-qual"
#endif

struct xds_chunk;

/* Memory for messages that live and die together. */
struct xds_arena {
    ProtobufCAllocator allocator;
    struct xds_chunk *chunks;
    size_t at, left;    /* in the newest chunk */
    size_t used, limit; /* bytes handed out, over all messages */
    bool exhausted, no_memory;
};

/* How much larger than its encoding a message may be in memory: an empty element of two bytes
 * becomes a structure, so that a small message could ask for a large amount of memory. */
enum {
    XDS_GROWTH_REQUEST = 8,   /* names and versions */
    XDS_GROWTH_RESPONSE = 16, /* resources, still encoded */
    XDS_GROWTH_RESOURCE = 128 /* matches of a policy have many fields */
};

enum { XDS_UNPACK_MAX_BYTES = 64 << 20 /* in memory, whatever the growth */ };

/* Memory is taken as it is needed; nothing to undo when the arena was never used. */
void xds_arena_init(struct xds_arena *arena);
void xds_arena_deinit(struct xds_arena *arena);

/* `size` more bytes, zeroed, beside the messages; counts against no ceiling. NULL: out of memory.
 */
void *xds_arena_take(struct xds_arena *arena, size_t size);

/* Parses `len` bytes into at most len * growth bytes (and XDS_UNPACK_MAX_BYTES) and 64 KiB; the
 * message lives as long as the arena. NULL: ERR_XDS_MALFORMED, ERR_TOO_LARGE, ERR_NO_MEMORY. */
void *xds_unpack(struct xds_arena *arena, const ProtobufCMessageDescriptor *descriptor,
                 const void *data, size_t len, size_t growth, struct err *err);

/* Packs into malloc'd memory that the caller frees, never NULL on success. False: out of memory. */
bool xds_pack(const ProtobufCMessage *message, void **out, size_t *len);

#endif
