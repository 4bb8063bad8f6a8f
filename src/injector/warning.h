/* What the person who makes a pod should read: kubectl prints it. One thread. */
#ifndef INJECTOR_WARNING_H
#define INJECTOR_WARNING_H

#include <jansson.h>

/* The API server cuts what is longer, and all of them together at 4 KiB. */
enum { WARNING_TEXT_MAX = 256, WARNINGS_MAX = 16 };

/* Appends a sentence to `warnings` (an array); what is over a ceiling, or has no memory, is left
 * out. */
void warning_add(json_t *warnings, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
