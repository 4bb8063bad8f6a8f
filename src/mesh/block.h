/* One allocation for a record and everything it points to. Lay the record out twice with the same
 * code: first with a null base, which only measures, then into memory of that size. */
#ifndef MESH_BLOCK_H
#define MESH_BLOCK_H

#include <stddef.h>
#include <stdint.h>

struct mesh_block {
    char *base; /* NULL while measuring */
    size_t used;
};

/* The next `size` bytes, aligned for anything; NULL while measuring. */
void *mesh_block_take(struct mesh_block *block, size_t size);
/* A copy of `text` (NULL counts as ""); "" while measuring. */
const char *mesh_block_text(struct mesh_block *block, const char *text);
/* A copy of `len` bytes with a null behind. */
const char *mesh_block_bytes(struct mesh_block *block, const char *bytes, size_t len);
/* A copy of an array; NULL while measuring and when it is empty. */
const void *mesh_block_array(struct mesh_block *block, const void *items, size_t count,
                             size_t size);
/* A copy of an array of texts, texts included. */
const char *const *mesh_block_texts(struct mesh_block *block, const char *const *texts,
                                    size_t count);

/* FNV-1a over a text: how records are found by key. */
uint32_t mesh_hash(const char *text);

#endif
