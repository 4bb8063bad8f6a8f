#include "tls/issue.h"

#include <openssl/asn1.h>
#include <openssl/bn.h>
#include <openssl/err.h>
#include <openssl/rand.h>
#include <string.h>
#include <time.h>

#include "tls/certificate.h"

enum { SERIAL_BYTES = 16 };

/* CA/Browser Forum baseline requirements 7.1 ask for 64 random bits at least; nobody counts. */
static bool set_serial(X509 *certificate)
{
    uint8_t bytes[SERIAL_BYTES];
    RAND_bytes(bytes, sizeof bytes);
    bytes[0] |= 0x40; /* of the same length always, and never zero or negative */
    bytes[0] &= 0x7f;
    BIGNUM *number = BN_bin2bn(bytes, sizeof bytes, NULL);
    bool set = number && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate));
    BN_free(number);
    return set;
}

static bool set_validity(X509 *certificate, const struct issue_request *request)
{
    int64_t from = request->not_before_s, to = request->not_after_s;
    if (request->issuer) {
        int64_t issuer_from = certificate_not_before_s(request->issuer);
        int64_t issuer_to = certificate_not_after_s(request->issuer);
        from = from < issuer_from ? issuer_from : from;
        to = to > issuer_to ? issuer_to : to;
    }
    return ASN1_TIME_set(X509_getm_notBefore(certificate), (time_t)from) &&
           ASN1_TIME_set(X509_getm_notAfter(certificate), (time_t)to);
}

static bool set_names(X509 *certificate, const struct issue_request *request)
{
    X509_NAME *subject = X509_get_subject_name(certificate);
    if (request->common_name &&
        !X509_NAME_add_entry_by_NID(subject, NID_commonName, MBSTRING_UTF8,
                                    (const unsigned char *)request->common_name, -1, -1, 0))
        return false;
    X509_NAME *issuer = request->issuer ? X509_get_subject_name(request->issuer) : subject;
    return X509_set_issuer_name(certificate, issuer);
}

/* `value` is ours, never a peer's: BoringSSL's little language can name files. */
static bool add(X509 *certificate, X509V3_CTX *ctx, int nid, const char *value)
{
    X509_EXTENSION *extension = value ? X509V3_EXT_nconf_nid(NULL, ctx, nid, value) : NULL;
    bool added = extension && X509_add_ext(certificate, extension, -1);
    X509_EXTENSION_free(extension);
    return added || !value;
}

static bool add_extensions(X509 *certificate, const struct issue_request *request)
{
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, request->issuer ? request->issuer : certificate, certificate, NULL, NULL,
                   0);
    /* RFC 5280 section 4.2.1.6: critical when there is no subject. */
    int critical = request->common_name == NULL;
    return add(certificate, &ctx, NID_basic_constraints, request->basic_constraints) &&
           add(certificate, &ctx, NID_key_usage, request->key_usage) &&
           add(certificate, &ctx, NID_ext_key_usage, request->extended_key_usage) &&
           add(certificate, &ctx, NID_subject_key_identifier, "hash") &&
           add(certificate, &ctx, NID_authority_key_identifier, "keyid:always") &&
           (!request->names ||
            X509_add1_ext_i2d(certificate, NID_subject_alt_name, request->names, critical, 0) == 1);
}

X509 *issue_certificate(const struct issue_request *request)
{
    X509 *certificate = X509_new();
    if (certificate && X509_set_version(certificate, X509_VERSION_3) && set_serial(certificate) &&
        set_names(certificate, request) && set_validity(certificate, request) &&
        X509_set_pubkey(certificate, request->subject_key) &&
        add_extensions(certificate, request) &&
        X509_sign(certificate, request->issuer_key, EVP_sha256()) > 0) {
        ERR_clear_error();
        return certificate;
    }
    X509_free(certificate);
    ERR_clear_error();
    return NULL;
}
