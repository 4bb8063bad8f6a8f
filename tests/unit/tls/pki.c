#include "pki.h"

#include <openssl/bn.h>
#include <openssl/ec_key.h>
#include <openssl/mem.h>
#include <openssl/nid.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>

#include "base/addr.h"
#include "base/clock.h"
#include "tls/certificate.h"
#include "tls/context_impl.h"
#include "tls/issue.h"
#include "tls/key.h"
#include "tls/pem.h"

static void require(bool condition)
{
    if (!condition)
        abort();
}

EVP_PKEY *pki_key(enum pki_kind kind)
{
    EVP_PKEY *key = EVP_PKEY_new();
    if (kind == PKI_RSA) {
        RSA *rsa = RSA_new();
        BIGNUM *exponent = BN_new();
        require(BN_set_word(exponent, RSA_F4) && RSA_generate_key_ex(rsa, 2048, exponent, NULL));
        EVP_PKEY_assign_RSA(key, rsa);
        BN_free(exponent);
    } else {
        EC_KEY *ec =
            EC_KEY_new_by_curve_name(kind == PKI_P384 ? NID_secp384r1 : NID_X9_62_prime256v1);
        require(EC_KEY_generate_key(ec));
        EVP_PKEY_assign_EC_KEY(key, ec);
    }
    return key;
}

char *pki_key_pem(EVP_PKEY *key)
{
    BIO *bio = BIO_new(BIO_s_mem());
    require(PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL));
    char *pem = pem_take(bio, NULL);
    BIO_free(bio);
    return pem;
}

struct pki_ca *pki_ca_new(const char *name, enum pki_kind kind, const struct pki_ca *parent,
                          const char *constraints)
{
    struct pki_ca *ca = calloc(1, sizeof *ca);
    ca->key = pki_key(kind);
    ca->parent = parent;
    struct issue_request request = {
        .subject_key = ca->key,
        .common_name = name,
        .issuer = parent ? parent->certificate : NULL,
        .issuer_key = parent ? parent->key : ca->key,
        .not_before_s = clock_wall_s() - 10 * 86400,
        .not_after_s = clock_wall_s() + 365 * 86400,
        .basic_constraints = constraints ? constraints : "critical,CA:TRUE",
        .key_usage = "critical,keyCertSign,cRLSign",
    };
    ca->certificate = issue_certificate(&request);
    require(ca->certificate != NULL);
    ca->pem = pem_write_certificate(ca->certificate);
    return ca;
}

void pki_ca_free(struct pki_ca *ca)
{
    if (!ca)
        return;
    EVP_PKEY_free(ca->key);
    X509_free(ca->certificate);
    free(ca->pem);
    free(ca);
}

static void add_address(GENERAL_NAMES *names, const char *text)
{
    struct addr ip;
    GENERAL_NAME *name = GENERAL_NAME_new();
    ASN1_OCTET_STRING *value = ASN1_OCTET_STRING_new();
    require(addr_parse(&ip, text) && ASN1_STRING_set(value, ip.bytes, ip.len));
    GENERAL_NAME_set0_value(name, GEN_IPADD, value);
    require(sk_GENERAL_NAME_push(names, name) > 0);
}

static GENERAL_NAMES *make_names(const struct pki_leaf *leaf)
{
    GENERAL_NAMES *names = GENERAL_NAMES_new();
    if (!leaf->no_uri && !leaf->uris[0])
        require(certificate_names_add(names, GEN_URI, PKI_A, strlen(PKI_A)));
    for (int i = 0; i < 3 && leaf->uris[i]; i++) {
        size_t len = i == 0 && leaf->uri_len ? leaf->uri_len : strlen(leaf->uris[i]);
        require(certificate_names_add(names, GEN_URI, leaf->uris[i], len));
    }
    for (int i = 0; i < 2 && leaf->dns[i]; i++)
        require(certificate_names_add(names, GEN_DNS, leaf->dns[i], strlen(leaf->dns[i])));
    for (int i = 0; i < 2 && leaf->ips[i]; i++)
        add_address(names, leaf->ips[i]);
    return names;
}

/* NULL is the good value, "" none at all. */
static const char *either(const char *given, const char *good)
{
    return !given ? good : *given ? given : NULL;
}

static X509 *make_leaf(const struct pki_ca *ca, EVP_PKEY *key, const struct pki_leaf *leaf)
{
    GENERAL_NAMES *names = make_names(leaf);
    struct issue_request request = {
        .subject_key = key,
        .names = sk_GENERAL_NAME_num(names) ? names : NULL,
        .issuer = ca->certificate,
        .issuer_key = ca->key,
        .not_before_s = clock_wall_s() + (leaf->from_s ? leaf->from_s : -60),
        .not_after_s = clock_wall_s() + (leaf->to_s ? leaf->to_s : 3600),
        .basic_constraints = either(leaf->constraints, "critical,CA:FALSE"),
        .key_usage = either(leaf->key_usage, "critical,digitalSignature"),
        .extended_key_usage = either(leaf->eku, "clientAuth,serverAuth"),
    };
    X509 *certificate = issue_certificate(&request);
    require(certificate != NULL);
    GENERAL_NAMES_free(names);
    if (!leaf->damage)
        return certificate;
    uint8_t *der = NULL;
    int len = i2d_X509(certificate, &der);
    der[len - 5] ^= 1;
    X509_free(certificate);
    const uint8_t *at = der;
    certificate = d2i_X509(NULL, &at, len);
    require(certificate != NULL);
    OPENSSL_free(der);
    return certificate;
}

char *pki_chain_for(const struct pki_ca *ca, EVP_PKEY *key, const struct pki_leaf *leaf)
{
    X509 *certificate = make_leaf(ca, key, leaf);
    char *chain = pem_write_certificate(certificate);
    X509_free(certificate);
    for (; ca->parent; ca = ca->parent) {
        chain = realloc(chain, strlen(chain) + strlen(ca->pem) + 1);
        strcat(chain, ca->pem);
    }
    return chain;
}

char *pki_chain(const struct pki_ca *ca, const struct tls_key *key, const struct pki_leaf *leaf)
{
    return pki_chain_for(ca, key->pkey, leaf);
}

struct pki_identity pki_identity(const struct pki_ca *ca, const struct pki_leaf *leaf)
{
    struct pki_identity identity = {.key = tls_key_new()};
    identity.chain = pki_chain(ca, identity.key, leaf);
    return identity;
}

void pki_identity_deinit(struct pki_identity *identity)
{
    tls_key_unref(identity->key);
    free(identity->chain);
}

struct spiffe_id pki_id(const char *uri)
{
    struct spiffe_id id;
    require(spiffe_parse(&id, uri, strlen(uri)));
    return id;
}

struct tls_bundle *pki_bundle(const char *domain, const struct pki_ca *ca)
{
    struct tls_bundle *bundle = NULL;
    require(tls_bundle_new(&bundle, domain, ca->pem, strlen(ca->pem), NULL) == ERR_OK);
    return bundle;
}

static void replace_chain(struct tls_context *context, EVP_PKEY *key, const char *pem)
{
    STACK_OF(X509) *chain = NULL;
    CRYPTO_BUFFER *buffers[8];
    require(pem_read_certificates(&chain, pem, strlen(pem), 8, NULL) == ERR_OK);
    size_t count = sk_X509_num(chain);
    certificate_serial(sk_X509_value(chain, 0), context->identity.serial);
    context->identity.not_after_s = certificate_not_after_s(sk_X509_value(chain, 0));
    for (size_t i = 0; i < count; i++) {
        uint8_t *der = NULL;
        int len = i2d_X509(sk_X509_value(chain, i), &der);
        buffers[i] = CRYPTO_BUFFER_new(der, (size_t)len, NULL);
        OPENSSL_free(der);
    }
    require(SSL_CTX_set_chain_and_key(context->ssl_ctx, buffers, count, key, NULL));
    for (size_t i = 0; i < count; i++)
        CRYPTO_BUFFER_free(buffers[i]);
    sk_X509_pop_free(chain, X509_free);
}

struct tls_context *pki_context(const struct pki_ca *ca, const struct pki_leaf *leaf,
                                struct tls_bundle *bundle, const char *alpn)
{
    const char *const names[] = {alpn, NULL};
    struct tls_context *context = NULL;
    struct pki_ca *helper = pki_ca_new("helper", PKI_P256, NULL, NULL);
    struct tls_bundle *helper_bundle = pki_bundle(PKI_DOMAIN, helper);
    struct pki_identity good = pki_identity(helper, &(struct pki_leaf){0});
    require(tls_context_new(&context, good.key, good.chain, strlen(good.chain), helper_bundle, NULL,
                            names, NULL) == ERR_OK);
    struct pki_identity wanted = pki_identity(ca, leaf);
    replace_chain(context, wanted.key->pkey, wanted.chain);
    tls_bundle_unref(context->bundle);
    context->bundle = tls_bundle_ref(bundle);
    tls_bundle_unref(helper_bundle);
    pki_identity_deinit(&good);
    pki_identity_deinit(&wanted);
    pki_ca_free(helper);
    return context;
}

static enum ssl_verify_result_t believe(SSL *ssl, uint8_t *alert)
{
    (void)ssl, (void)alert;
    return ssl_verify_ok;
}

struct tls_context *pki_outside_server(const struct pki_ca *ca, enum pki_kind kind,
                                       const struct pki_leaf *leaf)
{
    struct tls_context *context = NULL;
    struct pki_identity any = pki_identity(ca, leaf);
    require(tls_context_new_server(&context, any.key, any.chain, strlen(any.chain), NULL) ==
            ERR_OK);
    EVP_PKEY *key = pki_key(kind);
    char *chain = pki_chain_for(ca, key, leaf);
    replace_chain(context, key, chain);
    SSL_CTX_set_custom_verify(context->ssl_ctx, SSL_VERIFY_PEER, believe);
    SSL_CTX_set_retain_only_sha256_of_client_certs(context->ssl_ctx, 0);
    free(chain);
    EVP_PKEY_free(key);
    pki_identity_deinit(&any);
    return context;
}

static int ignore_alpn(SSL *ssl, const uint8_t **out, uint8_t *out_len, const uint8_t *in,
                       unsigned in_len, void *arg)
{
    (void)ssl, (void)out, (void)out_len, (void)in, (void)in_len, (void)arg;
    return SSL_TLSEXT_ERR_NOACK;
}

void pki_clear_alpn(struct tls_context *context)
{
    SSL_CTX_set_custom_verify(context->ssl_ctx, SSL_VERIFY_PEER, believe);
    require(SSL_CTX_set_alpn_protos(context->ssl_ctx, NULL, 0) == 0);
    SSL_CTX_set_alpn_select_cb(context->ssl_ctx, ignore_alpn, NULL);
}

size_t pki_client_hello(uint16_t min, uint16_t max, const char *alpn, uint8_t *out, size_t size)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_method());
    require(SSL_CTX_set_min_proto_version(ctx, min) && SSL_CTX_set_max_proto_version(ctx, max));
    if (alpn)
        SSL_CTX_set_alpn_protos(ctx, (const uint8_t *)alpn, (unsigned)strlen(alpn));
    SSL *ssl = SSL_new(ctx);
    BIO *in = BIO_new(BIO_s_mem()), *sent = BIO_new(BIO_s_mem());
    SSL_set_bio(ssl, in, sent);
    SSL_set_connect_state(ssl);
    SSL_do_handshake(ssl);
    const uint8_t *data;
    size_t len;
    require(BIO_mem_contents(sent, &data, &len) && len <= size);
    memcpy(out, data, len);
    SSL_free(ssl);
    SSL_CTX_free(ctx);
    return len;
}
