#include "tls/context_impl.h"

#include <openssl/err.h>
#include <openssl/pool.h>
#include <openssl/sha.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tls/certificate.h"
#include "tls/handshake.h"
#include "tls/key.h"
#include "tls/pem.h"
#include "tls/verify.h"

static const char *const alpn_h2[] = {"h2", NULL}, *const alpn_http[] = {"http/1.1", NULL};

/* Peers' certificates, each kept once however many connections there are to that peer. One for the
 * process, like BoringSSL's own tables: connections of any context may hold the last reference. */
static CRYPTO_BUFFER_POOL *pool;
static pthread_once_t pool_once = PTHREAD_ONCE_INIT;

static void make_pool(void)
{
    pool = CRYPTO_BUFFER_POOL_new();
}

static bool set_alpn(struct tls_context *context, const char *const *names)
{
    for (; *names; names++) {
        size_t len = strlen(*names);
        if (len == 0 || len > 15 || context->alpn_len + 1 + len > sizeof context->alpn)
            return false;
        context->alpn[context->alpn_len++] = (uint8_t)len;
        memcpy(context->alpn + context->alpn_len, *names, len);
        context->alpn_len += (unsigned)len;
    }
    /* Zero is success here, and only here. */
    return SSL_CTX_set_alpn_protos(context->ssl_ctx, context->alpn, context->alpn_len) == 0;
}

/* What all three kinds have in common: TLS 1.3 and nothing resumed. */
static struct tls_context *new_context(int verify_mode, const char *const *alpn)
{
    pthread_once(&pool_once, make_pool);
    struct tls_context *context = calloc(1, sizeof *context);
    SSL_CTX *ssl_ctx = SSL_CTX_new(TLS_with_buffers_method());
    if (!context || !ssl_ctx) {
        free(context);
        SSL_CTX_free(ssl_ctx);
        return NULL;
    }
    ref_init(&context->ref);
    context->ssl_ctx = ssl_ctx;
    SSL_CTX_set_options(ssl_ctx, SSL_OP_NO_TICKET);
    SSL_CTX_set_session_cache_mode(ssl_ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_max_cert_list(ssl_ctx, CONTEXT_PEER_CHAIN_MAX);
    SSL_CTX_set_custom_verify(ssl_ctx, verify_mode, handshake_on_verify);
    SSL_CTX_set_alpn_select_cb(ssl_ctx, handshake_on_alpn, context);
    SSL_CTX_set_retain_only_sha256_of_client_certs(ssl_ctx, 1);
    if (pool)
        SSL_CTX_set0_buffer_pool(ssl_ctx, pool);
    if (SSL_CTX_set_min_proto_version(ssl_ctx, TLS1_3_VERSION) &&
        SSL_CTX_set_max_proto_version(ssl_ctx, TLS1_3_VERSION) && set_alpn(context, alpn))
        return context;
    tls_context_unref(context);
    return NULL;
}

/* A root at the end is of no use to the peer, who has it or does not trust it. */
static void drop_root(STACK_OF(X509) * chain)
{
    size_t count = sk_X509_num(chain);
    X509 *last = sk_X509_value(chain, count - 1);
    if (count > 1 && X509_NAME_cmp(X509_get_subject_name(last), X509_get_issuer_name(last)) == 0)
        X509_free(sk_X509_pop(chain));
}

static void read_identity(struct tls_identity_info *identity, X509 *leaf)
{
    certificate_serial(leaf, identity->serial);
    certificate_issuer(leaf, identity->issuer);
    identity->not_before_s = certificate_not_before_s(leaf);
    identity->not_after_s = certificate_not_after_s(leaf);
}

static enum err_code install(struct tls_context *context, STACK_OF(X509) * chain, EVP_PKEY *pkey,
                             struct err *err)
{
    CRYPTO_BUFFER *buffers[VERIFY_CHAIN_MAX] = {0};
    size_t count = sk_X509_num(chain), total = 0;
    bool done = true;
    for (size_t i = 0; i < count && done; i++) {
        uint8_t *der = NULL;
        int len = i2d_X509(sk_X509_value(chain, i), &der);
        total += len > 0 ? (size_t)len : 0;
        if (len > 0)
            buffers[i] = CRYPTO_BUFFER_new(der, (size_t)len, NULL);
        OPENSSL_free(der);
        done = buffers[i] != NULL;
    }
    enum err_code code = ERR_OK;
    if (total > CONTEXT_CHAIN_DER_MAX)
        code = err_set(err, ERR_TOO_LARGE, "certificate chain of %zu bytes, expected at most %d",
                       total, CONTEXT_CHAIN_DER_MAX);
    else if (!done || !SSL_CTX_set_chain_and_key(context->ssl_ctx, buffers, count, pkey, NULL))
        code = err_set(err, ERR_NO_MEMORY, "no memory for a certificate chain");
    for (size_t i = 0; i < count; i++)
        CRYPTO_BUFFER_free(buffers[i]);
    ERR_clear_error();
    return code;
}

/* Reads our own chain and checks that it belongs to the key. */
static enum err_code read_chain(STACK_OF(X509) * *chain, const EVP_PKEY *key, const char *pem,
                                size_t len, struct err *err)
{
    *chain = NULL;
    if (len > TLS_CHAIN_PEM_MAX)
        return err_set(err, ERR_TOO_LARGE, "certificate chain of %zu bytes, expected at most %d",
                       len, TLS_CHAIN_PEM_MAX);
    enum err_code code = pem_read_certificates(chain, pem, len, VERIFY_CHAIN_MAX, err);
    if (code != ERR_OK)
        return code;
    char serial[CERTIFICATE_SERIAL_MAX], issuer[CERTIFICATE_NAME_MAX];
    X509 *leaf = sk_X509_value(*chain, 0);
    EVP_PKEY *public_key = X509_get_pubkey(leaf);
    bool same = public_key && EVP_PKEY_cmp(public_key, key) == 1;
    EVP_PKEY_free(public_key);
    ERR_clear_error();
    if (same)
        return ERR_OK;
    return err_set(err, ERR_TLS_KEY_MISMATCH,
                   "the first certificate of the chain (serial %s, issuer \"%s\") is for another "
                   "key than ours",
                   certificate_serial(leaf, serial), certificate_issuer(leaf, issuer));
}

enum err_code tls_context_new(struct tls_context **out, struct tls_key *key, const char *chain_pem,
                              size_t chain_len, struct tls_bundle *bundle,
                              const struct spiffe_id *expected, const char *const *alpn,
                              struct err *err)
{
    STACK_OF(X509) *chain = NULL;
    *out = NULL;
    enum err_code code = read_chain(&chain, key->pkey, chain_pem, chain_len, err);
    if (code == ERR_OK) {
        struct verify_request request = {.whose = "our own",
                                         .bundle = bundle,
                                         .expected = expected,
                                         .expected_count = expected ? 1 : 0};
        struct tls_context *context =
            new_context(SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, alpn);
        if (!context) {
            code = err_set(err, ERR_NO_MEMORY, "no memory for a TLS context");
        } else {
            context->bundle = tls_bundle_ref(bundle);
            code = verify_chain(&request, chain, &context->identity.id, err);
        }
        if (code == ERR_OK) {
            read_identity(&context->identity, sk_X509_value(chain, 0));
            drop_root(chain);
            code = install(context, chain, key->pkey, err);
        }
        if (code == ERR_OK)
            *out = context;
        else
            tls_context_unref(context);
    }
    sk_X509_pop_free(chain, X509_free);
    return code;
}

struct tls_context *tls_context_with_bundle(const struct tls_context *context,
                                            struct tls_bundle *bundle)
{
    static const char *const no_names[] = {NULL};
    CRYPTO_BUFFER *buffers[VERIFY_CHAIN_MAX];
    const STACK_OF(CRYPTO_BUFFER) *chain = SSL_CTX_get0_chain(context->ssl_ctx);
    size_t count = sk_CRYPTO_BUFFER_num(chain);
    struct tls_context *copy =
        new_context(SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, no_names);
    if (!copy)
        return NULL;
    copy->bundle = tls_bundle_ref(bundle);
    copy->identity = context->identity;
    copy->alpn_len = context->alpn_len;
    memcpy(copy->alpn, context->alpn, context->alpn_len);
    for (size_t i = 0; i < count; i++)
        buffers[i] = sk_CRYPTO_BUFFER_value(chain, i);
    if (SSL_CTX_set_alpn_protos(copy->ssl_ctx, copy->alpn, copy->alpn_len) == 0 &&
        SSL_CTX_set_chain_and_key(copy->ssl_ctx, buffers, count,
                                  SSL_CTX_get0_privatekey(context->ssl_ctx), NULL))
        return copy;
    ERR_clear_error();
    tls_context_unref(copy);
    return NULL;
}

enum err_code tls_context_check(const struct tls_context *context, struct err *err)
{
    struct spiffe_id id;
    STACK_OF(X509) *chain = NULL;
    struct verify_request request = {.whose = "our own",
                                     .bundle = context->bundle,
                                     .expected = &context->identity.id,
                                     .expected_count = 1};
    enum err_code code = verify_parse(&chain, SSL_CTX_get0_chain(context->ssl_ctx), err);
    if (code == ERR_OK)
        code = verify_chain(&request, chain, &id, err);
    sk_X509_pop_free(chain, X509_free);
    return code;
}

bool tls_context_same_trust(const struct tls_context *a, const struct tls_context *b)
{
    return a->bundle == b->bundle ||
           memcmp(tls_bundle_digest(a->bundle), tls_bundle_digest(b->bundle),
                  SHA256_DIGEST_LENGTH) == 0;
}

enum err_code tls_context_new_roots(struct tls_context **out, struct tls_bundle *bundle,
                                    struct err *err)
{
    *out = new_context(SSL_VERIFY_PEER, alpn_h2);
    if (!*out)
        return err_set(err, ERR_NO_MEMORY, "no memory for a TLS context");
    (*out)->bundle = tls_bundle_ref(bundle);
    return ERR_OK;
}

/* Our certificate for a server outside the mesh; what it must look like is that server's affair. */
static enum err_code add_client_certificate(struct tls_context *context, const char *chain_pem,
                                            const char *key_pem, struct err *err)
{
    EVP_PKEY *key = NULL;
    STACK_OF(X509) *chain = NULL;
    enum err_code code = key_read(&key, key_pem, strlen(key_pem), err);
    if (code == ERR_OK)
        code = read_chain(&chain, key, chain_pem, strlen(chain_pem), err);
    if (code == ERR_OK) {
        read_identity(&context->identity, sk_X509_value(chain, 0));
        drop_root(chain);
        code = install(context, chain, key, err);
    }
    sk_X509_pop_free(chain, X509_free);
    EVP_PKEY_free(key);
    return code;
}

enum err_code tls_context_new_outside(struct tls_context **out, struct tls_bundle *bundle,
                                      const char *chain_pem, const char *key_pem, struct err *err)
{
    enum err_code code = tls_context_new_roots(out, bundle, err);
    if (code != ERR_OK || !chain_pem)
        return code;
    code = add_client_certificate(*out, chain_pem, key_pem, err);
    if (code == ERR_OK)
        return ERR_OK;
    tls_context_unref(*out);
    *out = NULL;
    return code;
}

static enum err_code new_server(struct tls_context **out, struct tls_key *key,
                                const char *chain_pem, size_t chain_len, const char *const *alpn,
                                struct err *err)
{
    STACK_OF(X509) *chain = NULL;
    *out = NULL;
    enum err_code code = read_chain(&chain, key->pkey, chain_pem, chain_len, err);
    if (code == ERR_OK) {
        struct tls_context *context = new_context(SSL_VERIFY_NONE, alpn);
        if (!context) {
            code = err_set(err, ERR_NO_MEMORY, "no memory for a TLS context");
        } else {
            read_identity(&context->identity, sk_X509_value(chain, 0));
            drop_root(chain);
            code = install(context, chain, key->pkey, err);
        }
        if (code == ERR_OK)
            *out = context;
        else
            tls_context_unref(context);
    }
    sk_X509_pop_free(chain, X509_free);
    return code;
}

enum err_code tls_context_new_server(struct tls_context **out, struct tls_key *key,
                                     const char *chain_pem, size_t chain_len, struct err *err)
{
    return new_server(out, key, chain_pem, chain_len, alpn_h2, err);
}

enum err_code tls_context_new_https(struct tls_context **out, struct tls_key *key,
                                    const char *chain_pem, size_t chain_len, struct err *err)
{
    enum err_code code = new_server(out, key, chain_pem, chain_len, alpn_http, err);
    if (code == ERR_OK)
        (*out)->alpn_optional = true;
    return code;
}

enum err_code tls_context_new_unverified(struct tls_context **out, struct err *err)
{
    struct tls_context *context = new_context(SSL_VERIFY_PEER, alpn_http);
    if (!context || !SSL_CTX_set_min_proto_version(context->ssl_ctx, TLS1_2_VERSION)) {
        tls_context_unref(context);
        return err_set(err, ERR_NO_MEMORY, "no memory for a TLS context");
    }
    context->alpn_optional = context->unverified = true;
    *out = context;
    return ERR_OK;
}

struct tls_context *tls_context_ref(struct tls_context *context)
{
    ref_get(&context->ref);
    return context;
}

void tls_context_unref(struct tls_context *context)
{
    if (!context || !ref_put(&context->ref))
        return;
    SSL_CTX_free(context->ssl_ctx);
    tls_bundle_unref(context->bundle);
    free(context);
}

const struct tls_identity_info *tls_context_identity(const struct tls_context *context)
{
    return &context->identity;
}
