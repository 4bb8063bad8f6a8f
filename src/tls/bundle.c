#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/mem.h>
#include <openssl/pem.h>
#include <openssl/sha.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

#include "tls/impl.h"

enum err_code tls_chain_parse(const char *pem, size_t len, size_t max, STACK_OF(X509) * *out,
                              struct err *err)
{
    BIO *bio = BIO_new_mem_buf(pem, (int)len);
    STACK_OF(X509) *chain = sk_X509_new_null();
    X509 *one = NULL;
    enum err_code code = ERR_OK;
    if (!bio || !chain)
        code = err_set(err, ERR_NO_MEMORY, "no memory for certificates");
    while (code == ERR_OK && (one = PEM_read_bio_X509(bio, NULL, NULL, NULL))) {
        if (sk_X509_num(chain) == max)
            code = err_set(err, ERR_TOO_LARGE, "more than %zu certificates", max);
        else if (sk_X509_push(chain, one))
            continue;
        else
            code = err_set(err, ERR_NO_MEMORY, "no memory for certificates");
        X509_free(one);
    }
    uint32_t last = ERR_peek_last_error();
    bool at_end = ERR_GET_LIB(last) == ERR_LIB_PEM && ERR_GET_REASON(last) == PEM_R_NO_START_LINE;
    if (code == ERR_OK && (!at_end || sk_X509_num(chain) == 0)) {
        char what[80];
        snprintf(what, sizeof what, "certificate %zu of the PEM text cannot be parsed",
                 sk_X509_num(chain) + 1);
        code = tls_fail(err, ERR_TLS_BAD_CERTIFICATE, what);
    }
    ERR_clear_error();
    BIO_free(bio);
    if (code != ERR_OK)
        sk_X509_pop_free(chain, X509_free);
    else
        *out = chain;
    return code;
}

X509_STORE *tls_bundle_store(const struct tls_bundle *bundle, const char *domain, size_t len)
{
    for (size_t i = 0; i < bundle->domains; i++) {
        if (strlen(bundle->domain[i].name) == len &&
            memcmp(bundle->domain[i].name, domain, len) == 0)
            return bundle->domain[i].store;
    }
    return NULL;
}

static X509_STORE *domain_store(struct tls_bundle *bundle, const char *domain, struct err *err)
{
    X509_STORE *store = tls_bundle_store(bundle, domain, strlen(domain));
    if (store)
        return store;
    if (bundle->domains == TLS_DOMAINS_MAX || strlen(domain) >= sizeof bundle->domain[0].name) {
        err_set(err, ERR_TOO_LARGE, "more than %d trust domains, or a name over 255 bytes",
                TLS_DOMAINS_MAX);
        return NULL;
    }
    store = X509_STORE_new();
    if (!store) {
        err_set(err, ERR_NO_MEMORY, "no memory for a trust bundle");
        return NULL;
    }
    snprintf(bundle->domain[bundle->domains].name, sizeof bundle->domain[0].name, "%s", domain);
    bundle->domain[bundle->domains++].store = store;
    return store;
}

/* The digest runs over "domain\0certificate" of every root in the order of arrival. */
static void digest_root(struct tls_bundle *bundle, const char *domain, X509 *root)
{
    uint8_t one[32];
    unsigned len;
    SHA256_CTX sha;
    X509_digest(root, EVP_sha256(), one, &len);
    SHA256_Init(&sha);
    SHA256_Update(&sha, bundle->digest, sizeof bundle->digest);
    SHA256_Update(&sha, domain, strlen(domain) + 1);
    SHA256_Update(&sha, one, sizeof one);
    SHA256_Final(bundle->digest, &sha);
}

enum err_code tls_bundle_add(struct tls_bundle *bundle, const char *trust_domain, const char *pem,
                             size_t len, struct err *err)
{
    STACK_OF(X509) * roots;
    if (len > TLS_BUNDLE_PEM_MAX)
        return err_set(err, ERR_TOO_LARGE, "a trust bundle of %zu bytes", len);
    enum err_code code = tls_chain_parse(pem, len, TLS_ROOTS_MAX, &roots, err);
    if (code != ERR_OK)
        return err_wrap(err, "trust bundle of %s", trust_domain);
    X509_STORE *store = domain_store(bundle, trust_domain, err);
    code = store ? ERR_OK : ERR_TOO_LARGE;
    for (size_t i = 0; code == ERR_OK && i < sk_X509_num(roots); i++) {
        X509 *root = sk_X509_value(roots, i);
        if (!X509_check_ca(root))
            code = err_set(err, ERR_TLS_BAD_CERTIFICATE,
                           "trust bundle of %s: certificate %zu is not a CA certificate",
                           trust_domain, i + 1);
        else if (!X509_STORE_add_cert(store, root))
            code = tls_fail(err, ERR_NO_MEMORY, "a root cannot be kept");
        else
            digest_root(bundle, trust_domain, root);
        bundle->roots++;
    }
    sk_X509_pop_free(roots, X509_free);
    return code;
}

enum err_code tls_bundle_new(struct tls_bundle **out, const char *trust_domain, const char *pem,
                             size_t len, struct err *err)
{
    struct tls_bundle *bundle = calloc(1, sizeof *bundle);
    if (!bundle)
        return err_set(err, ERR_NO_MEMORY, "no memory for a trust bundle");
    ref_init(&bundle->ref);
    enum err_code code = tls_bundle_add(bundle, trust_domain, pem, len, err);
    if (code != ERR_OK)
        tls_bundle_unref(bundle);
    else
        *out = bundle;
    return code;
}

struct tls_bundle *tls_bundle_ref(struct tls_bundle *bundle)
{
    ref_get(&bundle->ref);
    return bundle;
}

void tls_bundle_unref(struct tls_bundle *bundle)
{
    if (!bundle || !ref_put(&bundle->ref))
        return;
    for (size_t i = 0; i < bundle->domains; i++)
        X509_STORE_free(bundle->domain[i].store);
    free(bundle);
}

const uint8_t *tls_bundle_digest(const struct tls_bundle *bundle)
{
    return bundle->digest;
}

size_t tls_bundle_count(const struct tls_bundle *bundle)
{
    return bundle->roots;
}
