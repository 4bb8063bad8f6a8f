#include "control/source_text.h"

#include <stdint.h>

/* Bytes of the UTF-8 sequence at `at`, or 0 when it is none: overlong forms, surrogates and what
 * lies beyond U+10FFFF included. */
static size_t sequence(const uint8_t *at, size_t left)
{
    uint8_t first = at[0], low = 0x80, high = 0xbf;
    size_t len = 2;
    if (first < 0x80)
        return 1;
    if (first < 0xc2 || first > 0xf4)
        return 0;
    if (first >= 0xe0)
        len = first >= 0xf0 ? 4 : 3;
    if (first == 0xe0)
        low = 0xa0;
    if (first == 0xed)
        high = 0x9f;
    if (first == 0xf0)
        low = 0x90;
    if (first == 0xf4)
        high = 0x8f;
    if (len > left || at[1] < low || at[1] > high)
        return 0;
    for (size_t i = 2; i < len; i++) {
        if ((at[i] & 0xc0) != 0x80)
            return 0;
    }
    return len;
}

bool source_text_check(const char *data, size_t len, struct source_report *report)
{
    const uint8_t *bytes = (const uint8_t *)data;
    unsigned line = 1, column = 1;
    bool indent = true;
    for (size_t i = 0; i < len;) {
        size_t step = sequence(bytes + i, len - i);
        uint8_t byte = bytes[i];
        if (step == 0) {
            source_report_error(report, line, column, "found the byte 0x%02x, expected UTF-8",
                                byte);
            return false;
        }
        if ((byte < 0x20 && byte != '\n' && byte != '\r' && byte != '\t') || byte == 0x7f) {
            source_report_error(report, line, column,
                                "found the control character 0x%02x, expected text", byte);
            return false;
        }
        if (byte == '\t' && indent) {
            source_report_error(report, line, column,
                                "found a tab, expected spaces in front of a line's content");
            return false;
        }
        i += step;
        column++;
        if (byte == '\n') {
            line++;
            column = 1;
            indent = true;
        } else if (byte != ' ') {
            indent = false;
        }
    }
    return true;
}
