/* The bytes of a mesh file, before anybody parses them. Pure. */
#ifndef SOURCE_TEXT_H
#define SOURCE_TEXT_H

#include <stddef.h>

#include "control/source_report.h"

/* Reports the first byte that is not UTF-8 (RFC 3629 section 4), the first control character, and
 * the first tab in front of a line's content: YAML indents with spaces only (YAML 1.1 section
 * 4.1.1), and libyaml names another place for each of these. True when there is none. */
bool source_text_check(const char *data, size_t len, struct source_report *report);

#endif
