#include "tls/ca.h"

#include <openssl/err.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/ref.h"
#include "tls/certificate.h"
#include "tls/csr.h"
#include "tls/issue.h"
#include "tls/key.h"
#include "tls/pem.h"
#include "tls/profile.h"
#include "tls/verify.h"

enum { DAY_S = 86400, ROOT_TTL_S = 3650 * DAY_S, ISSUER_TTL_S = 1826 * DAY_S, NAME_MAX_ = 64 };

struct ca {
    struct ref ref;
    struct tls_key *key;
    X509 *issuer, *root;
    char *issuer_pem, *root_pem;
    X509_STORE *store; /* the root, to check our own output */
    bool issuer_is_root;
};

static enum err_code finish_pem(X509 *certificate, char **pem, struct err *err)
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
    return finish_pem(issue_certificate(&request), pem, err);
}

/* The first certificate of a text. `what` names it in sentences. */
static enum err_code read_one(X509 **out, const char *pem, const char *what, struct err *err)
{
    STACK_OF(X509) *stack = NULL;
    *out = NULL;
    enum err_code code = pem_read_certificates(&stack, pem, strlen(pem), VERIFY_CHAIN_MAX, err);
    if (code != ERR_OK)
        return err_wrap(err, "%s", what);
    *out = sk_X509_shift(stack);
    sk_X509_pop_free(stack, X509_free);
    return ERR_OK;
}

/* A certificate that may sign others, belongs to `key` (when not NULL) and has not expired. */
static enum err_code check_authority(X509 *certificate, const struct tls_key *key, const char *what,
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
        code = check_authority(root, root_key, "root certificate", err);
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
        code = finish_pem(issue_certificate(&request), pem, err);
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
        code = check_authority(ca->root, NULL, "root certificate", err);
    if (code == ERR_OK)
        code = check_authority(ca->issuer, ca->key, "issuer certificate", err);
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

struct ca *ca_ref(struct ca *ca)
{
    ref_get(&ca->ref);
    return ca;
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

void ca_issued_deinit(struct ca_issued *issued)
{
    free(issued->leaf_pem);
    free(issued->chain_pem);
    issued->leaf_pem = issued->chain_pem = NULL;
}

/* What was asked for, to hold the result against. */
struct expectation {
    const struct spiffe_id *id; /* or, when NULL, a server with this first name */
    const char *dns_name;
    EVP_PKEY *key;
};

/* Our own output, read back from the text that will be handed out and verified as a peer would. */
static enum err_code check_output(const struct ca *ca, const char *chain_pem,
                                  const struct expectation *expected, struct err *err)
{
    STACK_OF(X509) *chain = NULL;
    struct spiffe_id id = {0};
    struct err why;
    enum err_code code =
        pem_read_certificates(&chain, chain_pem, strlen(chain_pem), VERIFY_CHAIN_MAX, &why);
    if (code == ERR_OK)
        code = verify_path(ca->store, "the authority", chain, "the issued", &why);
    X509 *leaf = code == ERR_OK ? sk_X509_value(chain, 0) : NULL;
    if (code == ERR_OK && expected->id)
        code = profile_check_svid(leaf, "the issued", &id, &why);
    else if (code == ERR_OK)
        code = profile_check_server(leaf, "the issued", expected->dns_name, &why);
    if (code == ERR_OK && expected->id && !spiffe_equal(&id, expected->id))
        code = err_set(&why, ERR_TLS_ID_MISMATCH, "it is for %.200s, expected %.200s", id.text,
                       expected->id->text);
    EVP_PKEY *found = leaf ? X509_get_pubkey(leaf) : NULL;
    if (code == ERR_OK && (!found || EVP_PKEY_cmp(found, expected->key) != 1))
        code = err_set(&why, ERR_TLS_KEY_MISMATCH, "it is for another key");
    EVP_PKEY_free(found);
    ERR_clear_error();
    sk_X509_pop_free(chain, X509_free);
    if (code == ERR_OK)
        return ERR_OK;
    return err_set(err, ERR_CERT_REJECTED, "the issued certificate fails its own check: %s",
                   why.text);
}

/* leaf, issuer (unless it is the root), root. */
static char *join_chain(const struct ca *ca, const char *leaf_pem)
{
    const char *issuer = ca->issuer_is_root ? "" : ca->issuer_pem;
    size_t leaf_len = strlen(leaf_pem), issuer_len = strlen(issuer),
           root_len = strlen(ca->root_pem);
    char *joined = malloc(leaf_len + issuer_len + root_len + 1);
    if (!joined)
        return NULL;
    memcpy(joined, leaf_pem, leaf_len);
    memcpy(joined + leaf_len, issuer, issuer_len);
    memcpy(joined + leaf_len + issuer_len, ca->root_pem, root_len + 1);
    return joined;
}

static enum err_code issue(const struct ca *ca, struct issue_request *request, int64_t ttl_s,
                           const struct expectation *expected, struct ca_issued *issued,
                           struct err *err)
{
    enum err_code code = check_authority(ca->issuer, NULL, "issuer certificate", err);
    if (code != ERR_OK)
        return code;
    int64_t now_s = clock_wall_s();
    ttl_s = ttl_s < CA_LEAF_TTL_MIN_S ? CA_LEAF_TTL_MIN_S : ttl_s;
    ttl_s = ttl_s > CA_LEAF_TTL_MAX_S ? CA_LEAF_TTL_MAX_S : ttl_s;
    request->issuer = ca->issuer;
    request->issuer_key = ca->key->pkey;
    request->not_before_s = now_s - CA_BACKDATE_S;
    request->not_after_s = now_s + ttl_s;
    request->basic_constraints = "critical,CA:FALSE";
    request->key_usage = "critical,digitalSignature";
    struct ca_issued made = {0};
    code = finish_pem(issue_certificate(request), &made.leaf_pem, err);
    if (code == ERR_OK) {
        made.chain_pem = join_chain(ca, made.leaf_pem);
        code = made.chain_pem ? check_output(ca, made.chain_pem, expected, err)
                              : err_set(err, ERR_NO_MEMORY, "no memory to make a certificate");
    }
    if (code == ERR_OK)
        code = cert_info_parse(&made.leaf, made.leaf_pem, strlen(made.leaf_pem), err);
    if (code == ERR_OK)
        *issued = made;
    else
        ca_issued_deinit(&made);
    return code;
}

enum err_code ca_issue_leaf(const struct ca *ca, const struct spiffe_id *id, const char *csr,
                            size_t csr_len, int64_t ttl_s, struct ca_issued *issued,
                            struct err *err)
{
    EVP_PKEY *key = NULL;
    enum err_code code = csr_check(&key, csr, csr_len, id, err);
    if (code != ERR_OK)
        return code;
    GENERAL_NAMES *names = certificate_names_new(GEN_URI, id->text, id->len);
    struct issue_request request = {
        .subject_key = key, .names = names, .extended_key_usage = "clientAuth,serverAuth"};
    struct expectation expected = {.id = id, .key = key};
    code = names ? issue(ca, &request, ttl_s, &expected, issued, err)
                 : err_set(err, ERR_NO_MEMORY, "no memory to make a certificate");
    GENERAL_NAMES_free(names);
    EVP_PKEY_free(key);
    return code;
}

/* RFC 1123 section 2.1: labels of letters, digits and inner hyphens. */
static bool is_dns_name(const char *name)
{
    size_t len = strlen(name), label = 0;
    if (len == 0 || len > 253)
        return false;
    for (size_t i = 0; i <= len; i++) {
        char c = name[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (letter || (c == '-' && label > 0)) {
            if (++label > 63)
                return false;
        } else if ((c == '.' || c == 0) && label > 0 && name[i - 1] != '-') {
            label = 0;
        } else {
            return false;
        }
    }
    return true;
}

enum err_code ca_issue_server(const struct ca *ca, const struct tls_key *key,
                              const char *const *dns_names, size_t dns_count, int64_t ttl_s,
                              struct ca_issued *issued, struct err *err)
{
    if (dns_count == 0 || dns_count > CA_DNS_NAMES_MAX)
        return err_set(err, ERR_INVALID, "%zu DNS names for a server certificate, expected 1 to %d",
                       dns_count, CA_DNS_NAMES_MAX);
    GENERAL_NAMES *names = GENERAL_NAMES_new();
    enum err_code code =
        names ? ERR_OK : err_set(err, ERR_NO_MEMORY, "no memory to make a certificate");
    for (size_t i = 0; i < dns_count && code == ERR_OK; i++) {
        if (!is_dns_name(dns_names[i]))
            code = err_set(err, ERR_INVALID, "\"%.100s\" is not a DNS name", dns_names[i]);
        else if (!certificate_names_add(names, GEN_DNS, dns_names[i], strlen(dns_names[i])))
            code = err_set(err, ERR_NO_MEMORY, "no memory to make a certificate");
    }
    struct issue_request request = {
        .subject_key = key->pkey, .names = names, .extended_key_usage = "serverAuth"};
    struct expectation expected = {.dns_name = dns_names[0], .key = key->pkey};
    if (code == ERR_OK)
        code = issue(ca, &request, ttl_s, &expected, issued, err);
    GENERAL_NAMES_free(names);
    return code;
}
