#include "tls/verify.h"

#include <openssl/asn1.h>
#include <openssl/bn.h>
#include <openssl/err.h>
#include <openssl/mem.h>
#include <openssl/x509v3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"

static _Atomic int64_t clock_skew_s;

void tls_clock_skew_set(int64_t control_minus_ours_s)
{
    atomic_store_explicit(&clock_skew_s, control_minus_ours_s, memory_order_relaxed);
}

static int64_t seconds_of(const ASN1_TIME *t)
{
    static const struct tm epoch = {.tm_mday = 1, .tm_year = 70};
    int days = 0, seconds = 0;
    ASN1_TIME *start = ASN1_TIME_set(NULL, 0);
    (void)epoch;
    bool known = start && t && ASN1_TIME_diff(&days, &seconds, start, t);
    ASN1_TIME_free(start);
    return known ? (int64_t)days * 86400 + seconds : 0;
}

void verify_describe(X509 *leaf, char serial[48], int64_t *not_before_s, int64_t *not_after_s)
{
    BIGNUM *number = ASN1_INTEGER_to_BN(X509_get0_serialNumber(leaf), NULL);
    char *hex = number ? BN_bn2hex(number) : NULL;
    snprintf(serial, 48, "%s", hex ? hex : "");
    for (char *at = serial; *at; at++)
        *at = (char)(*at >= 'A' && *at <= 'F' ? *at + 32 : *at);
    OPENSSL_free(hex);
    BN_free(number);
    if (not_before_s)
        *not_before_s = seconds_of(X509_get0_notBefore(leaf));
    if (not_after_s)
        *not_after_s = seconds_of(X509_get0_notAfter(leaf));
}

uint8_t verify_alert(enum err_code code)
{
    switch (code) {
    case ERR_TLS_UNKNOWN_ROOT:
    case ERR_TLS_TRUST_DOMAIN:
        return SSL_AD_UNKNOWN_CA;
    case ERR_TLS_EXPIRED:
        return SSL_AD_CERTIFICATE_EXPIRED;
    case ERR_TLS_NO_CERTIFICATE:
        return SSL_AD_CERTIFICATE_REQUIRED;
    case ERR_TLS_REVOKED:
        return SSL_AD_CERTIFICATE_REVOKED;
    case ERR_TLS_EKU:
    case ERR_TLS_KEY_USAGE:
    case ERR_TLS_CA_LEAF:
        return SSL_AD_UNSUPPORTED_CERTIFICATE;
    case ERR_TLS_NOT_YET_VALID:
    case ERR_TLS_ID_MISMATCH:
    case ERR_TLS_NAME:
        return SSL_AD_CERTIFICATE_UNKNOWN;
    default:
        return SSL_AD_BAD_CERTIFICATE;
    }
}

static enum err_code fail_time(enum err_code code, int64_t limit_s, struct err *err)
{
    char limit[CLOCK_TEXT_MAX], now[CLOCK_TEXT_MAX], control[CLOCK_TEXT_MAX];
    int64_t now_s = clock_wall_s();
    int64_t skew_s = atomic_load_explicit(&clock_skew_s, memory_order_relaxed);
    return err_set(
        err, code, "the peer's certificate is %s %s; our clock says %s, the control plane's %s",
        code == ERR_TLS_EXPIRED ? "valid until" : "not valid before", clock_format(limit_s, limit),
        clock_format(now_s, now), clock_format(now_s + skew_s, control));
}

static enum err_code explain(X509_STORE_CTX *ctx, struct err *err)
{
    int why = X509_STORE_CTX_get_error(ctx);
    X509 *at = X509_STORE_CTX_get_current_cert(ctx);
    char issuer[128] = "", serial[48];
    int64_t not_before_s = 0, not_after_s = 0;
    ERR_clear_error();
    if (at) {
        X509_NAME_oneline(X509_get_issuer_name(at), issuer, sizeof issuer);
        verify_describe(at, serial, &not_before_s, &not_after_s);
    }
    switch (why) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
        return fail_time(ERR_TLS_EXPIRED, not_after_s, err);
    case X509_V_ERR_CERT_NOT_YET_VALID:
        return fail_time(ERR_TLS_NOT_YET_VALID, not_before_s, err);
    case X509_V_ERR_CERT_SIGNATURE_FAILURE:
        return err_set(err, ERR_TLS_SIGNATURE,
                       "a signature in the peer's certificate chain is wrong (issuer %s)", issuer);
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
        return err_set(err, ERR_TLS_UNKNOWN_ROOT,
                       "the peer's certificate chains to no root of the trust bundle (issuer %s)",
                       issuer);
    default:
        return err_set(err, ERR_TLS_BAD_CERTIFICATE, "the peer's certificate chain is refused: %s",
                       X509_verify_cert_error_string(why));
    }
}

static enum err_code verify_chain(X509_STORE *store, STACK_OF(X509) * chain, struct err *err)
{
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    enum err_code code;
    if (!ctx || !X509_STORE_CTX_init(ctx, store, sk_X509_value(chain, 0), chain)) {
        code = err_set(err, ERR_NO_MEMORY, "no memory to verify a certificate");
    } else {
        X509_STORE_CTX_set_time(ctx, 0, (time_t)clock_wall_s());
        code = X509_verify_cert(ctx) == 1 ? ERR_OK : explain(ctx, err);
    }
    X509_STORE_CTX_free(ctx);
    return code;
}

/* The one URI SAN; the other kinds of names are nobody's business (SPIFFE X509-SVID section 2). */
static enum err_code read_id(X509 *leaf, struct spiffe_id *id, struct err *err)
{
    int critical;
    GENERAL_NAMES *names = X509_get_ext_d2i(leaf, NID_subject_alt_name, &critical, NULL);
    const ASN1_IA5STRING *uri = NULL;
    unsigned found = 0;
    for (size_t i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        if (name->type == GEN_URI && found++ == 0)
            uri = name->d.uniformResourceIdentifier;
    }
    enum err_code code = ERR_OK;
    if (found != 1)
        code = err_set(err, ERR_TLS_URI_SAN_COUNT,
                       "the peer's certificate has %u URI SANs, expected exactly one", found);
    else if (!spiffe_parse(id, (const char *)ASN1_STRING_get0_data(uri),
                           (size_t)ASN1_STRING_length(uri)))
        code = err_set(err, ERR_TLS_SPIFFE_ID,
                       "the peer's URI SAN '%.*s' is not a well-formed SPIFFE ID",
                       ASN1_STRING_length(uri) < 200 ? ASN1_STRING_length(uri) : 200,
                       (const char *)ASN1_STRING_get0_data(uri));
    GENERAL_NAMES_free(names);
    return code;
}

static enum err_code check_leaf(X509 *leaf, const struct spiffe_id *id, struct err *err)
{
    uint32_t flags = X509_get_extension_flags(leaf);
    if (flags & EXFLAG_INVALID)
        return err_set(err, ERR_TLS_BAD_CERTIFICATE,
                       "the certificate of %s has a malformed extension", id->text);
    if (flags & EXFLAG_CA)
        return err_set(err, ERR_TLS_CA_LEAF, "the certificate of %s is a CA certificate", id->text);
    uint32_t usage = (flags & EXFLAG_KUSAGE) ? X509_get_key_usage(leaf) : 0;
    if (!(usage & X509v3_KU_DIGITAL_SIGNATURE))
        return err_set(err, ERR_TLS_KEY_USAGE, "the certificate of %s lacks digitalSignature",
                       id->text);
    if (usage & (X509v3_KU_KEY_CERT_SIGN | X509v3_KU_CRL_SIGN))
        return err_set(err, ERR_TLS_KEY_USAGE,
                       "the certificate of %s may sign certificates or CRLs", id->text);
    if ((flags & EXFLAG_XKUSAGE) &&
        (X509_get_extended_key_usage(leaf) & (XKU_SSL_SERVER | XKU_SSL_CLIENT)) !=
            (XKU_SSL_SERVER | XKU_SSL_CLIENT))
        return err_set(err, ERR_TLS_EKU,
                       "the certificate of %s is not for both serverAuth and clientAuth", id->text);
    return ERR_OK;
}

enum err_code verify_svid(const struct tls_bundle *bundle, STACK_OF(X509) * chain,
                          struct tls_peer *peer, struct err *err)
{
    X509 *leaf = sk_X509_value(chain, 0);
    enum err_code code = read_id(leaf, &peer->id, err);
    if (code != ERR_OK)
        return code;
    verify_describe(leaf, peer->serial, NULL, &peer->not_after_s);
    X509_STORE *store = tls_bundle_store(bundle, peer->id.text + 9, peer->id.domain_len);
    if (!store)
        return err_set(err, ERR_TLS_TRUST_DOMAIN,
                       "peer is %s, of a trust domain that we have no roots for", peer->id.text);
    code = verify_chain(store, chain, err);
    if (code != ERR_OK)
        return err_wrap(err, "peer claims to be %s", peer->id.text);
    return check_leaf(leaf, &peer->id, err);
}

enum err_code verify_server(const struct tls_bundle *bundle, STACK_OF(X509) * chain,
                            const char *dns_name, struct tls_peer *peer, struct err *err)
{
    X509 *leaf = sk_X509_value(chain, 0);
    enum err_code code = ERR_TLS_UNKNOWN_ROOT;
    verify_describe(leaf, peer->serial, NULL, &peer->not_after_s);
    for (size_t i = 0; i < bundle->domains && code == ERR_TLS_UNKNOWN_ROOT; i++)
        code = verify_chain(bundle->domain[i].store, chain, err);
    if (code == ERR_OK && X509_check_host(leaf, dns_name, strlen(dns_name), 0, NULL) != 1)
        code = err_set(err, ERR_TLS_NAME, "the server's certificate is not for %s", dns_name);
    return code;
}
