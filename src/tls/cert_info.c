#include "tls/cert_info.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <string.h>

#include "tls/certificate.h"
#include "tls/context.h"
#include "tls/pem.h"

static void read_names(struct cert_info *out, const GENERAL_NAMES *names)
{
    for (size_t i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        if (name->type != GEN_URI && name->type != GEN_DNS)
            continue;
        const ASN1_IA5STRING *text = name->d.ia5;
        const uint8_t *bytes = ASN1_STRING_get0_data(text);
        size_t len = (size_t)ASN1_STRING_length(text);
        if (name->type == GEN_URI && out->uri_count++ == 0)
            certificate_text(bytes, len, out->uri, sizeof out->uri);
        if (name->type == GEN_DNS && out->dns_count++ < CERT_INFO_NAMES_MAX)
            certificate_text(bytes, len, out->dns[out->dns_count - 1], sizeof out->dns[0]);
    }
}

static enum err_code read_info(struct cert_info *out, X509 *certificate, struct err *err)
{
    memset(out, 0, sizeof *out);
    certificate_serial(certificate, out->serial);
    certificate_subject(certificate, out->subject);
    certificate_issuer(certificate, out->issuer);
    out->not_before_s = certificate_not_before_s(certificate);
    out->not_after_s = certificate_not_after_s(certificate);
    out->is_ca = (X509_get_extension_flags(certificate) & EXFLAG_CA) != 0;
    X509_digest(certificate, EVP_sha256(), out->sha256, NULL);
    GENERAL_NAMES *names = NULL;
    if (!certificate_names(certificate, &names))
        return err_set(err, ERR_TLS_BAD_CERTIFICATE,
                       "certificate with serial %s has a damaged subject alternative name",
                       out->serial);
    if (names)
        read_names(out, names);
    GENERAL_NAMES_free(names);
    return ERR_OK;
}

static enum err_code read_all(struct cert_info *out, size_t max, size_t *count, const char *pem,
                              size_t len, struct err *err)
{
    STACK_OF(X509) *chain = NULL;
    if (len > TLS_BUNDLE_PEM_MAX)
        return err_set(err, ERR_TOO_LARGE, "PEM of %zu bytes, expected at most %d", len,
                       TLS_BUNDLE_PEM_MAX);
    enum err_code code = pem_read_certificates(&chain, pem, len, CERT_INFO_CHAIN_MAX, err);
    if (code != ERR_OK)
        return code;
    size_t found = sk_X509_num(chain);
    for (*count = 0; *count < found && *count < max && code == ERR_OK; (*count)++)
        code = read_info(&out[*count], sk_X509_value(chain, *count), err);
    sk_X509_pop_free(chain, X509_free);
    return code;
}

enum err_code cert_info_parse(struct cert_info *out, const char *pem, size_t len, struct err *err)
{
    size_t count = 0;
    return read_all(out, 1, &count, pem, len, err);
}

enum err_code cert_info_parse_chain(struct cert_info *out, size_t *count, const char *pem,
                                    size_t len, struct err *err)
{
    return read_all(out, CERT_INFO_CHAIN_MAX, count, pem, len, err);
}
