#include "mesh/block.h"

#include <stdalign.h>
#include <string.h>

void *mesh_block_take(struct mesh_block *block, size_t size)
{
    size_t at = (block->used + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);
    block->used = at + size;
    return block->base ? block->base + at : NULL;
}

const char *mesh_block_bytes(struct mesh_block *block, const char *bytes, size_t len)
{
    size_t at = block->used; /* texts need no alignment */
    block->used += len + 1;
    if (!block->base)
        return "";
    if (len > 0)
        memcpy(block->base + at, bytes, len);
    block->base[at + len] = 0;
    return block->base + at;
}

const char *mesh_block_text(struct mesh_block *block, const char *text)
{
    return text && *text ? mesh_block_bytes(block, text, strlen(text)) : "";
}

const void *mesh_block_array(struct mesh_block *block, const void *items, size_t count, size_t size)
{
    if (count == 0)
        return NULL;
    void *out = mesh_block_take(block, count * size);
    if (out)
        memcpy(out, items, count * size);
    return out;
}

const char *const *mesh_block_texts(struct mesh_block *block, const char *const *texts,
                                    size_t count)
{
    if (count == 0)
        return NULL;
    const char **out = mesh_block_take(block, count * sizeof *out);
    for (size_t i = 0; i < count; i++) {
        const char *copy = mesh_block_text(block, texts[i]);
        if (out)
            out[i] = copy;
    }
    return out;
}

uint32_t mesh_hash(const char *text)
{
    uint32_t hash = 2166136261u;
    for (const uint8_t *at = (const uint8_t *)text; *at; at++)
        hash = (hash ^ *at) * 16777619u;
    return hash;
}
