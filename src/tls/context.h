/* What a TLS connection is made from: our identity (key and chain) and whom we trust. Immutable and
 * reference-counted: a rotation makes a new context and swaps it; live connections keep theirs. Any
 * thread. */
#ifndef TLS_CONTEXT_H
#define TLS_CONTEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "tls/spiffe.h"

struct tls_key;     /* a P-256 private key; reference-counted */
struct tls_bundle;  /* trust domains and their roots; reference-counted */
struct tls_context; /* identity + bundle, ready to make connections; reference-counted */

enum { TLS_BUNDLE_PEM_MAX = 1 << 20, TLS_CHAIN_PEM_MAX = 64 << 10 };

/* --- keys and signing requests (tls/key.c) --- */
/* A fresh P-256 key from the kernel's random numbers. NULL: out of memory. */
struct tls_key *tls_key_new(void);
/* PEM in and out (PKCS #8); the text is malloc'd, the caller wipes and frees. */
enum err_code tls_key_parse_pem(struct tls_key **out, const char *pem, size_t len, struct err *err);
enum err_code tls_key_format_pem(const struct tls_key *key, char **pem, size_t *len,
                                 struct err *err);
struct tls_key *tls_key_ref(struct tls_key *key);
void tls_key_unref(struct tls_key *key);
/* A signing request with an empty subject and one critical URI SAN, PEM, malloc'd. */
enum err_code tls_key_make_csr(const struct tls_key *key, const struct spiffe_id *id, char **pem,
                               struct err *err);

/* --- trust bundles (tls/bundle.c) --- */
/* Roots of `trust_domain` from concatenated PEM certificates: at least one, all parse, each with cA
 * true. More domains are added with tls_bundle_add before the bundle is shared.
 * ERR_TLS_BAD_CERTIFICATE, ERR_TOO_LARGE. */
enum err_code tls_bundle_new(struct tls_bundle **out, const char *trust_domain, const char *pem,
                             size_t len, struct err *err);
enum err_code tls_bundle_add(struct tls_bundle *bundle, const char *trust_domain, const char *pem,
                             size_t len, struct err *err);
struct tls_bundle *tls_bundle_ref(struct tls_bundle *bundle);
void tls_bundle_unref(struct tls_bundle *bundle);
/* SHA-256 over domains and roots: the same content has the same digest. */
const uint8_t *tls_bundle_digest(const struct tls_bundle *bundle);
/* How many roots, over all domains. */
size_t tls_bundle_count(const struct tls_bundle *bundle);

/* --- contexts (tls/context.c) --- */
struct tls_identity_info {
    struct spiffe_id id;
    char serial[48];
    int64_t not_before_s, not_after_s;
    char issuer[128];
};

/* An mTLS context: `chain_pem` is leaf first (a root at the end is left out of what is sent).
 * Checks that the leaf belongs to `key`, names exactly `expected` (when not NULL), is a proper leaf
 * and chains to `bundle`. Takes its own references. `alpn` is what a client offers and a server
 * accepts, in order, "istio" for now (null-terminated list). ERR_TLS_*, ERR_NO_MEMORY. */
enum err_code tls_context_new(struct tls_context **out, struct tls_key *key, const char *chain_pem,
                              size_t chain_len, struct tls_bundle *bundle,
                              const struct spiffe_id *expected, const char *const *alpn,
                              struct err *err);
/* A client context without an identity, for tls_conn_new_client_dns: only the bundle's roots, ALPN
 * h2. */
enum err_code tls_context_new_roots(struct tls_context **out, struct tls_bundle *bundle,
                                    struct err *err);
/* A client context for a server outside the mesh, for tls_conn_new_client_outside: only the
 * bundle's roots, ALPN h2. `chain_pem` and `key_pem` (unencrypted, RSA or ECDSA) are the
 * certificate that we show when the server asks for one, or both NULL. As above;
 * ERR_TLS_KEY_MISMATCH, ERR_TLS_BAD_CERTIFICATE, ERR_INVALID, ERR_TOO_LARGE. */
enum err_code tls_context_new_outside(struct tls_context **out, struct tls_bundle *bundle,
                                      const char *chain_pem, const char *key_pem, struct err *err);
/* A server context for plain server TLS (the control plane's 15012): chain and key, no client
 * certificate, ALPN h2. */
enum err_code tls_context_new_server(struct tls_context **out, struct tls_key *key,
                                     const char *chain_pem, size_t chain_len, struct err *err);
/* The identity of an mTLS context under another trust bundle: from the first connection on, peers
 * are verified against `bundle` alone. Whether our own leaf chains to it is another question, which
 * tls_context_check() answers. Takes a reference to `bundle`. NULL: out of memory. */
struct tls_context *tls_context_with_bundle(const struct tls_context *context,
                                            struct tls_bundle *bundle);
/* Whether a peer with the context's bundle would take our own leaf now. ERR_TLS_*, ERR_NO_MEMORY.
 */
enum err_code tls_context_check(const struct tls_context *context, struct err *err);
/* True when both trust the same roots of the same domains. */
bool tls_context_same_trust(const struct tls_context *a, const struct tls_context *b);
/* A server context for HTTPS (the injector's 15017): as above, but ALPN http/1.1, and a client
 * without ALPN is served, too. */
enum err_code tls_context_new_https(struct tls_context **out, struct tls_key *key,
                                    const char *chain_pem, size_t chain_len, struct err *err);
/* A client context that believes every server, for tls_conn_new_client_unverified alone: probes of
 * the pod's own application, whose certificate the kubelet would not check either. TLS 1.2 or 1.3,
 * ALPN http/1.1. */
enum err_code tls_context_new_unverified(struct tls_context **out, struct err *err);
struct tls_context *tls_context_ref(struct tls_context *context);
void tls_context_unref(struct tls_context *context);
/* Borrowed; zeroes for a context without an identity. */
const struct tls_identity_info *tls_context_identity(const struct tls_context *context);

/* Times the clock is told to be off by, for messages and for validation: seconds to add to ours to
 * get the control plane's, as last measured. Any thread. It changes no verdict; it is in the
 * sentence of TLS_NOT_YET_VALID/EXPIRED. */
void tls_clock_skew_set(int64_t control_minus_ours_s);

#endif
