/* The BIO between BoringSSL and the spans that a caller lends (struct tls_io). For src/tls only. */
#ifndef TLS_BIO_H
#define TLS_BIO_H

#include <openssl/bio.h>

struct tls_conn;

/* A BIO that reads from and writes to whatever conn->io is at the moment; NULL: out of memory. */
BIO *tls_bio_new(struct tls_conn *conn);

#endif
