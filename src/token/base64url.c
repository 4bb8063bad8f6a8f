#include "token/base64url.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

char *base64url_encode(const void *data, size_t len)
{
    const uint8_t *in = data;
    char *out = malloc(len / 3 * 4 + 5), *at = out;
    if (!out)
        return NULL;
    for (size_t i = 0; i < len; i += 3) {
        size_t left = len - i;
        uint32_t group = (uint32_t)in[i] << 16 | (left > 1 ? (uint32_t)in[i + 1] << 8 : 0) |
                         (left > 2 ? in[i + 2] : 0);
        *at++ = alphabet[group >> 18];
        *at++ = alphabet[group >> 12 & 63];
        if (left > 1)
            *at++ = alphabet[group >> 6 & 63];
        if (left > 2)
            *at++ = alphabet[group & 63];
    }
    *at = 0;
    return out;
}

char *base64url_decode(const char *text, size_t len, size_t *out_len)
{
    uint32_t bits = 0;
    unsigned held = 0;
    size_t used = 0;
    char *out = len % 4 == 1 ? NULL : malloc(len / 4 * 3 + 4);
    for (size_t i = 0; out && i < len; i++) {
        const char *found = text[i] ? strchr(alphabet, text[i]) : NULL;
        if (!found) {
            free(out);
            return NULL;
        }
        bits = bits << 6 | (uint32_t)(found - alphabet);
        held += 6;
        if (held >= 8) {
            held -= 8;
            out[used++] = (char)(bits >> held);
        }
    }
    if (out && (bits & ((1u << held) - 1)) != 0) { /* bits that mean nothing: not canonical */
        free(out);
        return NULL;
    }
    if (out)
        out[used] = 0;
    *out_len = used;
    return out;
}
