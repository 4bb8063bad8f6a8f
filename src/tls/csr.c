#include "tls/csr.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <string.h>

#include "tls/ca.h"
#include "tls/certificate.h"
#include "tls/key.h"
#include "tls/pem.h"

/* The request's only extension: who we would like to be. */
static bool add_san(X509_REQ *request, const struct spiffe_id *id)
{
    STACK_OF(X509_EXTENSION) *extensions = NULL;
    GENERAL_NAMES *names = certificate_names_new(GEN_URI, id->text, id->len);
    bool done = names && X509V3_add1_i2d(&extensions, NID_subject_alt_name, names, 1, 0) == 1 &&
                X509_REQ_add_extensions(request, extensions);
    GENERAL_NAMES_free(names);
    sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
    return done;
}

enum err_code csr_make(EVP_PKEY *key, const struct spiffe_id *id, char **pem, struct err *err)
{
    *pem = NULL;
    if (id->len == 0)
        return err_set(err, ERR_INVALID, "a signing request needs a SPIFFE ID");
    X509_REQ *request = X509_REQ_new();
    BIO *bio = BIO_new(BIO_s_mem());
    if (request && bio && X509_REQ_set_version(request, 0) && X509_REQ_set_pubkey(request, key) &&
        add_san(request, id) && X509_REQ_sign(request, key, EVP_sha256()) &&
        PEM_write_bio_X509_REQ(bio, request))
        *pem = pem_take(bio, NULL);
    X509_REQ_free(request);
    BIO_free(bio);
    ERR_clear_error();
    return *pem ? ERR_OK : err_set(err, ERR_NO_MEMORY, "no memory to make a signing request");
}

static enum err_code read_request(X509_REQ **out, const char *pem, size_t len, struct err *err)
{
    char reason[PEM_REASON_MAX];
    if (len > CA_CSR_MAX)
        return err_set(err, ERR_CSR_MALFORMED,
                       "the certificate signing request has %zu bytes, expected at most %d", len,
                       CA_CSR_MAX);
    size_t blocks = pem_count(pem, len);
    if (blocks != 1)
        return err_set(err, ERR_CSR_MALFORMED,
                       "the certificate signing request has %zu PEM blocks, expected one", blocks);
    BIO *bio = BIO_new_mem_buf(pem, (int)len);
    *out = bio ? PEM_read_bio_X509_REQ(bio, NULL, NULL, NULL) : NULL;
    BIO_free(bio);
    if (!*out)
        return err_set(err, ERR_CSR_MALFORMED,
                       "the certificate signing request cannot be parsed: %s", pem_reason(reason));
    return ERR_OK;
}

/* Every URI that the request names must be `id`. Other kinds of names are nobody's identity here;
 * they are ignored like everything else in it. */
static enum err_code check_names(const GENERAL_NAMES *names, const struct spiffe_id *id,
                                 struct err *err)
{
    unsigned uris = 0;
    for (size_t i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        if (name->type != GEN_URI)
            continue;
        const ASN1_IA5STRING *uri = name->d.uniformResourceIdentifier;
        char found[CERTIFICATE_TEXT_MAX];
        certificate_text(ASN1_STRING_get0_data(uri), ASN1_STRING_length(uri), found, sizeof found);
        if (ASN1_STRING_length(uri) != id->len ||
            memcmp(ASN1_STRING_get0_data(uri), id->text, id->len) != 0)
            return err_set(err, ERR_CSR_IDENTITY,
                           "the certificate signing request asks for \"%.150s\", but its sender is "
                           "%.250s",
                           found, id->text);
        if (++uris > 1)
            return err_set(err, ERR_CSR_IDENTITY,
                           "the certificate signing request names more than one URI, expected %s",
                           id->text);
    }
    return ERR_OK;
}

static enum err_code check_identity(X509_REQ *request, const struct spiffe_id *id, struct err *err)
{
    STACK_OF(X509_EXTENSION) *extensions = X509_REQ_get_extensions(request);
    if (!extensions)
        return ERR_OK;
    int critical = -1;
    GENERAL_NAMES *names = X509V3_get_d2i(extensions, NID_subject_alt_name, &critical, NULL);
    sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
    if (!names) {
        ERR_clear_error();
        return critical == -1
                   ? ERR_OK
                   : err_set(err, ERR_CSR_MALFORMED,
                             "the certificate signing request's subject alternative name is %s",
                             critical == -2 ? "there twice, expected once" : "not valid DER");
    }
    enum err_code code = check_names(names, id, err);
    GENERAL_NAMES_free(names);
    return code;
}

enum err_code csr_check(EVP_PKEY **key, const char *pem, size_t len, const struct spiffe_id *id,
                        struct err *err)
{
    X509_REQ *request = NULL;
    *key = NULL;
    enum err_code code = read_request(&request, pem, len, err);
    if (code != ERR_OK)
        return code;
    EVP_PKEY *found = X509_REQ_get_pubkey(request);
    /* The kind of key first: proving possession of a huge RSA key would cost us, not the sender. */
    if (!found || !key_is_p256(found))
        code = err_set(err, ERR_CSR_KEY,
                       "the certificate signing request's key is %s, expected ECDSA P-256",
                       !found ? "of an unknown kind or damaged" : OBJ_nid2sn(EVP_PKEY_id(found)));
    else if (X509_REQ_verify(request, found) != 1)
        code = err_set(err, ERR_CSR_SIGNATURE,
                       "the certificate signing request is not signed with its own key, expected "
                       "proof of possession");
    else
        code = check_identity(request, id, err);
    X509_REQ_free(request);
    ERR_clear_error();
    if (code == ERR_OK)
        *key = found;
    else
        EVP_PKEY_free(found);
    return code;
}
