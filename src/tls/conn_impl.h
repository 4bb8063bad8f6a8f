/* The inside of struct tls_conn, for src/tls only; the public half is tls/conn.h. */
#ifndef TLS_CONN_IMPL_H
#define TLS_CONN_IMPL_H

#include <openssl/ssl.h>

#include "tls/conn.h"

struct tls_conn {
    struct tls_io *io; /* lent by the call that is running, else NULL; the BIO points here */
    struct err *err;   /* likewise, never NULL during a call */
    SSL *ssl;
    struct tls_context *context;
    /* until the handshake is over */
    struct tls_context
        *trust; /* own reference: newer than `context`, its bundle decides; or NULL */
    struct spiffe_id *expected;
    size_t expected_count;
    char *dns_name;
    enum err_code verdict; /* set by a callback that refused; its sentence is in *err */
    bool verified;         /* the peer's certificate has been */
    uint8_t sniffed;       /* how many of the first two bytes have been looked at */
    bool server;
    bool done;     /* the handshake is over, and well */
    bool notified; /* our close_notify has been written */
    uint8_t alert; /* received, fatal; 0 = none */
    enum err_code failed;
    struct tls_peer peer;
};

/* Lends `io` and `err` to the connection for a call into BoringSSL, and takes them back. */
void conn_enter(struct tls_conn *conn, struct tls_io *io, struct err *err);
void conn_leave(struct tls_conn *conn);

/* The connection of an SSL, for callbacks. */
struct tls_conn *conn_of(const SSL *ssl);

#endif
