#include "token/base64url.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

size_t base64url_encode(const void *bytes, size_t len, char *text)
{
    const uint8_t *in = bytes;
    uint32_t bits = 0;
    unsigned held = 0;
    size_t at = 0;
    for (size_t i = 0; i < len; i++) {
        bits = bits << 8 | in[i];
        for (held += 8; held >= 6; held -= 6)
            text[at++] = alphabet[bits >> (held - 6) & 63];
    }
    if (held > 0)
        text[at++] = alphabet[bits << (6 - held) & 63];
    return at;
}

static int value_of(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '-' ? 62 : c == '_' ? 63 : -1;
}

bool base64url_decode(const char *text, size_t len, uint8_t *bytes, size_t *out_len)
{
    uint32_t bits = 0;
    unsigned held = 0;
    *out_len = 0;
    if (len % 4 == 1)
        return false;
    for (size_t i = 0; i < len; i++) {
        int value = value_of(text[i]);
        if (value < 0)
            return false;
        bits = bits << 6 | (uint32_t)value;
        held += 6;
        if (held >= 8) {
            held -= 8;
            bytes[(*out_len)++] = (uint8_t)(bits >> held);
        }
    }
    /* A second spelling of the same bytes would be a second token for the same claims. */
    return (bits & ((1u << held) - 1)) == 0;
}
