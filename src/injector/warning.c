#include "injector/warning.h"

#include <stdarg.h>
#include <stdio.h>

#include "injector/value.h"

void warning_add(json_t *warnings, const char *format, ...)
{
    char text[WARNING_TEXT_MAX], shown[WARNING_TEXT_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (json_array_size(warnings) < WARNINGS_MAX)
        json_array_append_new(warnings, json_string(value_printable(text, shown, sizeof shown)));
}
