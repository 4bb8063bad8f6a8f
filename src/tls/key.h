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

/* True for a key on P-256, public or private. */
bool key_is_p256(const EVP_PKEY *pkey);

#endif
