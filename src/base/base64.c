#include "base/base64.h"

#include <string.h>

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

size_t base64_encode(const void *bytes, size_t len, char *text)
{
    const uint8_t *in = bytes;
    char *out = text;
    for (size_t i = 0; i < len; i += 3) {
        size_t have = len - i < 3 ? len - i : 3;
        uint32_t bits = (uint32_t)in[i] << 16 | (have > 1 ? (uint32_t)in[i + 1] << 8 : 0) |
                        (have > 2 ? in[i + 2] : 0u);
        *out++ = digits[bits >> 18];
        *out++ = digits[bits >> 12 & 63];
        *out++ = have > 1 ? digits[bits >> 6 & 63] : '=';
        *out++ = have > 2 ? digits[bits & 63] : '=';
    }
    *out = 0;
    return (size_t)(out - text);
}

/* 0 to 63, or -1. */
static int value_of(char c)
{
    const char *at = c ? strchr(digits, c) : NULL;
    return at ? (int)(at - digits) : -1;
}

bool base64_decode(const char *text, size_t len, void *bytes, size_t *out_len)
{
    uint8_t *out = bytes;
    uint32_t bits = 0;
    unsigned have = 0, padding = 0; /* characters of the present four; how many of them are '=' */
    size_t used = 0;
    for (size_t i = 0; i < len; i++) {
        char c = text[i];
        if (c == ' ' || c == '\n' || c == '\r' || c == '\t')
            continue;
        int value = c == '=' && have >= 2 ? 0 : value_of(c);
        if (value < 0 || (padding > 0 && c != '=') || (padding > 0 && have == 0))
            return false;
        padding += c == '=';
        bits = bits << 6 | (uint32_t)value;
        if (++have < 4)
            continue;
        if (bits & (padding == 2 ? 0xffffu : padding == 1 ? 0xffu : 0))
            return false;
        for (unsigned j = 0; j < 3 - padding; j++)
            out[used++] = (uint8_t)(bits >> (16 - 8 * j));
        have = 0;
        bits = 0;
    }
    *out_len = used;
    return have == 0;
}
