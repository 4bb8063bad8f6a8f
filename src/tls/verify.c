#include "tls/verify.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "tls/certificate.h"
#include "tls/pem.h"
#include "tls/profile.h"
#include "tls/skew.h"

enum { SUBJECT_TEXT_MAX = 256 };

enum err_code verify_parse(STACK_OF(X509) * *out, const STACK_OF(CRYPTO_BUFFER) * buffers,
                           struct err *err)
{
    size_t count = buffers ? sk_CRYPTO_BUFFER_num(buffers) : 0;
    *out = NULL;
    if (count == 0)
        return err_set(err, ERR_TLS_NO_CERTIFICATE,
                       "the peer presented no certificate, expected one of the mesh");
    if (count > VERIFY_CHAIN_MAX)
        return err_set(err, ERR_TLS_BAD_CERTIFICATE,
                       "the peer presented %zu certificates, expected at most %d", count,
                       VERIFY_CHAIN_MAX);
    STACK_OF(X509) *chain = sk_X509_new_null();
    for (size_t i = 0; chain && i < count; i++) {
        X509 *certificate = X509_parse_from_buffer(sk_CRYPTO_BUFFER_value(buffers, i));
        if (!certificate) {
            char reason[PEM_REASON_MAX];
            sk_X509_pop_free(chain, X509_free);
            return err_set(err, ERR_TLS_BAD_CERTIFICATE,
                           "certificate %zu of the peer's chain cannot be parsed: %s", i + 1,
                           pem_reason(reason));
        }
        if (!sk_X509_push(chain, certificate)) {
            X509_free(certificate);
            sk_X509_pop_free(chain, X509_free);
            chain = NULL;
        }
    }
    *out = chain;
    return chain ? ERR_OK : err_set(err, ERR_NO_MEMORY, "no memory for the peer's chain");
}

/* "the peer's certificate (serial 12, issuer "CN=x")", or the CA certificate above it. */
static const char *describe(X509 *certificate, int depth, const char *whose,
                            char text[SUBJECT_TEXT_MAX])
{
    char name[CERTIFICATE_NAME_MAX], serial[CERTIFICATE_SERIAL_MAX];
    if (depth <= 0)
        snprintf(text, SUBJECT_TEXT_MAX, "%s certificate (serial %s, issuer \"%s\")", whose,
                 certificate_serial(certificate, serial), certificate_issuer(certificate, name));
    else
        snprintf(text, SUBJECT_TEXT_MAX, "CA certificate \"%s\" above %s certificate",
                 certificate_subject(certificate, name), whose);
    return text;
}

static enum err_code fail_time(X509 *certificate, const char *subject, bool expired,
                               struct err *err)
{
    char limit[CLOCK_TEXT_MAX], clocks[160];
    int64_t limit_s =
        expired ? certificate_not_after_s(certificate) : certificate_not_before_s(certificate);
    return err_set(err, expired ? ERR_TLS_EXPIRED : ERR_TLS_NOT_YET_VALID, "%s %s %s; %s", subject,
                   expired ? "expired at" : "is not valid before", clock_format(limit_s, limit),
                   skew_describe(clock_wall_s(), clocks, sizeof clocks));
}

/* Turns BoringSSL's verdict into ours. */
static enum err_code fail_path(X509_STORE_CTX *ctx, const char *roots, X509 *leaf,
                               const char *whose, struct err *err)
{
    char subject[SUBJECT_TEXT_MAX], issuer[CERTIFICATE_NAME_MAX];
    int verdict = X509_STORE_CTX_get_error(ctx), depth = X509_STORE_CTX_get_error_depth(ctx);
    X509 *certificate = X509_STORE_CTX_get_current_cert(ctx);
    if (!certificate) {
        certificate = leaf;
        depth = 0;
    }
    describe(certificate, depth, whose, subject);
    switch (verdict) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
    case X509_V_ERR_CERT_NOT_YET_VALID:
        return fail_time(certificate, subject, verdict == X509_V_ERR_CERT_HAS_EXPIRED, err);
    case X509_V_ERR_CERT_SIGNATURE_FAILURE:
    case X509_V_ERR_UNABLE_TO_DECRYPT_CERT_SIGNATURE:
    case X509_V_ERR_UNABLE_TO_DECODE_ISSUER_PUBLIC_KEY:
        return err_set(err, ERR_TLS_SIGNATURE,
                       "the signature of %s is not that of its issuer's key", subject);
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_CERT_UNTRUSTED:
        return err_set(err, ERR_TLS_UNKNOWN_ROOT,
                       "%s chains to no root of %s: the last certificate that was found is issued "
                       "by \"%s\"",
                       subject, roots, certificate_issuer(certificate, issuer));
    case X509_V_ERR_OUT_OF_MEM:
        return err_set(err, ERR_NO_MEMORY, "no memory to verify %s", subject);
    default:
        return err_set(err, ERR_TLS_BAD_CERTIFICATE, "%s is refused: %s", subject,
                       X509_verify_cert_error_string(verdict));
    }
}

enum err_code verify_path(X509_STORE *store, const char *roots, STACK_OF(X509) * chain,
                          const char *whose, struct err *err)
{
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    X509 *leaf = sk_X509_value(chain, 0);
    if (!ctx || !X509_STORE_CTX_init(ctx, store, leaf, chain)) {
        X509_STORE_CTX_free(ctx);
        ERR_clear_error();
        return err_set(err, ERR_NO_MEMORY, "no memory to verify a certificate");
    }
    X509_VERIFY_PARAM *param = X509_STORE_CTX_get0_param(ctx);
    /* An anchor in the bundle is one whether it is self-signed or not, and comes before whatever
     * the peer sends along. */
    X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_PARTIAL_CHAIN | X509_V_FLAG_TRUSTED_FIRST);
    X509_VERIFY_PARAM_set_time(param, (time_t)clock_wall_s());
    X509_VERIFY_PARAM_set_depth(param, VERIFY_DEPTH_MAX);
    enum err_code code = ERR_OK;
    if (X509_verify_cert(ctx) != 1)
        code = fail_path(ctx, roots, leaf, whose, err);
    X509_STORE_CTX_free(ctx);
    ERR_clear_error();
    return code;
}

static enum err_code check_expected(const struct verify_request *request,
                                    const struct spiffe_id *id, struct err *err)
{
    for (size_t i = 0; i < request->expected_count; i++)
        if (spiffe_equal(&request->expected[i], id))
            return ERR_OK;
    if (request->expected_count == 0)
        return ERR_OK;
    char more[48] = "";
    if (request->expected_count > 1)
        snprintf(more, sizeof more, " or one of %zu others", request->expected_count - 1);
    return err_set(err, ERR_TLS_ID_MISMATCH, "%s certificate is for %.190s, expected %.190s%s",
                   request->whose, id->text, request->expected[0].text, more);
}

static enum err_code verify_svid(const struct verify_request *request, STACK_OF(X509) * chain,
                                 struct spiffe_id *id, struct err *err)
{
    enum err_code code = profile_check_svid(sk_X509_value(chain, 0), request->whose, id, err);
    if (code != ERR_OK)
        return code;
    char roots[300];
    X509_STORE *store = bundle_store(request->bundle, id->text + 9, id->domain_len);
    if (!store)
        return err_set(err, ERR_TLS_TRUST_DOMAIN,
                       "%s certificate is for %.180s, expected the trust domain %s", request->whose,
                       id->text, bundle_domains(request->bundle, roots, 200));
    snprintf(roots, sizeof roots, "trust domain %.*s", id->domain_len, id->text + 9);
    code = verify_path(store, roots, chain, request->whose, err);
    return code == ERR_OK ? check_expected(request, id, err) : code;
}

enum err_code verify_chain(const struct verify_request *request, STACK_OF(X509) * chain,
                           struct spiffe_id *id, struct err *err)
{
    enum err_code code;
    memset(id, 0, sizeof *id);
    if (!request->server_name) {
        code = verify_svid(request, chain, id, err);
        if (code != ERR_OK)
            memset(id, 0, sizeof *id);
        return code;
    }
    code =
        verify_path(bundle_store_any(request->bundle),
                    request->outside ? "those given for this server" : "the control plane's bundle",
                    chain, request->whose, err);
    if (code != ERR_OK)
        return code;
    return profile_check_server(sk_X509_value(chain, 0), request->whose, request->server_name,
                                request->outside, err);
}
