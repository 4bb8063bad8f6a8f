#include "tls/conn_impl.h"

#include <limits.h>
#include <openssl/err.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/addr.h"
#include "tls/alert.h"
#include "tls/bio.h"
#include "tls/context_impl.h"
#include "tls/failure.h"

void conn_enter(struct tls_conn *conn, struct tls_io *io, struct err *err)
{
    conn->io = io;
    conn->err = err;
}

void conn_leave(struct tls_conn *conn)
{
    conn->io = NULL;
    conn->err = NULL;
}

struct tls_conn *conn_of(const SSL *ssl)
{
    char *slot = BIO_get_data(SSL_get_rbio(ssl));
    return (struct tls_conn *)(void *)(slot - offsetof(struct tls_conn, io));
}

static struct tls_conn *new_conn(struct tls_context *context, bool server)
{
    struct tls_conn *conn = calloc(1, sizeof *conn);
    if (!conn)
        return NULL;
    BIO *bio = bio_new(&conn->io);
    conn->ssl = SSL_new(context->ssl_ctx);
    if (!bio || !conn->ssl) {
        BIO_free(bio);
        SSL_free(conn->ssl);
        free(conn);
        ERR_clear_error();
        return NULL;
    }
    SSL_set_bio(conn->ssl, bio, bio);
    /* An idle connection need not hold what only a handshake reads. */
    SSL_set_shed_handshake_config(conn->ssl, 1);
    if (server)
        SSL_set_accept_state(conn->ssl);
    else
        SSL_set_connect_state(conn->ssl);
    conn->server = server;
    conn->context = tls_context_ref(context);
    return conn;
}

struct tls_conn *tls_conn_new_client(struct tls_context *context, const struct spiffe_id *expected,
                                     size_t count)
{
    if (count == 0 || !context->bundle)
        abort(); /* a client that would trust anybody */
    struct tls_conn *conn = new_conn(context, false);
    if (!conn)
        return NULL;
    conn->expected = calloc(count, sizeof *expected);
    if (!conn->expected) {
        tls_conn_free(conn);
        return NULL;
    }
    memcpy(conn->expected, expected, count * sizeof *expected);
    conn->expected_count = count;
    return conn;
}

static struct tls_conn *new_named(struct tls_context *context, const char *name, bool outside)
{
    static const uint8_t h2[] = {2, 'h', '2'};
    struct addr ip;
    if (!context->bundle)
        abort();
    struct tls_conn *conn = new_conn(context, false);
    if (!conn)
        return NULL;
    conn->outside = outside;
    conn->server_name = strdup(name);
    /* An address is no server name (RFC 6066 section 3), and then there is none to send. */
    if (conn->server_name && SSL_set_alpn_protos(conn->ssl, h2, sizeof h2) == 0 &&
        (addr_parse(&ip, name) || SSL_set_tlsext_host_name(conn->ssl, name)))
        return conn;
    tls_conn_free(conn);
    ERR_clear_error();
    return NULL;
}

struct tls_conn *tls_conn_new_client_dns(struct tls_context *context, const char *dns_name)
{
    struct tls_conn *conn = new_named(context, dns_name, false);
    if (conn)
        SSL_certs_clear(conn->ssl);
    return conn;
}

struct tls_conn *tls_conn_new_client_outside(struct tls_context *context, const char *name)
{
    return new_named(context, name, true);
}

struct tls_conn *tls_conn_new_client_unverified(struct tls_context *context)
{
    if (!context->unverified)
        abort();
    return new_conn(context, false);
}

struct tls_conn *tls_conn_new_server(struct tls_context *context)
{
    return new_conn(context, true);
}

void tls_conn_free(struct tls_conn *conn)
{
    if (!conn)
        return;
    SSL_free(conn->ssl);
    tls_context_unref(conn->trust);
    tls_context_unref(conn->context);
    free(conn->expected);
    free(conn->server_name);
    free(conn);
}

/* True when the connection can go on; else *conn->err says why it cannot. */
static bool is_open(struct tls_conn *conn)
{
    if (!conn->done)
        abort(); /* application bytes before the peer is known */
    if (conn->failed == ERR_OK)
        return true;
    err_set(conn->err, conn->failed, "%s", err_sentence(conn->failed));
    return false;
}

static enum tls_status read_records(struct tls_conn *conn, uint8_t *plain, size_t size,
                                    size_t *plain_len)
{
    while (*plain_len < size) {
        size_t room = size - *plain_len;
        ERR_clear_error();
        int got = SSL_read(conn->ssl, plain + *plain_len, room < INT_MAX ? (int)room : INT_MAX);
        if (got > 0) {
            *plain_len += (size_t)got;
            continue;
        }
        int ssl_error = SSL_get_error(conn->ssl, got);
        /* Bytes first: BoringSSL gives the same answer again at the next call. */
        if (*plain_len > 0)
            break;
        if (ssl_error == SSL_ERROR_WANT_READ)
            return TLS_WANT_INPUT;
        /* Whatever follows the end is not for us (RFC 8446 section 6.1). */
        conn->io->in += conn->io->in_len;
        conn->io->in_len = 0;
        if (ssl_error == SSL_ERROR_ZERO_RETURN)
            return TLS_CLOSED;
        return failure_record(conn, ssl_error);
    }
    ERR_clear_error();
    return TLS_OK;
}

enum tls_status tls_conn_read(struct tls_conn *conn, struct tls_io *io, void *plain, size_t size,
                              size_t *plain_len, struct err *err)
{
    struct err unwanted;
    *plain_len = 0;
    if (size == 0)
        abort();
    conn_enter(conn, io, err ? err : &unwanted);
    enum tls_status status =
        is_open(conn) ? read_records(conn, plain, size, plain_len) : TLS_FAILED;
    conn_leave(conn);
    return status;
}

static enum tls_status write_records(struct tls_conn *conn, const uint8_t *plain, size_t len)
{
    while (len > 0) {
        int part = len < (1 << 30) ? (int)len : 1 << 30;
        ERR_clear_error();
        int put = SSL_write(conn->ssl, plain, part);
        if (put <= 0)
            return failure_record(conn, SSL_get_error(conn->ssl, put));
        plain += put;
        len -= (size_t)put;
    }
    return TLS_OK;
}

enum tls_status tls_conn_write(struct tls_conn *conn, struct tls_io *io, const void *plain,
                               size_t plain_len, struct err *err)
{
    struct err unwanted;
    if (io->out_size - io->out_len < TLS_SEALED_SIZE(plain_len))
        abort();
    conn_enter(conn, io, err ? err : &unwanted);
    enum tls_status status = is_open(conn) ? write_records(conn, plain, plain_len) : TLS_FAILED;
    conn_leave(conn);
    return status;
}

enum tls_status tls_conn_close_notify(struct tls_conn *conn, struct tls_io *io, struct err *err)
{
    struct err unwanted;
    enum tls_status status = TLS_OK;
    conn_enter(conn, io, err ? err : &unwanted);
    if (!is_open(conn)) {
        status = TLS_FAILED;
    } else if (!conn->notified) {
        ERR_clear_error();
        /* A second call would read and wait for the peer's; the first only writes ours. */
        int result = SSL_shutdown(conn->ssl);
        conn->notified = result >= 0;
        if (result < 0)
            status = failure_record(conn, SSL_get_error(conn->ssl, result));
    }
    conn_leave(conn);
    return status;
}

void tls_conn_alert_denied(struct tls_conn *conn, struct tls_io *io)
{
    struct err unwanted;
    conn_enter(conn, io, &unwanted);
    SSL_send_fatal_alert(conn->ssl, SSL_AD_ACCESS_DENIED);
    ERR_clear_error();
    conn_leave(conn);
}

const struct tls_peer *tls_conn_peer(const struct tls_conn *conn)
{
    return &conn->peer;
}

const struct tls_context *tls_conn_context(const struct tls_conn *conn)
{
    return conn->context;
}

const char *tls_conn_alert(const struct tls_conn *conn)
{
    return conn->alert ? alert_name(conn->alert) : NULL;
}
