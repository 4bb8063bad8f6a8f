#include "tls/profile.h"

#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

#include "tls/certificate.h"
#include "tls/server_name.h"

/* Finds the URI SANs: how many, and the first one. */
static unsigned find_uris(const GENERAL_NAMES *names, const ASN1_IA5STRING **first)
{
    unsigned count = 0;
    for (size_t i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        if (name->type == GEN_URI && count++ == 0)
            *first = name->d.uniformResourceIdentifier;
    }
    return count;
}

static enum err_code read_id(X509 *leaf, const char *whose, struct spiffe_id *id, struct err *err)
{
    char serial[CERTIFICATE_SERIAL_MAX], issuer[CERTIFICATE_NAME_MAX];
    GENERAL_NAMES *names = NULL;
    if (!certificate_names(leaf, &names))
        return err_set(err, ERR_TLS_BAD_CERTIFICATE,
                       "%s certificate (serial %s) has a damaged subject alternative name", whose,
                       certificate_serial(leaf, serial));
    const ASN1_IA5STRING *uri = NULL;
    unsigned count = names ? find_uris(names, &uri) : 0;
    enum err_code code = ERR_OK;
    if (count != 1) {
        code = err_set(
            err, ERR_TLS_URI_SAN_COUNT,
            "%s certificate (serial %s, issuer \"%s\") has %u URI SANs, expected exactly "
            "one, a SPIFFE ID",
            whose, certificate_serial(leaf, serial), certificate_issuer(leaf, issuer), count);
    } else {
        const char *bytes = (const char *)ASN1_STRING_get0_data(uri);
        size_t len = (size_t)ASN1_STRING_length(uri);
        char found[160];
        if (!spiffe_parse(id, bytes, len) || id->len == 9 + id->domain_len)
            code = err_set(err, ERR_TLS_SPIFFE_ID,
                           "%s certificate (serial %s) has the URI SAN \"%s\" of %zu bytes, "
                           "expected a SPIFFE ID like spiffe://domain/ns/namespace/sa/account",
                           whose, certificate_serial(leaf, serial),
                           certificate_text((const uint8_t *)bytes, len, found, sizeof found), len);
    }
    GENERAL_NAMES_free(names);
    return code;
}

/* SPIFFE X509-SVID sections 4.1 and 4.3. */
static enum err_code check_leaf(X509 *leaf, const char *whose, struct err *err)
{
    char serial[CERTIFICATE_SERIAL_MAX];
    certificate_serial(leaf, serial);
    uint32_t flags = X509_get_extension_flags(leaf), usage = X509_get_key_usage(leaf);
    if (flags & EXFLAG_INVALID)
        return err_set(err, ERR_TLS_BAD_CERTIFICATE,
                       "%s certificate (serial %s) has an extension that cannot be parsed", whose,
                       serial);
    if (flags & EXFLAG_CA)
        return err_set(err, ERR_TLS_CA_LEAF,
                       "%s certificate (serial %s) has cA true, expected a leaf with cA false",
                       whose, serial);
    if (!(flags & EXFLAG_KUSAGE) || !(usage & KU_DIGITAL_SIGNATURE))
        return err_set(err, ERR_TLS_KEY_USAGE,
                       "%s certificate (serial %s) %s, expected digitalSignature", whose, serial,
                       (flags & EXFLAG_KUSAGE) ? "has a key usage without digitalSignature"
                                               : "has no key usage");
    if (usage & (KU_KEY_CERT_SIGN | KU_CRL_SIGN))
        return err_set(
            err, ERR_TLS_KEY_USAGE,
            "%s certificate (serial %s) has the key usage %s, which a leaf must not have", whose,
            serial, (usage & KU_KEY_CERT_SIGN) ? "keyCertSign" : "cRLSign");
    return ERR_OK;
}

/* `needed` are XKU_SSL_* bits; no extension at all allows everything (section 4.4). */
static enum err_code check_eku(X509 *leaf, const char *whose, uint32_t needed, struct err *err)
{
    char serial[CERTIFICATE_SERIAL_MAX];
    if (!(X509_get_extension_flags(leaf) & EXFLAG_XKUSAGE))
        return ERR_OK;
    uint32_t missing = needed & ~X509_get_extended_key_usage(leaf);
    if (missing == 0)
        return ERR_OK;
    return err_set(err, ERR_TLS_EKU,
                   "%s certificate (serial %s) has extended key usages without%s%s, expected %s",
                   whose, certificate_serial(leaf, serial),
                   (missing & XKU_SSL_CLIENT) ? " clientAuth" : "",
                   (missing & XKU_SSL_SERVER) ? " serverAuth" : "",
                   (needed & XKU_SSL_CLIENT) ? "both clientAuth and serverAuth" : "serverAuth");
}

enum err_code profile_check_svid(X509 *leaf, const char *whose, struct spiffe_id *id,
                                 struct err *err)
{
    enum err_code code = read_id(leaf, whose, id, err);
    if (code == ERR_OK)
        code = check_leaf(leaf, whose, err);
    if (code == ERR_OK)
        code = check_eku(leaf, whose, XKU_SSL_CLIENT | XKU_SSL_SERVER, err);
    if (code != ERR_OK)
        memset(id, 0, sizeof *id);
    return code;
}

enum err_code profile_check_server(X509 *leaf, const char *whose, const char *name, bool outside,
                                   struct err *err)
{
    char found[200] = "no name at all", serial[CERTIFICATE_SERIAL_MAX];
    GENERAL_NAMES *names = NULL;
    enum err_code code = ERR_OK;
    if (!certificate_names(leaf, &names))
        code = err_set(err, ERR_TLS_BAD_CERTIFICATE,
                       "%s certificate (serial %s) has a damaged subject alternative name", whose,
                       certificate_serial(leaf, serial));
    else if (!names || !server_name_in(names, name, outside, found, sizeof found))
        code = err_set(err, ERR_TLS_NAME, "%s certificate (serial %s) is for %s, expected %.150s",
                       whose, certificate_serial(leaf, serial), found, name);
    GENERAL_NAMES_free(names);
    if (code == ERR_OK && (X509_get_extension_flags(leaf) & EXFLAG_CA))
        code = check_leaf(leaf, whose, err);
    if (code == ERR_OK)
        code = check_eku(leaf, whose, XKU_SSL_SERVER, err);
    return code;
}
