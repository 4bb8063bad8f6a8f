#include "control/source_pattern.h"

#include <string.h>

struct mesh_string source_pattern(struct source_arena *arena, const char *text)
{
    static const char scheme[] = "spiffe://";
    if (strncmp(text, scheme, sizeof scheme - 1) == 0)
        text += sizeof scheme - 1;
    size_t len = strlen(text);
    struct mesh_string string = {.kind = MESH_EXACT, .text = text, .len = (uint32_t)len};
    if (len == 1 && text[0] == '*') {
        string = (struct mesh_string){.kind = MESH_PRESENCE, .text = ""};
    } else if (len > 0 && text[0] == '*') {
        string =
            (struct mesh_string){.kind = MESH_SUFFIX, .text = text + 1, .len = (uint32_t)len - 1};
    } else if (len > 0 && text[len - 1] == '*') {
        string.kind = MESH_PREFIX;
        string.text = source_arena_text(arena, text, len - 1);
        string.len = (uint32_t)len - 1;
    }
    return string;
}

static bool starts(const struct mesh_string *text, const struct mesh_string *with)
{
    return text->len >= with->len && memcmp(text->text, with->text, with->len) == 0;
}

static bool ends(const struct mesh_string *text, const struct mesh_string *with)
{
    return text->len >= with->len &&
           memcmp(text->text + text->len - with->len, with->text, with->len) == 0;
}

bool source_pattern_covers(const struct mesh_string *wide, const struct mesh_string *narrow)
{
    switch (wide->kind) {
    case MESH_PRESENCE:
        return true;
    case MESH_PREFIX:
        return (narrow->kind == MESH_PREFIX || narrow->kind == MESH_EXACT) && starts(narrow, wide);
    case MESH_SUFFIX:
        return (narrow->kind == MESH_SUFFIX || narrow->kind == MESH_EXACT) && ends(narrow, wide);
    case MESH_EXACT:
        break;
    }
    return narrow->kind == MESH_EXACT && narrow->len == wide->len && starts(narrow, wide);
}
