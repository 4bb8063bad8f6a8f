/* Mesh files for tests, and what is found in them. */
#ifndef YAML_H
#define YAML_H

#include <stdbool.h>

#include "control/source.h"

/* The first problem as "line:column: text", "" when there is none; valid until the next call. */
const char *yaml_problem(const char *text);
/* The same for bytes that may hold nulls. */
const char *yaml_problem_bytes(const char *data, size_t len);

/* Asserts that the file's first problem is at `place` ("3:7") and that its text holds `part`. */
#define EXPECT_PROBLEM(yaml, place, part) CU_ASSERT(yaml_expect(yaml, place, part))
bool yaml_expect(const char *yaml, const char *place, const char *part);

#endif
