#include "tls/conn.h"

#include <openssl/err.h>
#include <string.h>

#include "tls/bio.h"
#include "tls/conn_impl.h"
#include "tls/verify.h"

static struct tls_conn *conn_new(struct tls_context *context, SSL_CTX *ctx)
{
    struct tls_conn *conn = ctx ? calloc(1, sizeof *conn) : NULL;
    BIO *bio = NULL;
    if (!conn)
        return NULL;
    conn->context = tls_context_ref(context);
    conn->ssl = SSL_new(ctx);
    bio = conn->ssl ? tls_bio_new(conn) : NULL;
    if (!bio) {
        tls_conn_free(conn);
        ERR_clear_error();
        return NULL;
    }
    SSL_set_app_data(conn->ssl, (char *)conn);
    SSL_set_bio(conn->ssl, bio, bio);
    return conn;
}

struct tls_conn *tls_conn_new_client(struct tls_context *context, const struct spiffe_id *expected,
                                     size_t count)
{
    struct tls_conn *conn = conn_new(context, context->client);
    if (!conn)
        return NULL;
    conn->expected = calloc(count, sizeof *expected);
    if (!conn->expected) {
        tls_conn_free(conn);
        return NULL;
    }
    memcpy(conn->expected, expected, count * sizeof *expected);
    conn->expected_count = count;
    SSL_set_connect_state(conn->ssl);
    return conn;
}

struct tls_conn *tls_conn_new_client_dns(struct tls_context *context, const char *dns_name)
{
    struct tls_conn *conn = conn_new(context, context->client);
    if (!conn)
        return NULL;
    conn->dns_name = strdup(dns_name);
    if (!conn->dns_name || !SSL_set_tlsext_host_name(conn->ssl, dns_name)) {
        tls_conn_free(conn);
        return NULL;
    }
    SSL_set_connect_state(conn->ssl);
    return conn;
}

struct tls_conn *tls_conn_new_server(struct tls_context *context)
{
    struct tls_conn *conn = conn_new(context, context->server);
    if (conn)
        SSL_set_accept_state(conn->ssl);
    return conn;
}

static void forget_expectations(struct tls_conn *conn)
{
    free(conn->expected);
    free(conn->dns_name);
    conn->expected = NULL;
    conn->dns_name = NULL;
}

void tls_conn_free(struct tls_conn *conn)
{
    if (!conn)
        return;
    SSL_free(conn->ssl);
    tls_context_unref(conn->context);
    forget_expectations(conn);
    free(conn);
}

static enum err_code check_expected(struct tls_conn *conn, struct err *err)
{
    if (conn->expected_count == 0)
        return ERR_OK;
    for (size_t i = 0; i < conn->expected_count; i++) {
        if (spiffe_equal(&conn->expected[i], &conn->peer.id))
            return ERR_OK;
    }
    return err_set(err, ERR_TLS_ID_MISMATCH, "peer is %s, expected %s%s", conn->peer.id.text,
                   conn->expected[0].text, conn->expected_count > 1 ? " (or another)" : "");
}

static enum err_code verify_buffers(struct tls_conn *conn, const STACK_OF(CRYPTO_BUFFER) * buffers,
                                    struct err *err)
{
    STACK_OF(X509) *chain = sk_X509_new_null();
    size_t count = buffers ? sk_CRYPTO_BUFFER_num(buffers) : 0;
    enum err_code code = ERR_OK;
    if (!chain || count == 0)
        code = err_set(err, chain ? ERR_TLS_NO_CERTIFICATE : ERR_NO_MEMORY,
                       "the peer presented no certificate");
    else if (count > TLS_CHAIN_MAX)
        code = err_set(err, ERR_TLS_BAD_CERTIFICATE,
                       "the peer sent %zu certificates, at most %d are read", count, TLS_CHAIN_MAX);
    for (size_t i = 0; code == ERR_OK && i < count; i++) {
        X509 *one = X509_parse_from_buffer(sk_CRYPTO_BUFFER_value(buffers, i));
        if (!one || !sk_X509_push(chain, one)) {
            X509_free(one);
            code =
                tls_fail(err, ERR_TLS_BAD_CERTIFICATE, "the peer's certificate cannot be parsed");
        }
    }
    if (code == ERR_OK)
        code = conn->dns_name
                   ? verify_server(conn->context->bundle, chain, conn->dns_name, &conn->peer, err)
                   : verify_svid(conn->context->bundle, chain, &conn->peer, err);
    sk_X509_pop_free(chain, X509_free);
    return code == ERR_OK ? check_expected(conn, err) : code;
}

enum ssl_verify_result_t conn_verify(SSL *ssl, uint8_t *alert)
{
    struct tls_conn *conn = (struct tls_conn *)SSL_get_app_data(ssl);
    conn->verdict = verify_buffers(conn, SSL_get0_peer_certificates(ssl), conn->err);
    if (conn->verdict == ERR_OK)
        return ssl_verify_ok;
    *alert = verify_alert(conn->verdict);
    return ssl_verify_invalid;
}

/* BoringSSL's reason for a failure as one of ours. An alert of the peer is 1000 + its number. */
static enum err_code explain(struct tls_conn *conn, struct err *err)
{
    uint32_t last = ERR_peek_error();
    int reason = ERR_GET_REASON(last);
    enum { ALERT_BASE = 1000 };
    if (conn->verdict != ERR_OK) {
        ERR_clear_error();
        return conn->verdict; /* conn_verify has written the sentence */
    }
    if (ERR_GET_LIB(last) != ERR_LIB_SSL)
        return tls_fail(err, ERR_TLS_PROTOCOL, "TLS failed");
    if (reason >= ALERT_BASE && reason < ALERT_BASE + 256) {
        ERR_clear_error();
        return err_set(err, ERR_TLS_ALERT,
                       "the peer ended the TLS connection with the alert \"%s\"",
                       SSL_alert_desc_string_long(reason - ALERT_BASE));
    }
    switch (reason) {
    case SSL_R_WRONG_VERSION_NUMBER:
    case SSL_R_HTTP_REQUEST:
    case SSL_R_HTTPS_PROXY_REQUEST:
        return tls_fail(err, ERR_TLS_PLAINTEXT, "the peer does not speak TLS");
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_UNKNOWN_PROTOCOL:
        return tls_fail(err, ERR_TLS_VERSION, "the peer does not speak TLS 1.3");
    case SSL_R_NO_APPLICATION_PROTOCOL:
        return tls_fail(err, ERR_TLS_ALPN, "no common application protocol (ALPN)");
    case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
        return tls_fail(err, ERR_TLS_NO_CERTIFICATE, "the peer presented no certificate");
    case SSL_R_DECRYPTION_FAILED_OR_BAD_RECORD_MAC:
        return tls_fail(err, ERR_TLS_RECORD, "a TLS record is damaged");
    default:
        return tls_fail(err, ERR_TLS_PROTOCOL, "TLS failed");
    }
}

static void lend(struct tls_conn *conn, struct tls_io *io, struct err *err)
{
    conn->io = io;
    conn->err = err;
    ERR_clear_error();
}

static enum tls_status take_back(struct tls_conn *conn, enum tls_status status)
{
    conn->io = NULL;
    conn->err = NULL;
    return status;
}

static enum tls_status check_alpn(struct tls_conn *conn, struct err *err)
{
    const uint8_t *name;
    unsigned len;
    SSL_get0_alpn_selected(conn->ssl, &name, &len);
    if (len == 0 || len >= sizeof conn->peer.alpn) {
        SSL_send_fatal_alert(conn->ssl, SSL_AD_NO_APPLICATION_PROTOCOL);
        err_set(err, ERR_TLS_ALPN, "the peer offered or chose no application protocol (ALPN)");
        return TLS_FAILED;
    }
    memcpy(conn->peer.alpn, name, len);
    return TLS_OK;
}

enum tls_status tls_conn_handshake(struct tls_conn *conn, struct tls_io *io, struct err *err)
{
    struct err scratch = {0};
    enum tls_status status = TLS_WANT_INPUT;
    lend(conn, io, err ? err : &scratch);
    int result = SSL_do_handshake(conn->ssl);
    if (result == 1) {
        status = check_alpn(conn, conn->err);
        forget_expectations(conn);
    } else if (SSL_get_error(conn->ssl, result) != SSL_ERROR_WANT_READ) {
        explain(conn, conn->err);
        status = TLS_FAILED;
    }
    return take_back(conn, status);
}

enum tls_status tls_conn_read(struct tls_conn *conn, struct tls_io *io, void *plain, size_t size,
                              size_t *plain_len, struct err *err)
{
    enum tls_status status = TLS_OK;
    lend(conn, io, err);
    *plain_len = 0;
    int got = SSL_read(conn->ssl, plain, (int)size);
    if (got > 0) {
        *plain_len = (size_t)got;
        return take_back(conn, TLS_OK);
    }
    switch (SSL_get_error(conn->ssl, got)) {
    case SSL_ERROR_WANT_READ:
        status = TLS_WANT_INPUT;
        break;
    case SSL_ERROR_ZERO_RETURN:
        status = TLS_CLOSED;
        break;
    default:
        explain(conn, err);
        status = TLS_FAILED;
    }
    return take_back(conn, status);
}

enum tls_status tls_conn_write(struct tls_conn *conn, struct tls_io *io, const void *plain,
                               size_t plain_len, struct err *err)
{
    const uint8_t *at = plain;
    lend(conn, io, err);
    while (plain_len > 0) {
        int sent = SSL_write(conn->ssl, at, (int)plain_len);
        if (sent <= 0) {
            explain(conn, err);
            return take_back(conn, TLS_FAILED);
        }
        at += sent;
        plain_len -= (size_t)sent;
    }
    return take_back(conn, TLS_OK);
}

enum tls_status tls_conn_close_notify(struct tls_conn *conn, struct tls_io *io, struct err *err)
{
    lend(conn, io, err);
    int result = SSL_shutdown(conn->ssl);
    if (result >= 0)
        return take_back(conn, TLS_OK);
    explain(conn, err);
    return take_back(conn, TLS_FAILED);
}

void tls_conn_alert_denied(struct tls_conn *conn, struct tls_io *io)
{
    lend(conn, io, NULL);
    SSL_send_fatal_alert(conn->ssl, SSL_AD_ACCESS_DENIED);
    ERR_clear_error();
    take_back(conn, TLS_OK);
}

const struct tls_peer *tls_conn_peer(const struct tls_conn *conn)
{
    return &conn->peer;
}

const struct tls_context *tls_conn_context(const struct tls_conn *conn)
{
    return conn->context;
}
