#include "tls/handshake.h"

#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tls/alert.h"
#include "tls/certificate.h"
#include "tls/conn_impl.h"
#include "tls/context_impl.h"
#include "tls/failure.h"
#include "tls/verify.h"

enum { RECORD_HANDSHAKE = 0x16, RECORD_ALERT = 0x15 };

/* Names from the wire (length bytes between) as "a", "b". */
static const char *list_alpn(const uint8_t *wire, size_t len, char *text, size_t size)
{
    size_t used = 0;
    text[0] = 0;
    for (size_t at = 0; at < len && used < size && wire[at] <= len - at - 1; at += wire[at] + 1u) {
        char name[32];
        certificate_text(wire + at + 1, wire[at], name, sizeof name);
        used += (size_t)snprintf(text + used, size - used, "%s\"%s\"", at ? ", " : "", name);
    }
    return text;
}

int handshake_on_alpn(SSL *ssl, const uint8_t **out, uint8_t *out_len, const uint8_t *in,
                      unsigned in_len, void *arg)
{
    const struct tls_context *context = arg;
    struct tls_conn *conn = conn_of(ssl);
    uint8_t *chosen;
    if (SSL_select_next_proto(&chosen, out_len, context->alpn, context->alpn_len, in, in_len) ==
        OPENSSL_NPN_NEGOTIATED) {
        *out = chosen;
        return SSL_TLSEXT_ERR_OK;
    }
    char theirs[160], ours[80];
    conn->verdict = err_set(conn->err, ERR_TLS_ALPN, "the client offers the ALPN %s, expected %s",
                            list_alpn(in, in_len, theirs, sizeof theirs),
                            list_alpn(context->alpn, context->alpn_len, ours, sizeof ours));
    return SSL_TLSEXT_ERR_ALERT_FATAL;
}

/* ALPN is what tells the mesh's TLS from an application's own (wire.md section 3): without it
 * nobody may go on, except where plain HTTPS is spoken. */
static bool has_alpn(struct tls_conn *conn)
{
    const uint8_t *name;
    unsigned len;
    SSL_get0_alpn_selected(conn->ssl, &name, &len);
    if (len > 0) {
        certificate_text(name, len, conn->peer.alpn, sizeof conn->peer.alpn);
        return true;
    }
    if (conn->context->alpn_optional)
        return true;
    char ours[80];
    conn->verdict =
        err_set(conn->err, ERR_TLS_ALPN, "the %s no ALPN, expected %s",
                conn->server ? "client offers" : "server selected",
                list_alpn(conn->context->alpn, conn->context->alpn_len, ours, sizeof ours));
    return false;
}

static enum err_code verify_peer(struct tls_conn *conn, SSL *ssl)
{
    STACK_OF(X509) *chain = NULL;
    if (conn->context->unverified)
        return ERR_OK;
    if (!has_alpn(conn))
        return ERR_TLS_ALPN;
    enum err_code code = verify_parse(&chain, SSL_get0_peer_certificates(ssl), conn->err);
    if (code != ERR_OK)
        return code;
    struct verify_request request = {.whose = "the peer's",
                                     .bundle = (conn->trust ? conn->trust : conn->context)->bundle,
                                     .expected = conn->expected,
                                     .expected_count = conn->expected_count,
                                     .server_name = conn->server_name,
                                     .outside = conn->outside};
    code = verify_chain(&request, chain, &conn->peer.id, conn->err);
    X509 *leaf = sk_X509_value(chain, 0);
    certificate_serial(leaf, conn->peer.serial);
    conn->peer.not_after_s = certificate_not_after_s(leaf);
    sk_X509_pop_free(chain, X509_free);
    return code;
}

enum ssl_verify_result_t handshake_on_verify(SSL *ssl, uint8_t *alert)
{
    struct tls_conn *conn = conn_of(ssl);
    conn->verdict = verify_peer(conn, ssl);
    conn->verified = conn->verdict == ERR_OK;
    if (conn->verified)
        return ssl_verify_ok;
    *alert = alert_for(conn->verdict);
    return ssl_verify_invalid;
}

/* Looks at the first bytes before BoringSSL does: to a peer that speaks no TLS an alert would be
 * noise, and the operator should read "plaintext". */
static bool looks_like_tls(struct tls_conn *conn, const struct tls_io *io)
{
    for (size_t i = 0; conn->sniffed < 2 && i < io->in_len; i++, conn->sniffed++) {
        uint8_t byte = io->in[i];
        bool fits = conn->sniffed == 1
                        ? byte == 3
                        : byte == RECORD_HANDSHAKE || (byte == RECORD_ALERT && !conn->server);
        if (fits)
            continue;
        err_set(conn->err, ERR_TLS_PLAINTEXT,
                "the peer does not speak TLS: byte %d is 0x%02x%s, expected 0x%02x", conn->sniffed,
                byte, byte >= 0x20 && byte < 0x7f ? " (text)" : "",
                conn->sniffed == 1 ? 3 : RECORD_HANDSHAKE);
        return false;
    }
    return true;
}

static enum tls_status complete(struct tls_conn *conn)
{
    /* Nobody asked so far where there is no client certificate to verify. */
    if (conn->peer.alpn[0] == 0 && !has_alpn(conn)) {
        SSL_send_fatal_alert(conn->ssl, SSL_AD_NO_APPLICATION_PROTOCOL);
        ERR_clear_error();
        return failure_refuse(conn, conn->verdict);
    }
    conn->done = true;
    tls_context_unref(conn->trust);
    free(conn->expected);
    free(conn->server_name);
    conn->trust = NULL;
    conn->expected = NULL;
    conn->server_name = NULL;
    return TLS_OK;
}

void tls_conn_trust(struct tls_conn *conn, struct tls_context *context)
{
    if (conn->done)
        return;
    tls_context_unref(conn->trust);
    conn->trust = tls_context_ref(context);
    if (!conn->verified || conn->failed != ERR_OK)
        return;
    /* Between its certificate and its Finished a peer can let any time pass. */
    struct err unwanted;
    struct tls_io nothing = {0};
    conn_enter(conn, &nothing, &unwanted);
    conn->failed = verify_peer(conn, conn->ssl);
    conn_leave(conn);
}

static enum tls_status step(struct tls_conn *conn)
{
    if (conn->done)
        return TLS_OK;
    if (conn->failed != ERR_OK) {
        err_set(conn->err, conn->failed, "%s", err_sentence(conn->failed));
        return TLS_FAILED;
    }
    if (!looks_like_tls(conn, conn->io))
        return failure_refuse(conn, ERR_TLS_PLAINTEXT);
    ERR_clear_error();
    int result = SSL_do_handshake(conn->ssl);
    if (result == 1)
        return complete(conn);
    int ssl_error = SSL_get_error(conn->ssl, result);
    if (ssl_error == SSL_ERROR_WANT_READ)
        return TLS_WANT_INPUT;
    if (conn->verdict != ERR_OK) {
        ERR_clear_error();
        return failure_refuse(conn, conn->verdict);
    }
    return failure_record(conn, ssl_error);
}

enum tls_status tls_conn_handshake(struct tls_conn *conn, struct tls_io *io, struct err *err)
{
    struct err unwanted;
    conn_enter(conn, io, err ? err : &unwanted);
    enum tls_status status = step(conn);
    conn_leave(conn);
    return status;
}
