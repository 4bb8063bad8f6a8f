/* The inside of struct tls_key, for src/tls only; the public half is tls/context.h. */
#ifndef TLS_KEY_H
#define TLS_KEY_H

#include <openssl/evp.h>

#include "base/ref.h"
#include "tls/context.h"

struct tls_key {
    struct ref ref;
    EVP_PKEY *pkey; /* P-256; BoringSSL wipes the scalar when it frees it */
};

/* Any private key that TLS 1.3 can sign with, from PEM; the caller frees it. ERR_INVALID,
 * ERR_TOO_LARGE, ERR_NO_MEMORY. */
enum err_code key_read(EVP_PKEY **out, const char *pem, size_t len, struct err *err);

/* True for a key on P-256, public or private. */
bool key_is_p256(const EVP_PKEY *pkey);

#endif
