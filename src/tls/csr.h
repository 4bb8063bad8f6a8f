/* Certificate signing requests (PKCS #10, RFC 2986), for src/tls only. Any thread. */
#ifndef TLS_CSR_H
#define TLS_CSR_H

#include <openssl/evp.h>
#include <stddef.h>

#include "base/err.h"
#include "tls/spiffe.h"

/* A request with an empty subject and one critical URI SAN; *pem is malloc'd. ERR_INVALID (nobody's
 * ID), ERR_NO_MEMORY. */
enum err_code csr_make(EVP_PKEY *key, const struct spiffe_id *id, char **pem, struct err *err);

/* The public key of a request that is whole, on P-256, signed with that key, and asks for `id` or
 * for no URI at all; the caller frees it. ERR_CSR_*. */
enum err_code csr_check(EVP_PKEY **key, const char *pem, size_t len, const struct spiffe_id *id,
                        struct err *err);

#endif
