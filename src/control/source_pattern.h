/* Patterns of a policy: text, text*, *text or *. Pure. */
#ifndef SOURCE_PATTERN_H
#define SOURCE_PATTERN_H

#include <stdbool.h>

#include "control/source_arena.h"
#include "mesh/policy.h"

/* `text` as the mesh compares it; a leading spiffe:// is taken off. A suffix and an exact text are
 * borrowed, a prefix is copied into the arena (its text is NULL without memory). */
struct mesh_string source_pattern(struct source_arena *arena, const char *text);
/* Whatever `narrow` matches, `wide` matches too. */
bool source_pattern_covers(const struct mesh_string *wide, const struct mesh_string *narrow);

#endif
