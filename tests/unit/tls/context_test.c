/* Keys, trust bundles and contexts: what is taken in, what is refused and why. */
#include "tls/context.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "pki.h"
#include "suite.h"
#include "tls/cert_info.h"

enum { NOW_S = 1790000000 };

static struct pki_ca *root, *issuer, *foreign;
static struct tls_bundle *bundle;
static const char *const alpn[] = {"istio", NULL};

static enum err_code open_context(const struct pki_identity *identity, const char *expected,
                                  struct err *err)
{
    struct tls_context *context = NULL;
    struct spiffe_id id;
    if (expected)
        id = pki_id(expected);
    enum err_code code =
        tls_context_new(&context, identity->key, identity->chain, strlen(identity->chain), bundle,
                        expected ? &id : NULL, alpn, err);
    CU_ASSERT_EQUAL(code == ERR_OK, context != NULL);
    tls_context_unref(context);
    return code;
}

static void context_tells_who_we_are(void)
{
    struct pki_identity identity = pki_identity(issuer, &(struct pki_leaf){.uris = {PKI_B}});
    struct tls_context *context = NULL;
    struct spiffe_id id = pki_id(PKI_B);
    CU_ASSERT_EQUAL_FATAL(tls_context_new(&context, identity.key, identity.chain,
                                          strlen(identity.chain), bundle, &id, alpn, NULL),
                          ERR_OK);
    const struct tls_identity_info *info = tls_context_identity(context);
    CU_ASSERT_TRUE(spiffe_equal(&info->id, &id));
    CU_ASSERT_EQUAL(info->not_before_s, NOW_S - 60);
    CU_ASSERT_EQUAL(info->not_after_s, NOW_S + 3600);
    CU_ASSERT_STRING_EQUAL(info->issuer, "CN=issuer");
    CU_ASSERT_EQUAL(strlen(info->serial), 32);
    struct cert_info parsed;
    CU_ASSERT_EQUAL(cert_info_parse(&parsed, identity.chain, strlen(identity.chain), NULL), ERR_OK);
    CU_ASSERT_STRING_EQUAL(parsed.serial, info->serial);
    CU_ASSERT_STRING_EQUAL(parsed.uri, PKI_B);
    CU_ASSERT_STRING_EQUAL(parsed.subject, "");
    CU_ASSERT_FALSE(parsed.is_ca);
    tls_context_unref(context);
    pki_identity_deinit(&identity);
}

static void own_certificate_is_checked_like_a_peers(void)
{
    static const struct {
        struct pki_leaf leaf;
        enum err_code code;
    } table[] = {
        {{.uris = {PKI_A, PKI_B}}, ERR_TLS_URI_SAN_COUNT},
        {{.uris = {"spiffe://other.test/ns/a/sa/b"}}, ERR_TLS_TRUST_DOMAIN},
        {{.from_s = -100, .to_s = -10}, ERR_TLS_EXPIRED},
        {{.from_s = 100}, ERR_TLS_NOT_YET_VALID},
        {{.eku = "serverAuth"}, ERR_TLS_EKU},
        {{.constraints = "critical,CA:TRUE"}, ERR_TLS_CA_LEAF},
        {{.uris = {PKI_B}}, ERR_TLS_ID_MISMATCH},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct pki_identity identity = pki_identity(issuer, &table[i].leaf);
        struct err err;
        CU_ASSERT_EQUAL(open_context(&identity, PKI_A, &err), table[i].code);
        CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "our own certificate"));
        pki_identity_deinit(&identity);
    }
    struct pki_identity identity = pki_identity(foreign, &(struct pki_leaf){0});
    CU_ASSERT_EQUAL(open_context(&identity, NULL, NULL), ERR_TLS_UNKNOWN_ROOT);
    pki_identity_deinit(&identity);
}

static void chain_of_another_key_is_refused(void)
{
    struct pki_identity one = pki_identity(issuer, &(struct pki_leaf){0});
    struct pki_identity two = pki_identity(issuer, &(struct pki_leaf){0});
    struct pki_identity mixed = {.key = one.key, .chain = two.chain};
    struct err err;
    CU_ASSERT_EQUAL(open_context(&one, PKI_A, NULL), ERR_OK);
    CU_ASSERT_EQUAL(open_context(&mixed, PKI_A, &err), ERR_TLS_KEY_MISMATCH);
    struct tls_context *server = NULL;
    CU_ASSERT_EQUAL(tls_context_new_server(&server, one.key, two.chain, strlen(two.chain), NULL),
                    ERR_TLS_KEY_MISMATCH);
    CU_ASSERT_PTR_NULL(server);
    pki_identity_deinit(&one);
    pki_identity_deinit(&two);
}

static void pem_cut_anywhere_is_refused_or_whole(void)
{
    struct pki_identity identity = pki_identity(issuer, &(struct pki_leaf){0});
    size_t len = strlen(identity.chain);
    struct cert_info infos[CERT_INFO_CHAIN_MAX];
    size_t accepted = 0, count;
    for (size_t cut = 0; cut < len; cut++) {
        char *copy = malloc(cut ? cut : 1);
        memcpy(copy, identity.chain, cut);
        if (cert_info_parse_chain(infos, &count, copy, cut, NULL) == ERR_OK)
            accepted++;
        free(copy);
    }
    /* Between the two certificates, and behind the last one without its line end. */
    CU_ASSERT_TRUE(accepted >= 2 && accepted <= 20);
    CU_ASSERT_EQUAL(cert_info_parse_chain(infos, &count, identity.chain, len, NULL), ERR_OK);
    CU_ASSERT_EQUAL(count, 2);
    CU_ASSERT_TRUE(infos[1].is_ca);
    pki_identity_deinit(&identity);
}

static void text_that_is_no_certificate_is_refused(void)
{
    struct cert_info info;
    struct err err;
    struct tls_bundle *made = NULL;
    char *key_pem = NULL;
    size_t key_len = 0;
    struct tls_key *key = tls_key_new();
    CU_ASSERT_EQUAL(tls_key_format_pem(key, &key_pem, &key_len, NULL), ERR_OK);
    CU_ASSERT_EQUAL(cert_info_parse(&info, "", 0, &err), ERR_TLS_BAD_CERTIFICATE);
    CU_ASSERT_EQUAL(cert_info_parse(&info, "hello", 5, &err), ERR_TLS_BAD_CERTIFICATE);
    CU_ASSERT_EQUAL(cert_info_parse(&info, key_pem, key_len, &err), ERR_TLS_BAD_CERTIFICATE);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "expected \"CERTIFICATE\""));
    CU_ASSERT_PTR_NULL(strstr(err.text, "MI")); /* nothing of what the key says */
    CU_ASSERT_EQUAL(tls_bundle_new(&made, PKI_DOMAIN, key_pem, key_len, &err),
                    ERR_TLS_BAD_CERTIFICATE);
    CU_ASSERT_PTR_NULL(made);
    free(key_pem);
    tls_key_unref(key);
}

static void key_survives_the_way_through_pem(void)
{
    struct tls_key *key = tls_key_new(), *back = NULL;
    char *pem = NULL;
    size_t len = 0;
    CU_ASSERT_EQUAL_FATAL(tls_key_format_pem(key, &pem, &len, NULL), ERR_OK);
    CU_ASSERT_EQUAL(strlen(pem), len);
    CU_ASSERT_TRUE(strncmp(pem, "-----BEGIN PRIVATE KEY-----", 27) == 0);
    CU_ASSERT_EQUAL_FATAL(tls_key_parse_pem(&back, pem, len, NULL), ERR_OK);
    char *chain = pki_chain(issuer, key, &(struct pki_leaf){0});
    struct pki_identity identity = {.key = back, .chain = chain};
    CU_ASSERT_EQUAL(open_context(&identity, PKI_A, NULL), ERR_OK);
    for (size_t cut = 0; cut < len - 2; cut++) {
        struct tls_key *none = NULL;
        CU_ASSERT_NOT_EQUAL(tls_key_parse_pem(&none, pem, cut, NULL), ERR_OK);
        CU_ASSERT_PTR_NULL(none);
    }
    free(chain);
    free(pem);
    tls_key_unref(key);
    tls_key_unref(back);
}

static void encrypted_key_is_refused_without_asking(void)
{
    static const char pem[] =
        "-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: "
        "AES-128-CBC,00112233445566778899AABBCCDDEEFF\n\nAAAAAAAAAAAAAAAAAAAAAA==\n"
        "-----END EC PRIVATE KEY-----\n";
    struct tls_key *key = NULL;
    CU_ASSERT_EQUAL(tls_key_parse_pem(&key, pem, sizeof pem - 1, NULL), ERR_INVALID);
    CU_ASSERT_PTR_NULL(key);
}

static void bundle_digest_depends_on_content_alone(void)
{
    char both[16384], swapped[16384];
    snprintf(both, sizeof both, "%s%s", root->pem, foreign->pem);
    snprintf(swapped, sizeof swapped, "comment\n%s\n\n%s%s", foreign->pem, root->pem, root->pem);
    struct tls_bundle *a = NULL, *b = NULL, *c = pki_bundle("other.test", root);
    CU_ASSERT_EQUAL(tls_bundle_new(&a, PKI_DOMAIN, both, strlen(both), NULL), ERR_OK);
    CU_ASSERT_EQUAL(tls_bundle_new(&b, PKI_DOMAIN, swapped, strlen(swapped), NULL), ERR_OK);
    CU_ASSERT_EQUAL(tls_bundle_count(a), 2);
    CU_ASSERT_EQUAL(tls_bundle_count(b), 2);
    CU_ASSERT_TRUE(memcmp(tls_bundle_digest(a), tls_bundle_digest(b), 32) == 0);
    CU_ASSERT_FALSE(memcmp(tls_bundle_digest(bundle), tls_bundle_digest(a), 32) == 0);
    CU_ASSERT_FALSE(memcmp(tls_bundle_digest(bundle), tls_bundle_digest(c), 32) == 0);
    CU_ASSERT_EQUAL(tls_bundle_add(c, PKI_DOMAIN, root->pem, strlen(root->pem), NULL), ERR_OK);
    struct tls_bundle *d = pki_bundle(PKI_DOMAIN, root);
    CU_ASSERT_EQUAL(tls_bundle_add(d, "other.test", root->pem, strlen(root->pem), NULL), ERR_OK);
    CU_ASSERT_TRUE(memcmp(tls_bundle_digest(c), tls_bundle_digest(d), 32) == 0);
    tls_bundle_unref(a);
    tls_bundle_unref(b);
    tls_bundle_unref(c);
    tls_bundle_unref(d);
}

static void root_of_one_domain_does_not_vouch_for_another(void)
{
    struct tls_bundle *two = pki_bundle(PKI_DOMAIN, root);
    CU_ASSERT_EQUAL(tls_bundle_add(two, "other.test", foreign->pem, strlen(foreign->pem), NULL),
                    ERR_OK);
    struct pki_leaf leaf = {.uris = {"spiffe://other.test/ns/a/sa/b"}};
    struct pki_identity stolen = pki_identity(issuer, &leaf), own = pki_identity(foreign, &leaf);
    struct tls_context *context = NULL;
    CU_ASSERT_EQUAL(tls_context_new(&context, stolen.key, stolen.chain, strlen(stolen.chain), two,
                                    NULL, alpn, NULL),
                    ERR_TLS_UNKNOWN_ROOT);
    CU_ASSERT_EQUAL(
        tls_context_new(&context, own.key, own.chain, strlen(own.chain), two, NULL, alpn, NULL),
        ERR_OK);
    tls_context_unref(context);
    tls_bundle_unref(two);
    pki_identity_deinit(&stolen);
    pki_identity_deinit(&own);
}

static void another_bundle_leaves_the_identity_alone(void)
{
    struct err err;
    struct pki_identity identity = pki_identity(issuer, &(struct pki_leaf){0});
    struct tls_context *context = NULL;
    CU_ASSERT_EQUAL_FATAL(tls_context_new(&context, identity.key, identity.chain,
                                          strlen(identity.chain), bundle, NULL, alpn, NULL),
                          ERR_OK);
    struct tls_bundle *other = pki_bundle(PKI_DOMAIN, foreign);
    struct tls_context *outdated = tls_context_with_bundle(context, other);
    struct tls_context *back = tls_context_with_bundle(outdated, bundle);
    CU_ASSERT_EQUAL(tls_context_check(context, &err), ERR_OK);
    CU_ASSERT_EQUAL(tls_context_check(outdated, &err), ERR_TLS_UNKNOWN_ROOT);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "our own certificate"));
    CU_ASSERT_EQUAL(tls_context_check(back, &err), ERR_OK);
    CU_ASSERT_STRING_EQUAL(tls_context_identity(back)->serial,
                           tls_context_identity(context)->serial);
    clock_fake(1000, (int64_t)(NOW_S + 3601) * 1000);
    CU_ASSERT_EQUAL(tls_context_check(back, &err), ERR_TLS_EXPIRED);
    clock_fake(1000, (int64_t)NOW_S * 1000);
    tls_context_unref(context);
    tls_context_unref(outdated);
    tls_context_unref(back);
    tls_bundle_unref(other);
    pki_identity_deinit(&identity);
}

static void bundle_refuses_what_is_no_root(void)
{
    struct pki_identity leaf = pki_identity(root, &(struct pki_leaf){0});
    struct tls_bundle *made = NULL;
    struct err err;
    CU_ASSERT_EQUAL(tls_bundle_new(&made, PKI_DOMAIN, leaf.chain, strlen(leaf.chain), &err),
                    ERR_TLS_BAD_CERTIFICATE);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "cA false"));
    static const char *const domains[] = {"", "Mesh", "a/b", "a b", "m:1"};
    for (size_t i = 0; i < sizeof domains / sizeof domains[0]; i++)
        CU_ASSERT_EQUAL(tls_bundle_new(&made, domains[i], root->pem, strlen(root->pem), NULL),
                        ERR_TLS_TRUST_DOMAIN);
    char *large = calloc(1, TLS_BUNDLE_PEM_MAX + 1);
    CU_ASSERT_EQUAL(tls_bundle_new(&made, PKI_DOMAIN, large, TLS_BUNDLE_PEM_MAX + 1, NULL),
                    ERR_TOO_LARGE);
    CU_ASSERT_PTR_NULL(made);
    free(large);
    pki_identity_deinit(&leaf);
}

/* A bundle may hold an intermediate as its anchor, and a peer may send the root along. */
static void anchor_need_not_be_self_signed(void)
{
    struct tls_bundle *anchor = pki_bundle(PKI_DOMAIN, issuer);
    struct pki_identity identity = pki_identity(issuer, &(struct pki_leaf){0});
    struct tls_context *context = NULL;
    CU_ASSERT_EQUAL(tls_context_new(&context, identity.key, identity.chain, strlen(identity.chain),
                                    anchor, NULL, alpn, NULL),
                    ERR_OK);
    tls_context_unref(context);
    char with_root[16384];
    snprintf(with_root, sizeof with_root, "%s%s", identity.chain, root->pem);
    struct pki_identity whole = {.key = identity.key, .chain = with_root};
    CU_ASSERT_EQUAL(open_context(&whole, PKI_A, NULL), ERR_OK);
    tls_bundle_unref(anchor);
    pki_identity_deinit(&identity);
}

static void chain_over_its_ceiling_is_refused(void)
{
    struct pki_identity identity = pki_identity(issuer, &(struct pki_leaf){0});
    char *large = calloc(1, TLS_CHAIN_PEM_MAX + 1);
    struct tls_context *context = NULL;
    memset(large, '\n', TLS_CHAIN_PEM_MAX);
    memcpy(large, identity.chain, strlen(identity.chain));
    CU_ASSERT_EQUAL(tls_context_new(&context, identity.key, large, TLS_CHAIN_PEM_MAX + 1, bundle,
                                    NULL, alpn, NULL),
                    ERR_TOO_LARGE);
    size_t len = 0;
    for (int i = 0; i < 11; i++) {
        memcpy(large + len, identity.chain, strlen(identity.chain));
        len += strlen(identity.chain);
    }
    CU_ASSERT_EQUAL(tls_context_new(&context, identity.key, large, len, bundle, NULL, alpn, NULL),
                    ERR_TOO_LARGE);
    free(large);
    pki_identity_deinit(&identity);
}

int main(int argc, char **argv)
{
    static const struct suite_case cases[] = {
        SUITE_CASE(context_tells_who_we_are),
        SUITE_CASE(own_certificate_is_checked_like_a_peers),
        SUITE_CASE(chain_of_another_key_is_refused),
        SUITE_CASE(pem_cut_anywhere_is_refused_or_whole),
        SUITE_CASE(text_that_is_no_certificate_is_refused),
        SUITE_CASE(key_survives_the_way_through_pem),
        SUITE_CASE(encrypted_key_is_refused_without_asking),
        SUITE_CASE(bundle_digest_depends_on_content_alone),
        SUITE_CASE(root_of_one_domain_does_not_vouch_for_another),
        SUITE_CASE(another_bundle_leaves_the_identity_alone),
        SUITE_CASE(bundle_refuses_what_is_no_root),
        SUITE_CASE(anchor_need_not_be_self_signed),
        SUITE_CASE(chain_over_its_ceiling_is_refused),
        SUITE_END,
    };
    clock_fake(1000, (int64_t)NOW_S * 1000);
    root = pki_ca_new("root", PKI_P256, NULL, NULL);
    issuer = pki_ca_new("issuer", PKI_P256, root, NULL);
    foreign = pki_ca_new("foreign", PKI_P256, NULL, NULL);
    bundle = pki_bundle(PKI_DOMAIN, root);
    int status = suite_main("tls/context", cases, argc, argv);
    tls_bundle_unref(bundle);
    pki_ca_free(foreign);
    pki_ca_free(issuer);
    pki_ca_free(root);
    return status;
}
