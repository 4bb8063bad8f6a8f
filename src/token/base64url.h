/* base64url without padding (RFC 4648 section 5, RFC 7515 section 2), strict: one text for one
 * value. Pure; any thread. */
#ifndef BASE64URL_H
#define BASE64URL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Characters for `len` bytes, and bytes in at most `len` characters. */
#define BASE64URL_TEXT_SIZE(len) (((len)*4 + 2) / 3)
#define BASE64URL_BYTES_SIZE(len) ((len) / 4 * 3 + 2)

/* Writes BASE64URL_TEXT_SIZE(len) characters and no null; returns their number. */
size_t base64url_encode(const void *bytes, size_t len, char *text);

/* Writes at most BASE64URL_BYTES_SIZE(len) bytes and sets *out_len. False for a character outside
 * the alphabet (padding too), an impossible length, or bits set that carry nothing. */
bool base64url_decode(const char *text, size_t len, uint8_t *bytes, size_t *out_len);

#endif
