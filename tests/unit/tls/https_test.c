/* Plain HTTPS: the webhook's side, and the side of a probe that believes anybody. The other end is
 * BoringSSL as somebody else would use it. */
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>

#include "pki.h"
#include "suite.h"
#include "tls/conn.h"

static struct pki_ca *root;
static struct pki_identity identity;

static void open_all(void)
{
    struct pki_leaf leaf = {.no_uri = true, .dns = {"hook.example"}, .eku = "serverAuth"};
    root = pki_ca_new("root", PKI_P256, NULL, NULL);
    identity = pki_identity(root, &leaf);
}

static void close_all(void)
{
    pki_identity_deinit(&identity);
    pki_ca_free(root);
}

/* --- somebody else ---------------------------------------------------------------------------- */

struct other {
    SSL_CTX *context;
    SSL *ssl;
    int result; /* of the last step: 1 is done */
};

static struct other other_new(const SSL_METHOD *method)
{
    struct other other = {.context = SSL_CTX_new(method)};
    return other;
}

static void other_start(struct other *other)
{
    other->ssl = SSL_new(other->context);
    SSL_set_bio(other->ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
}

static void other_free(struct other *other)
{
    SSL_free(other->ssl);
    SSL_CTX_free(other->context);
}

/* Runs both handshakes against each other; the last status of ours. */
static enum tls_status shake(struct tls_conn *conn, struct other *other, struct err *err)
{
    enum tls_status status = TLS_WANT_INPUT;
    for (int i = 0; i < 10 && status != TLS_FAILED; i++) {
        uint8_t in[32 * 1024], out[32 * 1024];
        other->result = SSL_do_handshake(other->ssl);
        int got = BIO_read(SSL_get_wbio(other->ssl), in, sizeof in);
        struct tls_io io = {
            .in = in, .in_len = got > 0 ? (size_t)got : 0, .out = out, .out_size = sizeof out};
        if (status != TLS_OK)
            status = tls_conn_handshake(conn, &io, err);
        BIO_write(SSL_get_rbio(other->ssl), out, (int)io.out_len);
    }
    return status;
}

/* --- the webhook's side ----------------------------------------------------------------------- */

/* `alpn` as on the wire. */
static enum tls_status serve(const char *alpn, char chosen[16], struct err *err)
{
    struct tls_context *context = NULL;
    CU_ASSERT_EQUAL_FATAL(
        tls_context_new_https(&context, identity.key, identity.chain, strlen(identity.chain), err),
        ERR_OK);
    struct tls_conn *conn = tls_conn_new_server(context);
    struct other client = other_new(TLS_client_method());
    const uint8_t *name;
    unsigned len;
    SSL_CTX_set_alpn_protos(client.context, (const uint8_t *)alpn, (unsigned)strlen(alpn));
    other_start(&client);
    SSL_set_connect_state(client.ssl);
    enum tls_status status = shake(conn, &client, err);
    CU_ASSERT_EQUAL(client.result == 1, status == TLS_OK);
    SSL_get0_alpn_selected(client.ssl, &name, &len);
    memcpy(chosen, name ? (const char *)name : "", len);
    chosen[len] = 0;
    other_free(&client);
    tls_conn_free(conn);
    tls_context_unref(context);
    return status;
}

static void a_client_gets_http_1_1_or_goes_without_alpn(void)
{
    static const struct {
        const char *alpn, *chosen; /* NULL: refused */
    } rows[] = {{"\x02h2\x08http/1.1", "http/1.1"},
                {"\x08http/1.1", "http/1.1"},
                {"", ""},
                {"\x02h2", NULL}};
    open_all();
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char chosen[16];
        struct err err = {0};
        enum tls_status status = serve(rows[i].alpn, chosen, &err);
        CU_ASSERT_EQUAL(status, rows[i].chosen ? TLS_OK : TLS_FAILED);
        if (rows[i].chosen) {
            CU_ASSERT_STRING_EQUAL(chosen, rows[i].chosen);
        } else {
            CU_ASSERT_EQUAL(err.code, ERR_TLS_ALPN);
        }
    }
    close_all();
}

/* --- the probe's side ------------------------------------------------------------------------- */

static enum tls_status probe(uint16_t version)
{
    struct tls_context *context = NULL;
    struct err err = {0};
    CU_ASSERT_EQUAL_FATAL(tls_context_new_unverified(&context, NULL), ERR_OK);
    struct tls_conn *conn = tls_conn_new_client_unverified(context);
    struct other server = other_new(TLS_server_method());
    SSL_CTX_set_min_proto_version(server.context, version);
    SSL_CTX_set_max_proto_version(server.context, version);
    /* A certificate that nobody vouches for, with the key it is for. */
    BIO *pem = BIO_new_mem_buf(identity.chain, -1);
    X509 *leaf = PEM_read_bio_X509(pem, NULL, NULL, NULL);
    char *key_pem;
    size_t key_len;
    CU_ASSERT_EQUAL_FATAL(tls_key_format_pem(identity.key, &key_pem, &key_len, NULL), ERR_OK);
    BIO *key_bio = BIO_new_mem_buf(key_pem, (int)key_len);
    EVP_PKEY *key = PEM_read_bio_PrivateKey(key_bio, NULL, NULL, NULL);
    SSL_CTX_use_certificate(server.context, leaf);
    SSL_CTX_use_PrivateKey(server.context, key);
    other_start(&server);
    SSL_set_accept_state(server.ssl);
    /* A client speaks first. */
    uint8_t out[32 * 1024];
    struct tls_io io = {.out = out, .out_size = sizeof out};
    CU_ASSERT_EQUAL(tls_conn_handshake(conn, &io, &err), TLS_WANT_INPUT);
    BIO_write(SSL_get_rbio(server.ssl), out, (int)io.out_len);
    enum tls_status status = shake(conn, &server, &err);
    if (status == TLS_OK) {
        char text[16] = "";
        io = (struct tls_io){.out = out, .out_size = sizeof out};
        CU_ASSERT_EQUAL(tls_conn_write(conn, &io, "hello", 5, &err), TLS_OK);
        BIO_write(SSL_get_rbio(server.ssl), out, (int)io.out_len);
        CU_ASSERT_EQUAL(SSL_read(server.ssl, text, sizeof text - 1), 5);
        CU_ASSERT_STRING_EQUAL(text, "hello");
    }
    other_free(&server);
    EVP_PKEY_free(key);
    X509_free(leaf);
    BIO_free(pem);
    BIO_free(key_bio);
    free(key_pem);
    tls_conn_free(conn);
    tls_context_unref(context);
    return status;
}

static void a_probe_believes_any_certificate_under_tls_1_2_and_1_3(void)
{
    open_all();
    CU_ASSERT_EQUAL(probe(TLS1_3_VERSION), TLS_OK);
    CU_ASSERT_EQUAL(probe(TLS1_2_VERSION), TLS_OK);
    CU_ASSERT_EQUAL(probe(TLS1_1_VERSION), TLS_FAILED);
    close_all();
}

int main(int argc, char **argv)
{
    static const struct suite_case cases[] = {
        SUITE_CASE(a_client_gets_http_1_1_or_goes_without_alpn),
        SUITE_CASE(a_probe_believes_any_certificate_under_tls_1_2_and_1_3),
        SUITE_END,
    };
    return suite_main("tls.https", cases, argc, argv);
}
