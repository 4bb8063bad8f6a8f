/* The authority: what it issues holds, what it is asked wrongly it refuses. */
#include "tls/ca.h"

#include <openssl/bio.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "pair.h"
#include "pki.h"
#include "suite.h"
#include "tls/certificate.h"
#include "tls/key.h"
#include "tls/pem.h"

enum { NOW_S = 1790000000, DAY_S = 86400 };

static struct tls_key *root_key, *issuer_key;
static char *root_pem, *issuer_pem;
static struct ca *ca;
static struct spiffe_id web;

static X509 *parse(const char *pem)
{
    STACK_OF(X509) *stack = NULL;
    CU_ASSERT_EQUAL_FATAL(pem_read_certificates(&stack, pem, strlen(pem), 10, NULL), ERR_OK);
    X509 *first = sk_X509_shift(stack);
    sk_X509_pop_free(stack, X509_free);
    return first;
}

static char *make_csr(const struct tls_key *key, const struct spiffe_id *id)
{
    char *csr = NULL;
    CU_ASSERT_EQUAL_FATAL(tls_key_make_csr(key, id, &csr, NULL), ERR_OK);
    return csr;
}

static enum err_code issue(const char *csr, size_t len, struct ca_issued *issued, struct err *err)
{
    char *copy = malloc(len ? len : 1);
    memcpy(copy, csr, len);
    enum err_code code = ca_issue_leaf(ca, &web, copy, len, DAY_S, issued, err);
    free(copy);
    return code;
}

static void root_and_issuer_are_proper_authorities(void)
{
    struct cert_info info;
    CU_ASSERT_EQUAL(cert_info_parse(&info, root_pem, strlen(root_pem), NULL), ERR_OK);
    CU_ASSERT_TRUE(info.is_ca);
    CU_ASSERT_STRING_EQUAL(info.subject, "CN=root");
    CU_ASSERT_STRING_EQUAL(info.issuer, "CN=root");
    CU_ASSERT_EQUAL(info.not_before_s, NOW_S - CA_BACKDATE_S);
    CU_ASSERT_EQUAL(info.not_after_s, NOW_S + 3650 * (int64_t)DAY_S);
    CU_ASSERT_EQUAL(cert_info_parse(&info, issuer_pem, strlen(issuer_pem), NULL), ERR_OK);
    CU_ASSERT_TRUE(info.is_ca);
    CU_ASSERT_STRING_EQUAL(info.issuer, "CN=root");
    CU_ASSERT_EQUAL(ca_not_after_s(ca), info.not_after_s);
    X509 *issuer = parse(issuer_pem);
    CU_ASSERT_EQUAL(X509_get_pathlen(issuer), 0);
    CU_ASSERT_EQUAL(X509_get_key_usage(issuer), KU_KEY_CERT_SIGN | KU_CRL_SIGN);
    X509_free(issuer);
    CU_ASSERT_STRING_EQUAL(ca_root_pem(ca), root_pem);
    CU_ASSERT_STRING_EQUAL(ca_issuer_pem(ca), issuer_pem);
}

static void issued_leaf_says_exactly_what_it_should(void)
{
    struct tls_key *key = tls_key_new();
    char *csr = make_csr(key, &web);
    struct ca_issued issued = {0};
    CU_ASSERT_EQUAL_FATAL(issue(csr, strlen(csr), &issued, NULL), ERR_OK);
    CU_ASSERT_STRING_EQUAL(issued.leaf.uri, PKI_A);
    CU_ASSERT_EQUAL(issued.leaf.uri_count, 1);
    CU_ASSERT_EQUAL(issued.leaf.dns_count, 0);
    CU_ASSERT_STRING_EQUAL(issued.leaf.subject, "");
    CU_ASSERT_EQUAL(issued.leaf.not_before_s, NOW_S - CA_BACKDATE_S);
    CU_ASSERT_EQUAL(issued.leaf.not_after_s, NOW_S + DAY_S);
    CU_ASSERT_EQUAL(strlen(issued.leaf.serial), 32);
    X509 *leaf = parse(issued.leaf_pem);
    CU_ASSERT_EQUAL(X509_get_key_usage(leaf), KU_DIGITAL_SIGNATURE);
    CU_ASSERT_EQUAL(X509_get_extended_key_usage(leaf), XKU_SSL_CLIENT | XKU_SSL_SERVER);
    CU_ASSERT_PTR_NOT_NULL(X509_get0_subject_key_id(leaf));
    static const struct {
        int nid, critical;
    } extensions[] = {
        {NID_subject_alt_name, 1},       {NID_key_usage, 1},
        {NID_basic_constraints, 1},      {NID_ext_key_usage, 0},
        {NID_subject_key_identifier, 0}, {NID_authority_key_identifier, 0},
    };
    CU_ASSERT_EQUAL(X509_get_ext_count(leaf), 6);
    for (size_t i = 0; i < 6; i++) {
        int at = X509_get_ext_by_NID(leaf, extensions[i].nid, -1);
        CU_ASSERT_FATAL(at >= 0);
        CU_ASSERT_EQUAL(X509_EXTENSION_get_critical(X509_get_ext(leaf, at)) != 0,
                        extensions[i].critical);
    }
    X509_free(leaf);
    /* leaf, issuer, root */
    struct cert_info infos[CERT_INFO_CHAIN_MAX];
    size_t count = 0;
    CU_ASSERT_EQUAL(
        cert_info_parse_chain(infos, &count, issued.chain_pem, strlen(issued.chain_pem), NULL),
        ERR_OK);
    CU_ASSERT_EQUAL(count, 3);
    CU_ASSERT_STRING_EQUAL(infos[0].serial, issued.leaf.serial);
    CU_ASSERT_STRING_EQUAL(infos[2].subject, "CN=root");
    ca_issued_deinit(&issued);
    free(csr);
    tls_key_unref(key);
}

static void issued_leaf_makes_a_working_connection(void)
{
    static const char *const alpn[] = {"istio", NULL};
    struct tls_key *key = tls_key_new();
    char *csr = make_csr(key, &web);
    struct ca_issued issued = {0};
    struct tls_bundle *bundle = NULL;
    struct tls_context *context = NULL;
    CU_ASSERT_EQUAL_FATAL(issue(csr, strlen(csr), &issued, NULL), ERR_OK);
    CU_ASSERT_EQUAL_FATAL(
        tls_bundle_new(&bundle, PKI_DOMAIN, ca_root_pem(ca), strlen(ca_root_pem(ca)), NULL),
        ERR_OK);
    CU_ASSERT_EQUAL_FATAL(tls_context_new(&context, key, issued.chain_pem, strlen(issued.chain_pem),
                                          bundle, &web, alpn, NULL),
                          ERR_OK);
    struct pair pair;
    pair_init(&pair, tls_conn_new_client(context, &web, 1), tls_conn_new_server(context));
    CU_ASSERT_TRUE(pair_handshake(&pair, 0));
    pair_deinit(&pair);
    tls_context_unref(context);
    tls_bundle_unref(bundle);
    ca_issued_deinit(&issued);
    free(csr);
    tls_key_unref(key);
}

static void lifetime_stays_inside_the_issuers(void)
{
    struct tls_key *key = tls_key_new();
    char *csr = make_csr(key, &web);
    struct ca_issued issued = {0};
    static const struct {
        int64_t ttl_s, lives_s;
    } table[] = {{0, 1}, {-5, 1}, {1, 1}, {INT64_MAX, CA_LEAF_TTL_MAX_S}};
    for (size_t i = 0; i < 4; i++) {
        CU_ASSERT_EQUAL_FATAL(
            ca_issue_leaf(ca, &web, csr, strlen(csr), table[i].ttl_s, &issued, NULL), ERR_OK);
        CU_ASSERT_EQUAL(issued.leaf.not_after_s, NOW_S + table[i].lives_s);
        ca_issued_deinit(&issued);
    }
    /* A minute before the issuer ends, a leaf of a day lives a minute. */
    clock_fake(1000, (ca_not_after_s(ca) - 60) * 1000);
    CU_ASSERT_EQUAL(issue(csr, strlen(csr), &issued, NULL), ERR_OK);
    CU_ASSERT_EQUAL(issued.leaf.not_after_s, ca_not_after_s(ca));
    ca_issued_deinit(&issued);
    clock_fake(1000, ca_not_after_s(ca) * 1000);
    struct err err;
    CU_ASSERT_EQUAL(issue(csr, strlen(csr), &issued, &err), ERR_CA_STATE);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "expired at"));
    /* A clock that was set back behind the issuer's birth: not before it. */
    clock_fake(1000, ((int64_t)NOW_S - 100) * 1000);
    CU_ASSERT_EQUAL(issue(csr, strlen(csr), &issued, NULL), ERR_OK);
    CU_ASSERT_EQUAL(issued.leaf.not_before_s, NOW_S - CA_BACKDATE_S);
    ca_issued_deinit(&issued);
    clock_fake(1000, (int64_t)NOW_S * 1000);
    free(csr);
    tls_key_unref(key);
}

static void csr_for_somebody_else_is_refused(void)
{
    static const char *const others[] = {PKI_B, PKI_A "2", "spiffe://mesh.test/ns/shop/sa/we"};
    struct tls_key *key = tls_key_new();
    for (size_t i = 0; i < 3; i++) {
        struct spiffe_id other = pki_id(others[i]);
        char *csr = make_csr(key, &other);
        struct ca_issued issued = {0};
        struct err err;
        CU_ASSERT_EQUAL(issue(csr, strlen(csr), &issued, &err), ERR_CSR_IDENTITY);
        CU_ASSERT_PTR_NOT_NULL(strstr(err.text, others[i]));
        CU_ASSERT_PTR_NOT_NULL(strstr(err.text, PKI_A));
        CU_ASSERT_PTR_NULL(issued.leaf_pem);
        free(csr);
    }
    tls_key_unref(key);
}

/* A request with any names and any key. */
static char *forge_csr(EVP_PKEY *key, EVP_PKEY *signer, GENERAL_NAMES *names, const char *subject)
{
    X509_REQ *request = X509_REQ_new();
    X509_REQ_set_pubkey(request, key);
    if (subject)
        X509_NAME_add_entry_by_NID(X509_REQ_get_subject_name(request), NID_commonName,
                                   MBSTRING_UTF8, (const unsigned char *)subject, -1, -1, 0);
    if (names) {
        STACK_OF(X509_EXTENSION) *extensions = NULL;
        X509V3_add1_i2d(&extensions, NID_subject_alt_name, names, 0, 0);
        X509_REQ_add_extensions(request, extensions);
        sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
    }
    X509_REQ_sign(request, signer, EVP_sha256());
    BIO *bio = BIO_new(BIO_s_mem());
    PEM_write_bio_X509_REQ(bio, request);
    char *pem = pem_take(bio, NULL);
    BIO_free(bio);
    X509_REQ_free(request);
    return pem;
}

static void only_the_key_is_taken_from_a_csr(void)
{
    struct tls_key *key = tls_key_new();
    GENERAL_NAMES *names = certificate_names_new(GEN_DNS, "bank.example", 12);
    char *with_dns = forge_csr(key->pkey, key->pkey, names, "CN of a bank");
    char *bare = forge_csr(key->pkey, key->pkey, NULL, NULL);
    const char *const requests[] = {with_dns, bare};
    for (size_t i = 0; i < 2; i++) {
        struct ca_issued issued = {0};
        CU_ASSERT_EQUAL(issue(requests[i], strlen(requests[i]), &issued, NULL), ERR_OK);
        CU_ASSERT_STRING_EQUAL(issued.leaf.uri, PKI_A);
        CU_ASSERT_EQUAL(issued.leaf.dns_count, 0);
        CU_ASSERT_STRING_EQUAL(issued.leaf.subject, "");
        ca_issued_deinit(&issued);
    }
    /* Our own name and a second one: not ours alone. */
    certificate_names_add(names, GEN_URI, PKI_A, strlen(PKI_A));
    certificate_names_add(names, GEN_URI, PKI_B, strlen(PKI_B));
    char *two = forge_csr(key->pkey, key->pkey, names, NULL);
    struct ca_issued issued = {0};
    CU_ASSERT_EQUAL(issue(two, strlen(two), &issued, NULL), ERR_CSR_IDENTITY);
    /* A null behind our name. */
    GENERAL_NAMES *null_inside =
        certificate_names_new(GEN_URI, PKI_A "\0x", sizeof PKI_A "\0x" - 1);
    char *with_null = forge_csr(key->pkey, key->pkey, null_inside, NULL);
    CU_ASSERT_EQUAL(issue(with_null, strlen(with_null), &issued, NULL), ERR_CSR_IDENTITY);
    free(with_dns);
    free(bare);
    free(two);
    free(with_null);
    GENERAL_NAMES_free(names);
    GENERAL_NAMES_free(null_inside);
    tls_key_unref(key);
}

static void csr_of_another_kind_of_key_is_refused(void)
{
    struct pki_ca *rsa = pki_ca_new("rsa", PKI_RSA, NULL, NULL);
    struct ca_issued issued = {0};
    struct err err;
    char *csr = forge_csr(rsa->key, rsa->key, NULL, NULL);
    CU_ASSERT_EQUAL(issue(csr, strlen(csr), &issued, &err), ERR_CSR_KEY);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "expected ECDSA P-256"));
    free(csr);
    EVP_PKEY *p384 = EVP_PKEY_new();
    EC_KEY *ec = EC_KEY_new_by_curve_name(NID_secp384r1);
    EC_KEY_generate_key(ec);
    EVP_PKEY_assign_EC_KEY(p384, ec);
    csr = forge_csr(p384, p384, NULL, NULL);
    CU_ASSERT_EQUAL(issue(csr, strlen(csr), &issued, NULL), ERR_CSR_KEY);
    free(csr);
    EVP_PKEY_free(p384);
    pki_ca_free(rsa);
}

static void csr_signed_with_another_key_is_refused(void)
{
    struct tls_key *key = tls_key_new(), *other = tls_key_new();
    char *csr = forge_csr(key->pkey, other->pkey, NULL, NULL);
    struct ca_issued issued = {0};
    CU_ASSERT_EQUAL(issue(csr, strlen(csr), &issued, NULL), ERR_CSR_SIGNATURE);
    free(csr);
    tls_key_unref(key);
    tls_key_unref(other);
}

static void damaged_csr_is_refused(void)
{
    struct tls_key *key = tls_key_new();
    char *csr = make_csr(key, &web);
    size_t len = strlen(csr);
    struct ca_issued issued = {0};
    for (size_t cut = 0; cut < len - 2; cut++)
        CU_ASSERT_EQUAL(issue(csr, cut, &issued, NULL), ERR_CSR_MALFORMED);
    /* Whatever is changed in the middle, nothing is issued for it. */
    for (size_t at = 40; at < len - 40; at += 3) {
        char saved = csr[at];
        csr[at] = saved == 'A' ? 'B' : 'A';
        if (saved != '\n')
            CU_ASSERT_NOT_EQUAL(issue(csr, len, &issued, NULL), ERR_OK);
        csr[at] = saved;
    }
    char *large = malloc(CA_CSR_MAX + 1), *twice = malloc(2 * len + 1);
    memset(large, '\n', CA_CSR_MAX + 1);
    memcpy(large, csr, len);
    CU_ASSERT_EQUAL(issue(large, CA_CSR_MAX + 1, &issued, NULL), ERR_CSR_MALFORMED);
    snprintf(twice, 2 * len + 1, "%s%s", csr, csr);
    CU_ASSERT_EQUAL(issue(twice, 2 * len, &issued, NULL), ERR_CSR_MALFORMED);
    CU_ASSERT_EQUAL(issue(root_pem, strlen(root_pem), &issued, NULL), ERR_CSR_MALFORMED);
    CU_ASSERT_PTR_NULL(issued.leaf_pem);
    free(large);
    free(twice);
    free(csr);
    tls_key_unref(key);
}

static void server_certificate_has_the_names_asked_for(void)
{
    static const char *const names[] = {"handfast-control.handfast-system.svc", "localhost"};
    struct tls_key *key = tls_key_new();
    struct ca_issued issued = {0};
    CU_ASSERT_EQUAL_FATAL(ca_issue_server(ca, key, names, 2, DAY_S, &issued, NULL), ERR_OK);
    CU_ASSERT_EQUAL(issued.leaf.dns_count, 2);
    CU_ASSERT_STRING_EQUAL(issued.leaf.dns[0], names[0]);
    CU_ASSERT_STRING_EQUAL(issued.leaf.dns[1], names[1]);
    CU_ASSERT_EQUAL(issued.leaf.uri_count, 0);
    struct tls_context *server = NULL, *client = NULL;
    struct tls_bundle *bundle = NULL;
    CU_ASSERT_EQUAL_FATAL(
        tls_bundle_new(&bundle, PKI_DOMAIN, ca_root_pem(ca), strlen(ca_root_pem(ca)), NULL),
        ERR_OK);
    CU_ASSERT_EQUAL_FATAL(
        tls_context_new_server(&server, key, issued.chain_pem, strlen(issued.chain_pem), NULL),
        ERR_OK);
    CU_ASSERT_EQUAL_FATAL(tls_context_new_roots(&client, bundle, NULL), ERR_OK);
    for (size_t i = 0; i < 2; i++) {
        struct pair pair;
        pair_init(&pair, tls_conn_new_client_dns(client, names[i]), tls_conn_new_server(server));
        CU_ASSERT_TRUE(pair_handshake(&pair, 0));
        pair_deinit(&pair);
    }
    tls_context_unref(server);
    tls_context_unref(client);
    tls_bundle_unref(bundle);
    ca_issued_deinit(&issued);
    static const char *const bad[] = {"", "a..b", "-a", "a-", ".a", "a b", "*.a", "a/b", "a."};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        CU_ASSERT_EQUAL(ca_issue_server(ca, key, &bad[i], 1, DAY_S, &issued, NULL), ERR_INVALID);
    CU_ASSERT_EQUAL(ca_issue_server(ca, key, names, 0, DAY_S, &issued, NULL), ERR_INVALID);
    CU_ASSERT_EQUAL(ca_issue_server(ca, key, names, CA_DNS_NAMES_MAX + 1, DAY_S, &issued, NULL),
                    ERR_INVALID);
    tls_key_unref(key);
}

static void state_that_does_not_fit_together_is_refused(void)
{
    struct tls_key *other = tls_key_new();
    struct ca *opened = NULL;
    struct err err;
    char *other_root = NULL, *unused = NULL;
    CU_ASSERT_EQUAL(ca_make_root(other, "other", &other_root, NULL), ERR_OK);
    CU_ASSERT_EQUAL(ca_new(&opened, other, issuer_pem, root_pem, &err), ERR_CA_STATE);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "another key"));
    CU_ASSERT_EQUAL(ca_new(&opened, issuer_key, issuer_pem, other_root, &err), ERR_CA_STATE);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "does not chain"));
    struct pki_ca *helper = pki_ca_new("helper", PKI_P256, NULL, NULL);
    struct pki_identity leaf = pki_identity(helper, &(struct pki_leaf){0});
    CU_ASSERT_EQUAL(ca_new(&opened, leaf.key, leaf.chain, root_pem, &err), ERR_CA_STATE);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "may not sign"));
    CU_ASSERT_EQUAL(ca_new(&opened, issuer_key, "", root_pem, &err), ERR_TLS_BAD_CERTIFICATE);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "issuer certificate: no certificate"));
    CU_ASSERT_EQUAL(ca_new(&opened, issuer_key, "", root_pem, NULL), ERR_TLS_BAD_CERTIFICATE);
    CU_ASSERT_EQUAL(ca_make_issuer(other, root_pem, issuer_key, "x", &unused, &err), ERR_CA_STATE);
    CU_ASSERT_EQUAL(ca_make_root(other, "", &unused, NULL), ERR_INVALID);
    clock_fake(1000, ((int64_t)NOW_S + 3651 * (int64_t)DAY_S) * 1000);
    CU_ASSERT_EQUAL(ca_new(&opened, issuer_key, issuer_pem, root_pem, &err), ERR_CA_STATE);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "expired"));
    clock_fake(1000, (int64_t)NOW_S * 1000);
    CU_ASSERT_PTR_NULL(opened);
    CU_ASSERT_PTR_NULL(unused);
    pki_identity_deinit(&leaf);
    pki_ca_free(helper);
    free(other_root);
    tls_key_unref(other);
}

static void root_may_issue_by_itself(void)
{
    struct ca *alone = NULL;
    CU_ASSERT_EQUAL_FATAL(ca_new(&alone, root_key, root_pem, root_pem, NULL), ERR_OK);
    struct tls_key *key = tls_key_new();
    char *csr = make_csr(key, &web);
    struct ca_issued issued = {0};
    CU_ASSERT_EQUAL(ca_issue_leaf(alone, &web, csr, strlen(csr), DAY_S, &issued, NULL), ERR_OK);
    struct cert_info infos[CERT_INFO_CHAIN_MAX];
    size_t count = 0;
    CU_ASSERT_EQUAL(
        cert_info_parse_chain(infos, &count, issued.chain_pem, strlen(issued.chain_pem), NULL),
        ERR_OK);
    CU_ASSERT_EQUAL(count, 2);
    ca_issued_deinit(&issued);
    free(csr);
    tls_key_unref(key);
    ca_unref(alone);
}

int main(int argc, char **argv)
{
    static const struct suite_case cases[] = {
        SUITE_CASE(root_and_issuer_are_proper_authorities),
        SUITE_CASE(issued_leaf_says_exactly_what_it_should),
        SUITE_CASE(issued_leaf_makes_a_working_connection),
        SUITE_CASE(lifetime_stays_inside_the_issuers),
        SUITE_CASE(csr_for_somebody_else_is_refused),
        SUITE_CASE(only_the_key_is_taken_from_a_csr),
        SUITE_CASE(csr_of_another_kind_of_key_is_refused),
        SUITE_CASE(csr_signed_with_another_key_is_refused),
        SUITE_CASE(damaged_csr_is_refused),
        SUITE_CASE(server_certificate_has_the_names_asked_for),
        SUITE_CASE(state_that_does_not_fit_together_is_refused),
        SUITE_CASE(root_may_issue_by_itself),
        SUITE_END,
    };
    clock_fake(1000, (int64_t)NOW_S * 1000);
    root_key = tls_key_new();
    issuer_key = tls_key_new();
    web = pki_id(PKI_A);
    if (ca_make_root(root_key, "root", &root_pem, NULL) != ERR_OK ||
        ca_make_issuer(root_key, root_pem, issuer_key, "issuer", &issuer_pem, NULL) != ERR_OK ||
        ca_new(&ca, issuer_key, issuer_pem, root_pem, NULL) != ERR_OK)
        return 2;
    int status = suite_main("tls/ca", cases, argc, argv);
    ca_unref(ca);
    free(root_pem);
    free(issuer_pem);
    tls_key_unref(root_key);
    tls_key_unref(issuer_key);
    return status;
}
