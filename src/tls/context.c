#include <openssl/err.h>
#include <openssl/pool.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

#include "tls/conn_impl.h"
#include "tls/verify.h"

static SSL_CTX *ctx_new(void)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_with_buffers_method());
    if (!ctx)
        return NULL;
    SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION);
    SSL_CTX_set_max_proto_version(ctx, TLS1_3_VERSION);
    SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_mode(ctx, SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_custom_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, conn_verify);
    return ctx;
}

/* Gives `ctx` our chain, without the root that the peer has anyway, and our key. */
static bool ctx_set_identity(SSL_CTX *ctx, STACK_OF(X509) * chain, EVP_PKEY *pkey)
{
    CRYPTO_BUFFER *buffers[TLS_CHAIN_MAX];
    size_t count = 0;
    bool done = true;
    for (size_t i = 0; done && i < sk_X509_num(chain); i++) {
        X509 *one = sk_X509_value(chain, i);
        if (i > 0 && X509_check_issued(one, one) == X509_V_OK)
            break;
        uint8_t *der = NULL;
        int len = i2d_X509(one, &der);
        buffers[count] = len > 0 ? CRYPTO_BUFFER_new(der, (size_t)len, NULL) : NULL;
        OPENSSL_free(der);
        done = buffers[count] != NULL;
        count += done;
    }
    done = done && SSL_CTX_set_chain_and_key(ctx, buffers, count, pkey, NULL);
    while (count > 0)
        CRYPTO_BUFFER_free(buffers[--count]);
    return done;
}

static int on_select_alpn(SSL *ssl, const uint8_t **out, uint8_t *out_len, const uint8_t *in,
                          unsigned in_len, void *arg)
{
    struct tls_context *context = arg;
    uint8_t *chosen;
    (void)ssl;
    if (SSL_select_next_proto(&chosen, out_len, context->alpn_wire, context->alpn_wire_len, in,
                              in_len) != OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

static bool set_alpn(struct tls_context *context, const char *const *names)
{
    for (; *names; names++) {
        size_t len = strlen(*names);
        if (len == 0 || len > 15 || context->alpn_wire_len + 1 + len > TLS_ALPN_WIRE_MAX)
            return false;
        context->alpn_wire[context->alpn_wire_len++] = (uint8_t)len;
        memcpy(context->alpn_wire + context->alpn_wire_len, *names, len);
        context->alpn_wire_len += (unsigned)len;
    }
    if (context->server)
        SSL_CTX_set_alpn_select_cb(context->server, on_select_alpn, context);
    return !context->client || SSL_CTX_set_alpn_protos(context->client, context->alpn_wire,
                                                       context->alpn_wire_len) == 0;
}

static const char *const alpn_h2[] = {"h2", NULL};

static struct tls_context *context_alloc(bool client, bool server)
{
    struct tls_context *context = calloc(1, sizeof *context);
    if (!context)
        return NULL;
    ref_init(&context->ref);
    context->client = client ? ctx_new() : NULL;
    context->server = server ? ctx_new() : NULL;
    if ((client && !context->client) || (server && !context->server)) {
        tls_context_unref(context);
        return NULL;
    }
    return context;
}

static void describe(struct tls_context *context, X509 *leaf, const struct spiffe_id *id)
{
    struct tls_identity_info *info = &context->identity;
    if (id)
        info->id = *id;
    verify_describe(leaf, info->serial, &info->not_before_s, &info->not_after_s);
    X509_NAME_oneline(X509_get_issuer_name(leaf), info->issuer, sizeof info->issuer);
}

static enum err_code check_key(STACK_OF(X509) * chain, const struct tls_key *key, struct err *err)
{
    if (X509_check_private_key(sk_X509_value(chain, 0), key->pkey))
        return ERR_OK;
    ERR_clear_error();
    return err_set(err, ERR_TLS_KEY_MISMATCH, "%s", err_sentence(ERR_TLS_KEY_MISMATCH));
}

enum err_code tls_context_new(struct tls_context **out, struct tls_key *key, const char *chain_pem,
                              size_t chain_len, struct tls_bundle *bundle,
                              const struct spiffe_id *expected, const char *const *alpn,
                              struct err *err)
{
    STACK_OF(X509) *chain = NULL;
    struct tls_peer self = {0};
    enum err_code code = tls_chain_parse(chain_pem, chain_len, TLS_CHAIN_MAX, &chain, err);
    if (code != ERR_OK)
        return err_wrap(err, "our own certificate chain");
    code = check_key(chain, key, err);
    if (code == ERR_OK)
        code = verify_svid(bundle, chain, &self, err);
    if (code == ERR_OK && expected && !spiffe_equal(expected, &self.id))
        code = err_set(err, ERR_TLS_ID_MISMATCH, "the certificate is for %s, expected %s",
                       self.id.text, expected->text);
    struct tls_context *context = NULL;
    if (code == ERR_OK) {
        context = context_alloc(true, true);
        if (!context || !ctx_set_identity(context->client, chain, key->pkey) ||
            !ctx_set_identity(context->server, chain, key->pkey) || !set_alpn(context, alpn))
            code = tls_fail(err, ERR_NO_MEMORY, "a TLS context cannot be made");
    }
    if (code == ERR_OK) {
        context->bundle = tls_bundle_ref(bundle);
        describe(context, sk_X509_value(chain, 0), &self.id);
        *out = context;
    } else {
        tls_context_unref(context);
        err_wrap(err, "our own certificate");
    }
    sk_X509_pop_free(chain, X509_free);
    return code;
}

enum err_code tls_context_new_roots(struct tls_context **out, struct tls_bundle *bundle,
                                    struct err *err)
{
    struct tls_context *context = context_alloc(true, false);
    if (!context || !set_alpn(context, alpn_h2)) {
        tls_context_unref(context);
        return tls_fail(err, ERR_NO_MEMORY, "a TLS context cannot be made");
    }
    context->bundle = tls_bundle_ref(bundle);
    *out = context;
    return ERR_OK;
}

enum err_code tls_context_new_server(struct tls_context **out, struct tls_key *key,
                                     const char *chain_pem, size_t chain_len, struct err *err)
{
    STACK_OF(X509) *chain = NULL;
    enum err_code code = tls_chain_parse(chain_pem, chain_len, TLS_CHAIN_MAX, &chain, err);
    if (code != ERR_OK)
        return code;
    struct tls_context *context = NULL;
    code = check_key(chain, key, err);
    if (code == ERR_OK) {
        context = context_alloc(false, true);
        if (!context || !ctx_set_identity(context->server, chain, key->pkey) ||
            !set_alpn(context, alpn_h2))
            code = tls_fail(err, ERR_NO_MEMORY, "a TLS context cannot be made");
    }
    if (code == ERR_OK) {
        SSL_CTX_set_custom_verify(context->server, SSL_VERIFY_NONE, NULL);
        describe(context, sk_X509_value(chain, 0), NULL);
        *out = context;
    } else {
        tls_context_unref(context);
    }
    sk_X509_pop_free(chain, X509_free);
    return code;
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
    SSL_CTX_free(context->client);
    SSL_CTX_free(context->server);
    tls_bundle_unref(context->bundle);
    free(context);
}

const struct tls_identity_info *tls_context_identity(const struct tls_context *context)
{
    return &context->identity;
}
