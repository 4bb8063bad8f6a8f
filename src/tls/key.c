#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/ec_key.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/mem.h>
#include <openssl/nid.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <string.h>

#include "tls/impl.h"

enum err_code tls_fail(struct err *err, enum err_code code, const char *what)
{
    char reason[160];
    uint32_t last = ERR_peek_last_error();
    ERR_error_string_n(last, reason, sizeof reason);
    ERR_clear_error();
    return last ? err_set(err, code, "%s: %s", what, reason) : err_set(err, code, "%s", what);
}

static struct tls_key *key_wrap(EVP_PKEY *pkey)
{
    struct tls_key *key = pkey ? calloc(1, sizeof *key) : NULL;
    if (!key) {
        EVP_PKEY_free(pkey);
        return NULL;
    }
    ref_init(&key->ref);
    key->pkey = pkey;
    return key;
}

struct tls_key *tls_key_new(void)
{
    EC_KEY *ec = EC_KEY_new_by_curve_name(NID_X9_62_prime256v1);
    EVP_PKEY *pkey = EVP_PKEY_new();
    if (!ec || !pkey || !EC_KEY_generate_key(ec) || !EVP_PKEY_assign_EC_KEY(pkey, ec)) {
        EC_KEY_free(ec);
        EVP_PKEY_free(pkey);
        return NULL;
    }
    return key_wrap(pkey);
}

enum err_code tls_key_parse_pem(struct tls_key **out, const char *pem, size_t len, struct err *err)
{
    if (len > TLS_CHAIN_PEM_MAX)
        return err_set(err, ERR_TOO_LARGE, "a private key of %zu bytes", len);
    BIO *bio = BIO_new_mem_buf(pem, (int)len);
    EVP_PKEY *pkey = bio ? PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL) : NULL;
    BIO_free(bio);
    if (!pkey)
        return tls_fail(err, ERR_INVALID, "the private key cannot be parsed");
    const EC_KEY *ec = EVP_PKEY_get0_EC_KEY(pkey);
    if (!ec || EC_GROUP_get_curve_name(EC_KEY_get0_group(ec)) != NID_X9_62_prime256v1) {
        EVP_PKEY_free(pkey);
        return err_set(err, ERR_INVALID, "the private key is not a P-256 key");
    }
    *out = key_wrap(pkey);
    return *out ? ERR_OK : err_set(err, ERR_NO_MEMORY, "no memory for a key");
}

static enum err_code bio_to_text(BIO *bio, char **text, size_t *len, struct err *err)
{
    const uint8_t *data;
    size_t size;
    char *copy = NULL;
    if (BIO_mem_contents(bio, &data, &size) && (copy = malloc(size + 1))) {
        memcpy(copy, data, size);
        copy[size] = 0;
        *text = copy;
        if (len)
            *len = size;
    }
    BIO_free(bio);
    return copy ? ERR_OK : err_set(err, ERR_NO_MEMORY, "no memory for PEM text");
}

enum err_code tls_key_format_pem(const struct tls_key *key, char **pem, size_t *len,
                                 struct err *err)
{
    BIO *bio = BIO_new(BIO_s_mem());
    if (!bio || !PEM_write_bio_PKCS8PrivateKey(bio, key->pkey, NULL, NULL, 0, NULL, NULL)) {
        BIO_free(bio);
        return tls_fail(err, ERR_NO_MEMORY, "the key cannot be written");
    }
    return bio_to_text(bio, pem, len, err);
}

struct tls_key *tls_key_ref(struct tls_key *key)
{
    ref_get(&key->ref);
    return key;
}

void tls_key_unref(struct tls_key *key)
{
    if (!key || !ref_put(&key->ref))
        return;
    EVP_PKEY_free(key->pkey);
    free(key);
}

/* The one extension of our requests: a critical URI SAN (SPIFFE X509-SVID section 2). */
static STACK_OF(X509_EXTENSION) * csr_extensions(const struct spiffe_id *id)
{
    STACK_OF(X509_EXTENSION) *extensions = sk_X509_EXTENSION_new_null();
    GENERAL_NAMES *names = sk_GENERAL_NAME_new_null();
    GENERAL_NAME *name = GENERAL_NAME_new();
    ASN1_IA5STRING *uri = ASN1_IA5STRING_new();
    X509_EXTENSION *extension = NULL;
    if (extensions && names && name && uri && ASN1_STRING_set(uri, id->text, id->len)) {
        GENERAL_NAME_set0_value(name, GEN_URI, uri);
        uri = NULL;
        if (sk_GENERAL_NAME_push(names, name)) {
            name = NULL;
            extension = X509V3_EXT_i2d(NID_subject_alt_name, 1, names);
        }
    }
    if (!extension || !sk_X509_EXTENSION_push(extensions, extension)) {
        X509_EXTENSION_free(extension);
        sk_X509_EXTENSION_free(extensions);
        extensions = NULL;
    }
    ASN1_IA5STRING_free(uri);
    GENERAL_NAME_free(name);
    sk_GENERAL_NAME_pop_free(names, GENERAL_NAME_free);
    return extensions;
}

enum err_code tls_key_make_csr(const struct tls_key *key, const struct spiffe_id *id, char **pem,
                               struct err *err)
{
    X509_REQ *request = X509_REQ_new();
    STACK_OF(X509_EXTENSION) *extensions = csr_extensions(id);
    BIO *bio = BIO_new(BIO_s_mem());
    bool made =
        request && extensions && bio && X509_REQ_set_version(request, 0) &&
        X509_REQ_set_pubkey(request, key->pkey) && X509_REQ_add_extensions(request, extensions) &&
        X509_REQ_sign(request, key->pkey, EVP_sha256()) && PEM_write_bio_X509_REQ(bio, request);
    X509_REQ_free(request);
    sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
    if (made)
        return bio_to_text(bio, pem, NULL, err);
    BIO_free(bio);
    return tls_fail(err, ERR_NO_MEMORY, "the signing request cannot be made");
}
