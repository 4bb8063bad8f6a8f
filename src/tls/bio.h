/* Where BoringSSL reads and writes: the spans that a call lends (struct tls_io). src/tls only. */
#ifndef TLS_BIO_H
#define TLS_BIO_H

#include <openssl/bio.h>

#include "tls/conn.h"

/* A BIO that reads from and writes to *slot, which is set before and cleared after each call into
 * BoringSSL; without it there is nothing to read and no room. `slot` must outlive the BIO. NULL:
 * out of memory. */
BIO *bio_new(struct tls_io **slot);

#endif
