/* The inside of struct tls_bundle, for src/tls only; the public half is tls/context.h. */
#ifndef TLS_BUNDLE_H
#define TLS_BUNDLE_H

#include <openssl/x509.h>
#include <stdbool.h>
#include <stddef.h>

#include "tls/context.h"

/* The roots of one trust domain, or NULL when it is not in the bundle; of all domains. Borrowed;
 * BoringSSL locks the store's own lookups. */
X509_STORE *bundle_store(const struct tls_bundle *bundle, const char *domain, size_t domain_len);
X509_STORE *bundle_store_any(const struct tls_bundle *bundle);

/* The domains, comma separated and cut, for sentences. */
const char *bundle_domains(const struct tls_bundle *bundle, char *text, size_t size);

#endif
