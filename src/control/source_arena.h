/* Memory that is freed all at once: a mesh file's tree and model live in one. One thread. */
#ifndef SOURCE_ARENA_H
#define SOURCE_ARENA_H

#include <stdbool.h>
#include <stddef.h>

struct source_block;

struct source_arena {
    struct source_block *blocks;
    size_t used, size; /* of the newest block */
    bool failed;       /* an allocation failed; what was read since is not to be trusted */
};

/* Zeroed memory, aligned for anything, or NULL (and `failed` is set) without memory. A zeroed
 * arena is an empty one. */
void *source_arena_take(struct source_arena *arena, size_t size);
/* `count` items of `size` bytes each. */
void *source_arena_array(struct source_arena *arena, size_t count, size_t size);
/* A copy of `len` bytes with a null behind, or NULL. */
char *source_arena_text(struct source_arena *arena, const char *text, size_t len);
/* As printf, into the arena; NULL without memory. */
char *source_arena_format(struct source_arena *arena, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void source_arena_free(struct source_arena *arena);

#endif
