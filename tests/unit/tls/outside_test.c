/* Servers outside the mesh: known by name or address, with certificates and keys of other people's
 * making, and our client certificate for them. */
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "pair.h"
#include "pki.h"
#include "suite.h"
#include "tls/conn_impl.h"

enum { NOW_S = 1790000000 };

static struct pki_ca *root, *rsa_root, *foreign;

/* One handshake; the code with which the client ended and its sentence. */
static enum err_code call(struct tls_context *client, struct tls_context *server, const char *name,
                          struct err *err)
{
    struct pair pair;
    pair_init(&pair, tls_conn_new_client_outside(client, name), tls_conn_new_server(server));
    bool good = pair_handshake(&pair, 0);
    *err = pair.end[CLIENT].err;
    enum err_code code = good ? ERR_OK : err->code;
    pair_deinit(&pair);
    return code;
}

static struct tls_context *trusting(const struct pki_ca *ca)
{
    struct tls_bundle *bundle = pki_bundle(PKI_DOMAIN, ca);
    struct tls_context *context = NULL;
    CU_ASSERT_EQUAL_FATAL(tls_context_new_outside(&context, bundle, NULL, NULL, NULL), ERR_OK);
    tls_bundle_unref(bundle);
    return context;
}

static void server_is_known_by_its_name_or_its_address(void)
{
    static const struct pki_leaf leaf = {.no_uri = true,
                                         .dns = {"kubernetes.default.svc", "*.api.example"},
                                         .ips = {"10.96.0.1", "fd00::1"},
                                         .eku = "serverAuth"};
    static const struct {
        const char *name;
        bool good;
    } table[] = {
        {"kubernetes.default.svc", true},
        {"Kubernetes.Default.SVC", true},
        {"kubernetes.default", false},
        {"kubernetes.default.svc.", false},
        {"10.96.0.1", true},
        {"::ffff:10.96.0.1", true},
        {"10.96.0.2", false},
        {"fd00::1", true},
        {"fd00:0:0:0:0:0:0:1", true},
        {"fd00::2", false},
        {"one.api.example", true},
        {"ONE.API.EXAMPLE", true},
        {"a.one.api.example", false},
        {"api.example", false},
        {".api.example", false},
        {"*.api.example", true}, /* it is what the certificate says, letter for letter */
    };
    struct tls_context *client = trusting(root),
                       *server = pki_outside_server(root, PKI_P256, &leaf);
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct err err = {0};
        enum err_code code = call(client, server, table[i].name, &err);
        if (code != (table[i].good ? ERR_OK : ERR_TLS_NAME))
            fprintf(stderr, "\n%s: %s\n", table[i].name, err.text);
        CU_ASSERT_EQUAL(code, table[i].good ? ERR_OK : ERR_TLS_NAME);
    }
    struct err err = {0};
    CU_ASSERT_EQUAL(call(client, server, "10.96.0.2", &err), ERR_TLS_NAME);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "is for kubernetes.default.svc, *.api.example, "
                                            "10.96.0.1, fd00::1, expected 10.96.0.2"));
    tls_context_unref(client);
    tls_context_unref(server);
}

/* RFC 9525 section 6.3: not in the middle of a label, not for a whole top-level domain, and an
 * address written as a DNS name is none. */
static void careless_certificates_name_nobody(void)
{
    static const struct {
        struct pki_leaf leaf;
        const char *name;
    } table[] = {
        {{.no_uri = true, .dns = {"*.example"}}, "one.example"},
        {{.no_uri = true, .dns = {"*"}}, "one"},
        {{.no_uri = true, .dns = {"o*.api.example"}}, "one.api.example"},
        {{.no_uri = true, .dns = {"one.*.example"}}, "one.api.example"},
        {{.no_uri = true, .dns = {"10.96.0.1"}}, "10.96.0.1"},
        {{.no_uri = true, .dns = {"*.96.0.1"}}, "10.96.0.1"},
        {{.no_uri = true}, "one.api.example"},
        {{.uris = {"https://one.api.example"}}, "one.api.example"},
    };
    struct tls_context *client = trusting(root);
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct tls_context *server = pki_outside_server(root, PKI_P256, &table[i].leaf);
        struct err err = {0};
        CU_ASSERT_EQUAL(call(client, server, table[i].name, &err), ERR_TLS_NAME);
        tls_context_unref(server);
    }
    tls_context_unref(client);
}

/* What is right for the outside is not for the control plane: its name is exact. */
static void control_plane_is_not_known_by_address_or_wildcard(void)
{
    static const struct pki_leaf leaf = {
        .no_uri = true, .dns = {"*.mesh.example"}, .ips = {"10.0.0.1"}};
    struct tls_context *client = trusting(root),
                       *server = pki_outside_server(root, PKI_P256, &leaf);
    static const char *const names[] = {"control.mesh.example", "10.0.0.1"};
    for (size_t i = 0; i < 2; i++) {
        struct pair pair;
        pair_init(&pair, tls_conn_new_client_dns(client, names[i]), tls_conn_new_server(server));
        CU_ASSERT_FALSE(pair_handshake(&pair, 0));
        CU_ASSERT_EQUAL(pair.end[CLIENT].err.code, ERR_TLS_NAME);
        pair_deinit(&pair);
    }
    tls_context_unref(client);
    tls_context_unref(server);
}

static void name_is_sent_and_an_address_is_not(void)
{
    static const struct pki_leaf leaf = {
        .no_uri = true, .dns = {"api.example"}, .ips = {"10.96.0.1"}};
    struct tls_context *client = trusting(root),
                       *server = pki_outside_server(root, PKI_P256, &leaf);
    static const char *const names[] = {"api.example", "10.96.0.1"};
    for (size_t i = 0; i < 2; i++) {
        struct pair pair;
        pair_init(&pair, tls_conn_new_client_outside(client, names[i]),
                  tls_conn_new_server(server));
        CU_ASSERT_TRUE(pair_handshake(&pair, 0));
        const char *sent =
            SSL_get_servername(pair.end[SERVER].conn->ssl, TLSEXT_NAMETYPE_host_name);
        CU_ASSERT_EQUAL(sent == NULL, i == 1);
        pair_deinit(&pair);
    }
    tls_context_unref(client);
    tls_context_unref(server);
}

static void every_usual_kind_of_key_verifies(void)
{
    static const struct pki_leaf leaf = {.no_uri = true, .dns = {"api.example"}};
    static const enum pki_kind kinds[] = {PKI_P256, PKI_RSA, PKI_P384};
    const struct pki_ca *const cas[] = {root, rsa_root};
    for (size_t i = 0; i < 2; i++) {
        struct tls_context *client = trusting(cas[i]);
        for (size_t j = 0; j < 3; j++) {
            struct tls_context *server = pki_outside_server(cas[i], kinds[j], &leaf);
            struct err err = {0};
            CU_ASSERT_EQUAL(call(client, server, "api.example", &err), ERR_OK);
            tls_context_unref(server);
        }
        tls_context_unref(client);
    }
}

static void server_is_refused_like_any_other(void)
{
    static const struct {
        struct pki_leaf leaf;
        enum err_code code;
    } table[] = {
        {{.no_uri = true, .dns = {"api.example"}, .from_s = -100, .to_s = -10}, ERR_TLS_EXPIRED},
        {{.no_uri = true, .dns = {"api.example"}, .eku = "clientAuth"}, ERR_TLS_EKU},
        {{.no_uri = true, .dns = {"api.example"}, .damage = true}, ERR_TLS_SIGNATURE},
        {{.no_uri = true, .dns = {"api.example"}, .constraints = "critical,CA:TRUE"},
         ERR_TLS_CA_LEAF},
    };
    struct tls_context *client = trusting(root), *stranger = trusting(foreign);
    struct err err = {0};
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct tls_context *server = pki_outside_server(root, PKI_P256, &table[i].leaf);
        CU_ASSERT_EQUAL(call(client, server, "api.example", &err), table[i].code);
        tls_context_unref(server);
    }
    struct tls_context *server = pki_outside_server(
        root, PKI_P256, &(struct pki_leaf){.no_uri = true, .dns = {"api.example"}});
    CU_ASSERT_EQUAL(call(stranger, server, "api.example", &err), ERR_TLS_UNKNOWN_ROOT);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "no root of those given for this server"));
    tls_context_unref(server);
    tls_context_unref(client);
    tls_context_unref(stranger);
}

static void client_certificate_of_every_usual_kind_is_shown(void)
{
    static const enum pki_kind kinds[] = {PKI_P256, PKI_RSA, PKI_P384};
    struct tls_bundle *bundle = pki_bundle(PKI_DOMAIN, root);
    struct tls_context *server = pki_outside_server(
        root, PKI_P256, &(struct pki_leaf){.no_uri = true, .dns = {"api.example"}});
    for (size_t i = 0; i < 3; i++) {
        EVP_PKEY *key = pki_key(kinds[i]);
        char *chain = pki_chain_for(foreign, key, &(struct pki_leaf){.eku = "clientAuth"});
        char *pem = pki_key_pem(key);
        struct tls_context *client = NULL;
        struct err err = {0};
        CU_ASSERT_EQUAL_FATAL(tls_context_new_outside(&client, bundle, chain, pem, &err), ERR_OK);
        struct pair pair;
        pair_init(&pair, tls_conn_new_client_outside(client, "api.example"),
                  tls_conn_new_server(server));
        CU_ASSERT_TRUE(pair_handshake(&pair, 0));
        const STACK_OF(CRYPTO_BUFFER) *shown =
            SSL_get0_peer_certificates(pair.end[SERVER].conn->ssl);
        CU_ASSERT_EQUAL(shown ? sk_CRYPTO_BUFFER_num(shown) : 0, 1);
        pair_deinit(&pair);
        tls_context_unref(client);
        free(chain);
        free(pem);
        EVP_PKEY_free(key);
    }
    tls_context_unref(server);
    tls_bundle_unref(bundle);
}

static void client_certificate_must_belong_to_its_key(void)
{
    struct tls_bundle *bundle = pki_bundle(PKI_DOMAIN, root);
    EVP_PKEY *one = pki_key(PKI_RSA), *two = pki_key(PKI_RSA);
    char *chain = pki_chain_for(root, one, &(struct pki_leaf){0});
    char *wrong = pki_key_pem(two);
    struct tls_context *client = NULL;
    struct err err = {0};
    CU_ASSERT_EQUAL(tls_context_new_outside(&client, bundle, chain, wrong, &err),
                    ERR_TLS_KEY_MISMATCH);
    CU_ASSERT_PTR_NULL(client);
    CU_ASSERT_EQUAL(tls_context_new_outside(&client, bundle, "none", wrong, &err),
                    ERR_TLS_BAD_CERTIFICATE);
    CU_ASSERT_EQUAL(tls_context_new_outside(&client, bundle, chain, "none", &err), ERR_INVALID);
    CU_ASSERT_PTR_NULL(client);
    free(chain);
    free(wrong);
    EVP_PKEY_free(one);
    EVP_PKEY_free(two);
    tls_bundle_unref(bundle);
}

int main(int argc, char **argv)
{
    static const struct suite_case cases[] = {
        SUITE_CASE(server_is_known_by_its_name_or_its_address),
        SUITE_CASE(careless_certificates_name_nobody),
        SUITE_CASE(control_plane_is_not_known_by_address_or_wildcard),
        SUITE_CASE(name_is_sent_and_an_address_is_not),
        SUITE_CASE(every_usual_kind_of_key_verifies),
        SUITE_CASE(server_is_refused_like_any_other),
        SUITE_CASE(client_certificate_of_every_usual_kind_is_shown),
        SUITE_CASE(client_certificate_must_belong_to_its_key),
        SUITE_END,
    };
    clock_fake(1000, (int64_t)NOW_S * 1000);
    root = pki_ca_new("root", PKI_P256, NULL, NULL);
    rsa_root = pki_ca_new("rsa root", PKI_RSA, NULL, NULL);
    foreign = pki_ca_new("foreign", PKI_P256, NULL, NULL);
    int status = suite_main("tls/outside", cases, argc, argv);
    pki_ca_free(foreign);
    pki_ca_free(rsa_root);
    pki_ca_free(root);
    return status;
}
