#include "certs.h"

#include <openssl/bn.h>
#include <openssl/ec_key.h>
#include <openssl/nid.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

#include "base/addr.h"
#include "base/clock.h"
#include "tls/certificate.h"
#include "tls/issue.h"
#include "tls/pem.h"

static void must(bool good)
{
    if (!good)
        abort();
}

static EVP_PKEY *make_key(bool rsa)
{
    EVP_PKEY *key = EVP_PKEY_new();
    if (rsa) {
        RSA *made = RSA_new();
        BIGNUM *exponent = BN_new();
        must(BN_set_word(exponent, RSA_F4) && RSA_generate_key_ex(made, 2048, exponent, NULL));
        EVP_PKEY_assign_RSA(key, made);
        BN_free(exponent);
    } else {
        EC_KEY *made = EC_KEY_new_by_curve_name(NID_X9_62_prime256v1);
        must(EC_KEY_generate_key(made));
        EVP_PKEY_assign_EC_KEY(key, made);
    }
    return key;
}

static char *key_pem(EVP_PKEY *key)
{
    BIO *bio = BIO_new(BIO_s_mem());
    must(PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL));
    char *pem = pem_take(bio, NULL);
    BIO_free(bio);
    return pem;
}

/* As kubeadm makes it: RSA. */
void certs_init(struct certs *certs)
{
    certs->ca_key = make_key(true);
    struct issue_request request = {
        .subject_key = certs->ca_key,
        .common_name = "kubernetes",
        .issuer_key = certs->ca_key,
        .not_before_s = clock_wall_s() - 3600,
        .not_after_s = clock_wall_s() + 86400,
        .basic_constraints = "critical,CA:TRUE",
        .key_usage = "critical,digitalSignature,keyEncipherment,keyCertSign",
    };
    certs->ca = issue_certificate(&request);
    must(certs->ca != NULL);
    certs->ca_pem = pem_write_certificate(certs->ca);
}

static void add_ip(GENERAL_NAMES *names, const char *text)
{
    struct addr ip;
    GENERAL_NAME *name = GENERAL_NAME_new();
    ASN1_OCTET_STRING *value = ASN1_OCTET_STRING_new();
    must(addr_parse(&ip, text) && ASN1_STRING_set(value, ip.bytes, ip.len));
    GENERAL_NAME_set0_value(name, GEN_IPADD, value);
    must(sk_GENERAL_NAME_push(names, name) > 0);
}

static X509 *sign(const struct certs *certs, EVP_PKEY *key, const char *common_name,
                  GENERAL_NAMES *names, const char *eku)
{
    struct issue_request request = {
        .subject_key = key,
        .common_name = common_name,
        .names = names,
        .issuer = certs->ca,
        .issuer_key = certs->ca_key,
        .not_before_s = clock_wall_s() - 60,
        .not_after_s = clock_wall_s() + 3600,
        .basic_constraints = "critical,CA:FALSE",
        .key_usage = "critical,digitalSignature,keyEncipherment",
        .extended_key_usage = eku,
    };
    X509 *certificate = issue_certificate(&request);
    must(certificate != NULL);
    return certificate;
}

static int on_alpn(SSL *ssl, const uint8_t **out, uint8_t *out_len, const uint8_t *in,
                   unsigned in_len, void *arg)
{
    uint8_t *chosen = NULL;
    (void)ssl, (void)arg;
    if (SSL_select_next_proto(&chosen, out_len, (const uint8_t *)"\2h2", 3, in, in_len) !=
        OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

SSL_CTX *certs_server(const struct certs *certs, const char *dns, const char *ip, bool rsa)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_method());
    GENERAL_NAMES *names = GENERAL_NAMES_new();
    EVP_PKEY *key = make_key(rsa);
    if (dns)
        must(certificate_names_add(names, GEN_DNS, dns, strlen(dns)));
    if (ip)
        add_ip(names, ip);
    X509 *certificate = sign(certs, key, "kube-apiserver", names, "serverAuth");
    must(SSL_CTX_use_certificate(ctx, certificate) && SSL_CTX_use_PrivateKey(ctx, key));
    must(X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), certs->ca));
    must(SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION));
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_session_id_context(ctx, (const uint8_t *)"test", 4);
    SSL_CTX_set_alpn_select_cb(ctx, on_alpn, NULL);
    X509_free(certificate);
    EVP_PKEY_free(key);
    GENERAL_NAMES_free(names);
    return ctx;
}

void certs_client(const struct certs *certs, const char *common_name, bool rsa, char **chain_pem,
                  char **key_out)
{
    EVP_PKEY *key = make_key(rsa);
    X509 *certificate = sign(certs, key, common_name, NULL, "clientAuth");
    *chain_pem = pem_write_certificate(certificate);
    *key_out = key_pem(key);
    X509_free(certificate);
    EVP_PKEY_free(key);
}
