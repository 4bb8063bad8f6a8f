#include "tls/bundle.h"

#include <openssl/err.h>
#include <openssl/sha.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/ref.h"
#include "tls/certificate.h"
#include "tls/pem.h"
#include "tls/spiffe.h"

enum { DOMAINS_MAX = 64, ROOTS_MAX = 256, DOMAIN_TEXT_MAX = 256 };

struct domain {
    char name[DOMAIN_TEXT_MAX];
    X509_STORE *store;
    uint8_t (*digests)[SHA256_DIGEST_LENGTH]; /* of its roots, sorted */
    size_t count;
};

struct tls_bundle {
    struct ref ref;
    struct domain *domains; /* sorted by name, so that order of arrival does not matter */
    size_t domain_count;
    size_t root_count;
    X509_STORE *any;
    uint8_t digest[SHA256_DIGEST_LENGTH];
};

/* Names and roots are both of a known length or null-terminated, so no two bundles hash the same
 * bytes. */
static void update_digest(struct tls_bundle *bundle)
{
    SHA256_CTX hash;
    SHA256_Init(&hash);
    for (size_t i = 0; i < bundle->domain_count; i++) {
        const struct domain *domain = &bundle->domains[i];
        uint64_t count = domain->count;
        SHA256_Update(&hash, domain->name, strlen(domain->name) + 1);
        SHA256_Update(&hash, &count, sizeof count);
        SHA256_Update(&hash, domain->digests, domain->count * sizeof domain->digests[0]);
    }
    SHA256_Final(bundle->digest, &hash);
}

static int compare_digests(const void *a, const void *b)
{
    return memcmp(a, b, SHA256_DIGEST_LENGTH);
}

static int compare_domains(const void *a, const void *b)
{
    return strcmp(((const struct domain *)a)->name, ((const struct domain *)b)->name);
}

/* What a root must be; it need not be self-signed (RFC 5280 section 6.1.1 d: an anchor is a name
 * and a key). */
static enum err_code check_root(X509 *root, const char *trust_domain, struct err *err)
{
    char subject[CERTIFICATE_NAME_MAX];
    uint32_t flags = X509_get_extension_flags(root);
    if ((flags & EXFLAG_INVALID) || !(flags & EXFLAG_CA))
        return err_set(err, ERR_TLS_BAD_CERTIFICATE,
                       "root \"%s\" of trust domain %s %s, expected a CA certificate",
                       certificate_subject(root, subject), trust_domain,
                       (flags & EXFLAG_INVALID) ? "has a damaged extension" : "has cA false");
    if (!(X509_get_key_usage(root) & KU_KEY_CERT_SIGN))
        return err_set(err, ERR_TLS_BAD_CERTIFICATE,
                       "root \"%s\" of trust domain %s may not sign certificates, expected key "
                       "usage keyCertSign",
                       certificate_subject(root, subject), trust_domain);
    return ERR_OK;
}

/* Adds a root that is not there yet. */
static bool add_root(struct tls_bundle *bundle, struct domain *domain, X509 *root)
{
    uint8_t digest[SHA256_DIGEST_LENGTH];
    if (!X509_digest(root, EVP_sha256(), digest, NULL))
        return false;
    for (size_t i = 0; i < domain->count; i++)
        if (memcmp(domain->digests[i], digest, sizeof digest) == 0)
            return true;
    void *grown = realloc(domain->digests, (domain->count + 1) * sizeof digest);
    if (!grown)
        return false;
    domain->digests = grown;
    memcpy(domain->digests[domain->count++], digest, sizeof digest);
    bundle->root_count++;
    bool added = X509_STORE_add_cert(domain->store, root) == 1;
    /* A root that two domains share is in here already, which old versions call an error. */
    X509_STORE_add_cert(bundle->any, root);
    ERR_clear_error();
    return added;
}

static struct domain *find_domain(const struct tls_bundle *bundle, const char *name, size_t len)
{
    for (size_t i = 0; i < bundle->domain_count; i++)
        if (strlen(bundle->domains[i].name) == len &&
            memcmp(bundle->domains[i].name, name, len) == 0)
            return &bundle->domains[i];
    return NULL;
}

static struct domain *get_domain(struct tls_bundle *bundle, const char *name)
{
    struct domain *found = find_domain(bundle, name, strlen(name));
    if (found)
        return found;
    struct domain *grown =
        realloc(bundle->domains, (bundle->domain_count + 1) * sizeof bundle->domains[0]);
    X509_STORE *store = X509_STORE_new();
    if (grown)
        bundle->domains = grown;
    if (!grown || !store) {
        X509_STORE_free(store);
        return NULL;
    }
    found = &grown[bundle->domain_count++];
    *found = (struct domain){.store = store};
    snprintf(found->name, sizeof found->name, "%s", name);
    return found;
}

static enum err_code add_roots(struct tls_bundle *bundle, const char *trust_domain,
                               STACK_OF(X509) * roots, struct err *err)
{
    for (size_t i = 0; i < sk_X509_num(roots); i++) {
        enum err_code code = check_root(sk_X509_value(roots, i), trust_domain, err);
        if (code != ERR_OK)
            return code;
    }
    struct domain *domain = get_domain(bundle, trust_domain);
    bool added = domain != NULL;
    for (size_t i = 0; i < sk_X509_num(roots) && added; i++)
        added = add_root(bundle, domain, sk_X509_value(roots, i));
    if (!added)
        return err_set(err, ERR_NO_MEMORY, "no memory for a trust bundle");
    qsort(domain->digests, domain->count, sizeof domain->digests[0], compare_digests);
    qsort(bundle->domains, bundle->domain_count, sizeof bundle->domains[0], compare_domains);
    update_digest(bundle);
    return ERR_OK;
}

enum err_code tls_bundle_add(struct tls_bundle *bundle, const char *trust_domain, const char *pem,
                             size_t len, struct err *err)
{
    struct spiffe_id id;
    char uri[DOMAIN_TEXT_MAX + 16];
    int uri_len = snprintf(uri, sizeof uri, "spiffe://%s", trust_domain);
    if (uri_len >= (int)sizeof uri || !spiffe_parse(&id, uri, (size_t)uri_len) ||
        id.domain_len != strlen(trust_domain))
        return err_set(err, ERR_TLS_TRUST_DOMAIN,
                       "\"%.100s\" is not a trust domain, expected 1 to 255 of a-z 0-9 . - _",
                       trust_domain);
    if (len > TLS_BUNDLE_PEM_MAX || bundle->domain_count >= DOMAINS_MAX)
        return err_set(err, ERR_TOO_LARGE,
                       "trust bundle of %zu bytes in %zu domains, expected at most %d in %d", len,
                       bundle->domain_count, TLS_BUNDLE_PEM_MAX, DOMAINS_MAX);
    STACK_OF(X509) *roots = NULL;
    enum err_code code = pem_read_certificates(&roots, pem, len, ROOTS_MAX, err);
    if (code == ERR_OK)
        code = add_roots(bundle, trust_domain, roots, err);
    else
        err_wrap(err, "trust bundle of %s", trust_domain);
    sk_X509_pop_free(roots, X509_free);
    return code;
}

enum err_code tls_bundle_new(struct tls_bundle **out, const char *trust_domain, const char *pem,
                             size_t len, struct err *err)
{
    *out = NULL;
    struct tls_bundle *bundle = calloc(1, sizeof *bundle);
    X509_STORE *any = X509_STORE_new();
    if (!bundle || !any) {
        free(bundle);
        X509_STORE_free(any);
        return err_set(err, ERR_NO_MEMORY, "no memory for a trust bundle");
    }
    ref_init(&bundle->ref);
    bundle->any = any;
    enum err_code code = tls_bundle_add(bundle, trust_domain, pem, len, err);
    if (code == ERR_OK)
        *out = bundle;
    else
        tls_bundle_unref(bundle);
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
    for (size_t i = 0; i < bundle->domain_count; i++) {
        X509_STORE_free(bundle->domains[i].store);
        free(bundle->domains[i].digests);
    }
    X509_STORE_free(bundle->any);
    free(bundle->domains);
    free(bundle);
}

const uint8_t *tls_bundle_digest(const struct tls_bundle *bundle)
{
    return bundle->digest;
}

size_t tls_bundle_count(const struct tls_bundle *bundle)
{
    return bundle->root_count;
}

X509_STORE *bundle_store(const struct tls_bundle *bundle, const char *domain, size_t domain_len)
{
    const struct domain *found = find_domain(bundle, domain, domain_len);
    return found ? found->store : NULL;
}

X509_STORE *bundle_store_any(const struct tls_bundle *bundle)
{
    return bundle->any;
}

const char *bundle_domains(const struct tls_bundle *bundle, char *text, size_t size)
{
    size_t used = 0;
    text[0] = 0;
    for (size_t i = 0; i < bundle->domain_count && used < size; i++)
        used += (size_t)snprintf(text + used, size - used, "%s%s", i ? ", " : "",
                                 bundle->domains[i].name);
    return text;
}
