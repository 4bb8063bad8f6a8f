#include "control/source_arena.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK_BYTES = 32 * 1024, ALIGN = 16 };

struct source_block {
    struct source_block *next;
    _Alignas(ALIGN) char bytes[];
};

void *source_arena_take(struct source_arena *arena, size_t size)
{
    size = (size + ALIGN - 1) / ALIGN * ALIGN;
    if (!arena->blocks || arena->size - arena->used < size) {
        size_t want = size > BLOCK_BYTES ? size : BLOCK_BYTES;
        struct source_block *block = calloc(1, sizeof *block + want);
        if (!block) {
            arena->failed = true;
            return NULL;
        }
        block->next = arena->blocks;
        arena->blocks = block;
        arena->used = 0;
        arena->size = want;
    }
    void *taken = arena->blocks->bytes + arena->used;
    arena->used += size;
    return taken;
}

void *source_arena_array(struct source_arena *arena, size_t count, size_t size)
{
    if (count > SIZE_MAX / 2 / size) {
        arena->failed = true;
        return NULL;
    }
    return source_arena_take(arena, count * size);
}

char *source_arena_text(struct source_arena *arena, const char *text, size_t len)
{
    char *copy = source_arena_take(arena, len + 1);
    if (copy && len > 0)
        memcpy(copy, text, len);
    return copy;
}

char *source_arena_format(struct source_arena *arena, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    int len = vsnprintf(NULL, 0, format, list);
    va_end(list);
    char *text = len < 0 ? NULL : source_arena_take(arena, (size_t)len + 1);
    if (!text)
        return NULL;
    va_start(list, format);
    vsnprintf(text, (size_t)len + 1, format, list);
    va_end(list);
    return text;
}

void source_arena_free(struct source_arena *arena)
{
    while (arena->blocks) {
        struct source_block *next = arena->blocks->next;
        free(arena->blocks);
        arena->blocks = next;
    }
    *arena = (struct source_arena){0};
}
