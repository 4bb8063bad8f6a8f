/* The insides of keys, bundles and contexts; for src/tls only. */
#ifndef TLS_IMPL_H
#define TLS_IMPL_H

#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "base/ref.h"
#include "tls/context.h"

enum { TLS_CHAIN_MAX = 8, TLS_DOMAINS_MAX = 16, TLS_ROOTS_MAX = 64, TLS_ALPN_WIRE_MAX = 64 };

struct tls_key {
    struct ref ref;
    EVP_PKEY *pkey;
};

struct tls_bundle {
    struct ref ref;
    size_t domains;
    struct {
        char name[256];
        X509_STORE *store;
    } domain[TLS_DOMAINS_MAX];
    size_t roots;
    uint8_t digest[32];
};

struct tls_context {
    struct ref ref;
    SSL_CTX *client, *server; /* either may be NULL: see the constructors */
    struct tls_bundle *bundle;
    struct tls_identity_info identity;
    uint8_t alpn_wire[TLS_ALPN_WIRE_MAX]; /* length-prefixed names */
    unsigned alpn_wire_len;
};

/* Appends "what BoringSSL says" to a failure. Clears its error queue. */
enum err_code tls_fail(struct err *err, enum err_code code, const char *what);

/* Parses one to TLS_CHAIN_MAX certificates of concatenated PEM; the caller frees with
 * sk_X509_pop_free. */
enum err_code tls_chain_parse(const char *pem, size_t len, size_t max, STACK_OF(X509) * *out,
                              struct err *err);

/* The roots of a trust domain, or NULL; borrowed. */
X509_STORE *tls_bundle_store(const struct tls_bundle *bundle, const char *domain, size_t len);

#endif
