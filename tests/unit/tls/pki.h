/* Certificate authorities and certificates for tests, good and broken ones. Nothing here checks
 * anything; a failure aborts the test program. */
#ifndef PKI_H
#define PKI_H

#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tls/context.h"
#include "tls/spiffe.h"

#define PKI_DOMAIN "mesh.test"
#define PKI_A "spiffe://mesh.test/ns/shop/sa/web"
#define PKI_B "spiffe://mesh.test/ns/shop/sa/db"

struct pki_ca {
    EVP_PKEY *key;
    X509 *certificate;
    char *pem; /* of the certificate */
    const struct pki_ca *parent;
};

enum pki_kind { PKI_P256, PKI_RSA, PKI_P384 };

/* A root, or with `parent` an intermediate. A NULL `constraints` is "critical,CA:TRUE". */
struct pki_ca *pki_ca_new(const char *name, enum pki_kind kind, const struct pki_ca *parent,
                          const char *constraints);
void pki_ca_free(struct pki_ca *ca);

/* What a leaf says; zero means the good value. */
struct pki_leaf {
    const char *uris[3]; /* none: PKI_A */
    size_t uri_len;      /* of uris[0] when it holds nulls */
    bool no_uri;
    const char *dns[2];
    const char *ips[2];
    int64_t from_s, to_s;    /* relative to clock_wall_s(); default -60, +3600 */
    const char *constraints; /* "" leaves the extension out */
    const char *key_usage;   /* likewise */
    const char *eku;         /* likewise */
    bool damage;             /* flips a bit of the signature */
};

/* A leaf for `key` and the intermediates above it as one PEM, malloc'd. */
char *pki_chain(const struct pki_ca *ca, const struct tls_key *key, const struct pki_leaf *leaf);
char *pki_chain_for(const struct pki_ca *ca, EVP_PKEY *key, const struct pki_leaf *leaf);

/* A fresh key of any kind, and its text, malloc'd. */
EVP_PKEY *pki_key(enum pki_kind kind);
char *pki_key_pem(EVP_PKEY *key);

/* A key with a certificate, as contexts want them. */
struct pki_identity {
    struct tls_key *key;
    char *chain;
};
struct pki_identity pki_identity(const struct pki_ca *ca, const struct pki_leaf *leaf);
void pki_identity_deinit(struct pki_identity *identity);

struct spiffe_id pki_id(const char *uri);
struct tls_bundle *pki_bundle(const char *domain, const struct pki_ca *ca);

/* A context whose own certificate is whatever `leaf` says, though tls_context_new would refuse it;
 * it trusts `bundle` and uses the one ALPN name `alpn`. */
struct tls_context *pki_context(const struct pki_ca *ca, const struct pki_leaf *leaf,
                                struct tls_bundle *bundle, const char *alpn);

/* A server outside the mesh, as somebody else would run it: ALPN h2, a certificate for a key of
 * this kind, and a request for a client certificate that takes any, or none. */
struct tls_context *pki_outside_server(const struct pki_ca *ca, enum pki_kind kind,
                                       const struct pki_leaf *leaf);

/* Makes clients of the context offer no ALPN and believe any server until the handshake is over,
 * and its servers ignore what is offered. */
void pki_clear_alpn(struct tls_context *context);

/* The ClientHello of a client that speaks TLS min to max (0x0303, 0x0304) and offers `alpn`, as it
 * is on the wire: its length is returned. `alpn` is in wire form, or NULL. */
size_t pki_client_hello(uint16_t min, uint16_t max, const char *alpn, uint8_t *out, size_t size);

#endif
