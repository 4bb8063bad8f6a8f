/* base64 with padding (RFC 4648 section 4), as YAML and JSON carry bytes. Pure; any thread. */
#ifndef BASE64_H
#define BASE64_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Room for the text of `len` bytes and a null, and for the bytes of `len` characters. */
#define BASE64_TEXT_SIZE(len) (((len) + 2) / 3 * 4 + 1)
#define BASE64_BYTES_SIZE(len) ((len) / 4 * 3 + 3)

/* Writes the text and a null; returns how many characters it has. */
size_t base64_encode(const void *bytes, size_t len, char *text);

/* Writes at most BASE64_BYTES_SIZE(len) bytes and sets *out_len. Blanks and line ends are skipped.
 * False for any other character outside the alphabet, padding that is missing or in the wrong
 * place, and bits that carry nothing. `bytes` may be `text`. */
bool base64_decode(const char *text, size_t len, void *bytes, size_t *out_len);

#endif
