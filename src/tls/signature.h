/* ES256: ECDSA on P-256 with SHA-256, the signature as r || s (RFC 7518 section 3.4), for tokens.
 * Any thread; keys are immutable. */
#ifndef SIGNATURE_H
#define SIGNATURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "tls/context.h"

enum { SIGNATURE_SIZE = 64, SIGNATURE_SHA256_SIZE = 32 };

struct signature_key; /* a P-256 public key; reference-counted */

/* From "-----BEGIN PUBLIC KEY-----" (SubjectPublicKeyInfo). ERR_INVALID when it does not parse or
 * is not P-256, ERR_NO_MEMORY. */
enum err_code signature_key_parse_pem(struct signature_key **out, const char *pem, size_t len,
                                      struct err *err);
/* The public half of a private key. NULL: out of memory. */
struct signature_key *signature_key_of(const struct tls_key *key);
/* *pem is malloc'd. ERR_NO_MEMORY. */
enum err_code signature_key_format_pem(const struct signature_key *key, char **pem,
                                       struct err *err);
void signature_key_unref(struct signature_key *key);

/* Signs `len` bytes. ERR_NO_MEMORY. */
enum err_code signature_sign(const struct tls_key *key, const void *data, size_t len,
                             uint8_t out[SIGNATURE_SIZE], struct err *err);
/* True when `signature` (any `signature_len`; other than SIGNATURE_SIZE is false) is over exactly
 * these bytes. */
bool signature_verify(const struct signature_key *key, const void *data, size_t len,
                      const void *signature, size_t signature_len);

void signature_sha256(const void *data, size_t len, uint8_t out[SIGNATURE_SHA256_SIZE]);
/* `len` random bytes from the kernel's generator: token identifiers, nonces. */
void signature_random(void *out, size_t len);

#endif
