#include "xds/wire.h"

#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

enum { CHUNK_MIN = 16 << 10, SLACK = 64 << 10 };

struct xds_chunk {
    struct xds_chunk *next;
    max_align_t bytes[];
};

static bool add_chunk(struct xds_arena *arena, size_t size)
{
    /* Each chunk is as large as all before it, so that their number stays small. */
    size_t want = arena->used > CHUNK_MIN ? arena->used : CHUNK_MIN;
    if (want < size)
        want = size;
    struct xds_chunk *chunk = malloc(sizeof *chunk + want);
    if (!chunk)
        return false;
    chunk->next = arena->chunks;
    arena->chunks = chunk;
    arena->at = 0;
    arena->left = want;
    return true;
}

static size_t round_up(size_t size)
{
    return (size + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);
}

static void *take(struct xds_arena *arena, size_t size)
{
    if (size > arena->left && !add_chunk(arena, size))
        return NULL;
    void *out = (char *)arena->chunks->bytes + arena->at;
    arena->at += size;
    arena->left -= size;
    arena->used += size;
    return out;
}

static void *arena_alloc(void *data, size_t size)
{
    struct xds_arena *arena = data;
    size = round_up(size);
    if (size > arena->limit - arena->used) {
        arena->exhausted = true;
        return NULL;
    }
    void *out = take(arena, size);
    if (!out)
        arena->no_memory = true;
    return out;
}

void *xds_arena_take(struct xds_arena *arena, size_t size)
{
    void *out = take(arena, round_up(size));
    if (out)
        memset(out, 0, size);
    return out;
}

static void arena_free(void *data, void *memory)
{
    (void)data, (void)memory;
}

void xds_arena_init(struct xds_arena *arena)
{
    *arena = (struct xds_arena){
        .allocator = {.alloc = arena_alloc, .free = arena_free},
    };
}

void xds_arena_deinit(struct xds_arena *arena)
{
    while (arena->chunks) {
        struct xds_chunk *next = arena->chunks->next;
        free(arena->chunks);
        arena->chunks = next;
    }
    xds_arena_init(arena);
}

void *xds_unpack(struct xds_arena *arena, const ProtobufCMessageDescriptor *descriptor,
                 const void *data, size_t len, size_t growth, struct err *err)
{
    arena->allocator.allocator_data = arena;
    arena->exhausted = arena->no_memory = false;
    size_t allowed = len < XDS_UNPACK_MAX_BYTES / growth ? len * growth : XDS_UNPACK_MAX_BYTES;
    allowed += SLACK;
    arena->limit = arena->used + allowed;
    void *message = protobuf_c_message_unpack(descriptor, &arena->allocator, len, data);
    if (message)
        return message;
    if (arena->no_memory)
        err_set(err, ERR_NO_MEMORY, "out of memory for a %s of %zu bytes", descriptor->short_name,
                len);
    else if (arena->exhausted)
        err_set(err, ERR_TOO_LARGE, "a %s of %zu bytes would take more than %zu bytes of memory",
                descriptor->short_name, len, allowed);
    else
        err_set(err, ERR_XDS_MALFORMED, "%zu bytes are not a valid %s", len,
                descriptor->short_name);
    return NULL;
}

bool xds_pack(const ProtobufCMessage *message, void **out, size_t *len)
{
    size_t size = protobuf_c_message_get_packed_size(message);
    void *data = malloc(size + 1); /* an empty message has no bytes, but success has an address */
    if (!data)
        return false;
    *len = protobuf_c_message_pack(message, data);
    *out = data;
    return true;
}
