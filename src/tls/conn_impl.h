/* The insides of a connection; for src/tls only. */
#ifndef TLS_CONN_IMPL_H
#define TLS_CONN_IMPL_H

#include "tls/conn.h"
#include "tls/impl.h"

struct tls_conn {
    SSL *ssl;
    struct tls_context *context;
    struct tls_io *io;          /* lent by the call that is under way */
    struct err *err;            /* likewise */
    enum err_code verdict;      /* of conn_verify, when it refused */
    struct spiffe_id *expected; /* until the handshake is done */
    size_t expected_count;
    char *dns_name; /* instead of `expected` */
    struct tls_peer peer;
};

/* BoringSSL's question about the peer's certificate chain. */
enum ssl_verify_result_t conn_verify(SSL *ssl, uint8_t *alert);

#endif
