/* Base64 with the URL alphabet and without padding (RFC 4648 section 5, as RFC 7515 uses it). Pure.
 */
#ifndef BASE64URL_H
#define BASE64URL_H

#include <stddef.h>

/* Malloc'd text; NULL: out of memory. */
char *base64url_encode(const void *data, size_t len);
/* Malloc'd bytes and a null behind them. NULL: a foreign character, padding, a length or left-over
 * bits that no encoder makes, or out of memory. */
char *base64url_decode(const char *text, size_t len, size_t *out_len);

#endif
