#include "tls/ca_impl.h"

#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "tls/certificate.h"
#include "tls/issue.h"
#include "tls/pem.h"
#include "tls/verify.h"

enum { DAY_S = 86400, ROOT_TTL_S = 3650 * DAY_S, ISSUER_TTL_S = 1826 * DAY_S, NAME_MAX_ = 64 };

enum err_code ca_finish_pem(X509 *certificate, char **pem, struct err *err)
{
    *pem = certificate ? pem_write_certificate(certificate) : NULL;
    X509_free(certificate);
    return *pem ? ERR_OK : err_set(err, ERR_NO_MEMORY, "no memory to make a certificate");
}

static enum err_code check_name(const char *common_name, struct err *err)
{
    size_t len = strlen(common_name);
    if (len > 0 && len <= NAME_MAX_)
        return ERR_OK;
    return err_set(err, ERR_INVALID, "common name of %zu bytes, expected 1 to %d", len, NAME_MAX_);
}

enum err_code ca_make_root(struct tls_key *key, const char *common_name, char **pem,
                           struct err *err)
{
    *pem = NULL;
    enum err_code code = check_name(common_name, err);
    if (code != ERR_OK)
        return code;
    struct issue_request request = {
        .subject_key = key->pkey,
        .common_name = common_name,
        .issuer_key = key->pkey,
        .not_before_s = clock_wall_s() - CA_BACKDATE_S,
        .not_after_s = clock_wall_s() + ROOT_TTL_S,
        .basic_constraints = "critical,CA:TRUE",
        .key_usage = "critical,keyCertSign,cRLSign",
    };
    return ca_finish_pem(issue_certificate(&request), pem, err);
}

/* The first certificate of a text. `what` names it in sentences. */
static enum err_code read_one(X509 **out, const char *pem, const char *what, struct err *err)
{
    STACK_OF(X509) *stack = NULL;
    *out = NULL;
    enum err_code code = pem_read_certificates(&stack, pem, strlen(pem), VERIFY_CHAIN_MAX, err);
    if (code != ERR_OK) {
        err_wrap(err, "%s", what);
        return code;
    }
    *out = sk_X509_shift(stack);
    sk_X509_pop_free(stack, X509_free);
    return ERR_OK;
}

enum err_code ca_check_authority(X509 *certificate, const struct tls_key *key, const char *what,
                                 struct err *err)
{
    char subject[CERTIFICATE_NAME_MAX], end[CLOCK_TEXT_MAX], now[CLOCK_TEXT_MAX];
    certificate_subject(certificate, subject);
    uint32_t flags = X509_get_extension_flags(certificate);
    if ((flags & EXFLAG_INVALID) || !(flags & EXFLAG_CA) ||
        !(X509_get_key_usage(certificate) & KU_KEY_CERT_SIGN))
        return err_set(err, ERR_CA_STATE,
                       "%s \"%s\" may not sign certificates, expected cA true and keyCertSign",
                       what, subject);
    int64_t end_s = certificate_not_after_s(certificate);
    if (end_s <= clock_wall_s())
        return err_set(err, ERR_CA_STATE, "%s \"%s\" expired at %s, our clock says %s", what,
                       subject, clock_format(end_s, end), clock_format(clock_wall_s(), now));
    EVP_PKEY *public_key = X509_get_pubkey(certificate);
    bool same = !key || (public_key && EVP_PKEY_cmp(public_key, key->pkey) == 1);
    EVP_PKEY_free(public_key);
    ERR_clear_error();
    if (!same)
        return err_set(err, ERR_CA_STATE,
                       "%s \"%s\" is for another key than the one that lies beside it", what,
                       subject);
    return ERR_OK;
}

enum err_code ca_make_issuer(struct tls_key *root_key, const char *root_pem,
                             struct tls_key *issuer_key, const char *common_name, char **pem,
                             struct err *err)
{
    X509 *root = NULL;
    *pem = NULL;
    enum err_code code = check_name(common_name, err);
    if (code == ERR_OK)
        code = read_one(&root, root_pem, "root certificate", err);
    if (code == ERR_OK)
        code = ca_check_authority(root, root_key, "root certificate", err);
    if (code == ERR_OK) {
        struct issue_request request = {
            .subject_key = issuer_key->pkey,
            .common_name = common_name,
            .issuer = root,
            .issuer_key = root_key->pkey,
            .not_before_s = clock_wall_s() - CA_BACKDATE_S,
            .not_after_s = clock_wall_s() + ISSUER_TTL_S,
            .basic_constraints = "critical,CA:TRUE,pathlen:0",
            .key_usage = "critical,keyCertSign,cRLSign",
        };
        code = ca_finish_pem(issue_certificate(&request), pem, err);
    }
    X509_free(root);
    return code;
}

/* The issuer over the root, as peers will verify it. */
static enum err_code check_chain(struct ca *ca, struct err *err)
{
    STACK_OF(X509) *chain = sk_X509_new_null();
    if (!chain || !sk_X509_push(chain, ca->issuer) || !X509_STORE_add_cert(ca->store, ca->root)) {
        sk_X509_free(chain);
        return err_set(err, ERR_NO_MEMORY, "no memory to open a certificate authority");
    }
    struct err why;
    enum err_code code = verify_path(ca->store, "the authority", chain, "the issuer's", &why);
    sk_X509_free(chain);
    if (code == ERR_OK)
        return ERR_OK;
    return err_set(err, ERR_CA_STATE, "issuer certificate does not chain to the root: %s",
                   why.text);
}

static enum err_code open_parts(struct ca *ca, const char *issuer_pem, const char *root_pem,
                                struct err *err)
{
    enum err_code code = read_one(&ca->root, root_pem, "root certificate", err);
    if (code == ERR_OK)
        code = read_one(&ca->issuer, issuer_pem, "issuer certificate", err);
    if (code == ERR_OK)
        code = ca_check_authority(ca->root, NULL, "root certificate", err);
    if (code == ERR_OK)
        code = ca_check_authority(ca->issuer, ca->key, "issuer certificate", err);
    if (code != ERR_OK)
        return code;
    ca->issuer_is_root = X509_cmp(ca->issuer, ca->root) == 0;
    ca->store = X509_STORE_new();
    ca->issuer_pem = pem_write_certificate(ca->issuer);
    ca->root_pem = pem_write_certificate(ca->root);
    if (!ca->store || !ca->issuer_pem || !ca->root_pem)
        return err_set(err, ERR_NO_MEMORY, "no memory to open a certificate authority");
    return check_chain(ca, err);
}

enum err_code ca_new(struct ca **out, struct tls_key *key, const char *issuer_pem,
                     const char *root_pem, struct err *err)
{
    struct ca *ca = calloc(1, sizeof *ca);
    *out = NULL;
    if (!ca)
        return err_set(err, ERR_NO_MEMORY, "no memory to open a certificate authority");
    ref_init(&ca->ref);
    ca->key = tls_key_ref(key);
    enum err_code code = open_parts(ca, issuer_pem, root_pem, err);
    if (code == ERR_OK)
        *out = ca;
    else
        ca_unref(ca);
    return code;
}

void ca_unref(struct ca *ca)
{
    if (!ca || !ref_put(&ca->ref))
        return;
    tls_key_unref(ca->key);
    X509_free(ca->issuer);
    X509_free(ca->root);
    X509_STORE_free(ca->store);
    free(ca->issuer_pem);
    free(ca->root_pem);
    free(ca);
}

const char *ca_issuer_pem(const struct ca *ca)
{
    return ca->issuer_pem;
}

const char *ca_root_pem(const struct ca *ca)
{
    return ca->root_pem;
}

int64_t ca_not_after_s(const struct ca *ca)
{
    return certificate_not_after_s(ca->issuer);
}
