#include "tls/failure.h"

#include <openssl/err.h>

#include "tls/alert.h"
#include "tls/pem.h"

/* The reasons that an operator would treat differently; all others are ERR_TLS_PROTOCOL. */
static enum err_code code_for(int reason, bool done)
{
    switch (reason) {
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_UNKNOWN_SSL_VERSION:
    case SSL_R_WRONG_SSL_VERSION:
    case SSL_R_UNKNOWN_PROTOCOL:
        return ERR_TLS_VERSION;
    case SSL_R_HTTP_REQUEST:
    case SSL_R_HTTPS_PROXY_REQUEST:
        return done ? ERR_TLS_RECORD : ERR_TLS_PLAINTEXT;
    case SSL_R_NO_APPLICATION_PROTOCOL:
    case SSL_R_INVALID_ALPN_PROTOCOL:
        return ERR_TLS_ALPN;
    case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
    case SSL_R_NO_CERTIFICATES_RETURNED:
        return ERR_TLS_NO_CERTIFICATE;
    case SSL_R_CANNOT_PARSE_LEAF_CERT:
    case SSL_R_CERT_LENGTH_MISMATCH:
    case SSL_R_WRONG_CERTIFICATE_TYPE:
    case SSL_R_ECC_CERT_NOT_FOR_SIGNING:
    case SSL_R_UNKNOWN_CERTIFICATE_TYPE:
        return ERR_TLS_BAD_CERTIFICATE;
    case SSL_R_KEY_USAGE_BIT_INCORRECT:
        return ERR_TLS_KEY_USAGE;
    case SSL_R_BAD_SIGNATURE:
        return ERR_TLS_SIGNATURE;
    case SSL_R_WRONG_VERSION_NUMBER:
    case SSL_R_DECRYPTION_FAILED_OR_BAD_RECORD_MAC:
    case SSL_R_BAD_PACKET_LENGTH:
    case SSL_R_ENCRYPTED_LENGTH_TOO_LONG:
    case SSL_R_DATA_LENGTH_TOO_LONG:
        return ERR_TLS_RECORD;
    default:
        return ERR_TLS_PROTOCOL;
    }
}

static const char *expectation(enum err_code code)
{
    switch (code) {
    case ERR_TLS_VERSION:
        return ", expected TLS 1.3";
    case ERR_TLS_NO_CERTIFICATE:
        return ", expected a client certificate of the mesh";
    case ERR_TLS_KEY_USAGE:
        return " in the peer's certificate, expected digitalSignature";
    case ERR_TLS_SIGNATURE:
        return " in the handshake, expected one by the key of the peer's certificate";
    default:
        return "";
    }
}

enum tls_status failure_refuse(struct tls_conn *conn, enum err_code code)
{
    conn->failed = code;
    return TLS_FAILED;
}

enum tls_status failure_record(struct tls_conn *conn, int ssl_error)
{
    const char *when = conn->done ? "TLS connection" : "TLS handshake";
    uint32_t queued = ERR_peek_last_error(); /* the outermost: BoringSSL's own reason */
    int reason = ERR_GET_LIB(queued) == ERR_LIB_SSL ? ERR_GET_REASON(queued) : 0;
    char text[PEM_REASON_MAX];
    if (ssl_error == SSL_ERROR_WANT_WRITE) {
        err_set(conn->err, ERR_TOO_LARGE, "%s: what is to be sent does not fit the room for it",
                when);
    } else if (ssl_error == SSL_ERROR_ZERO_RETURN) {
        err_set(conn->err, ERR_TLS_PEER_CLOSED,
                "%s: the peer sent close_notify before the handshake was over", when);
    } else if (reason > SSL_AD_REASON_OFFSET) {
        conn->alert = (uint8_t)(reason - SSL_AD_REASON_OFFSET);
        err_set(conn->err, ERR_TLS_ALERT, "%s: the peer ended it with the alert %s (%u)", when,
                alert_name(conn->alert), conn->alert);
    } else {
        enum err_code code = code_for(reason, conn->done);
        err_set(conn->err, code, "%s: %s%s", when, pem_reason(text), expectation(code));
    }
    ERR_clear_error();
    return failure_refuse(conn, conn->err->code);
}
