#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "tls/ca_impl.h"
#include "tls/certificate.h"
#include "tls/csr.h"
#include "tls/issue.h"
#include "tls/pem.h"
#include "tls/profile.h"
#include "tls/verify.h"

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
        code = profile_check_server(leaf, "the issued", expected->dns_name, false, &why);
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
    enum err_code code = ca_check_authority(ca->issuer, NULL, "issuer certificate", err);
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
    code = ca_finish_pem(issue_certificate(request), &made.leaf_pem, err);
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
