/* PEM texts in and out, for src/tls only. Any thread. */
#ifndef TLS_PEM_H
#define TLS_PEM_H

#include <openssl/bio.h>
#include <openssl/x509.h>

#include "base/err.h"

enum { PEM_REASON_MAX = 128 };

/* Writes why the last BoringSSL call of this thread failed and empties the error queue. */
const char *pem_reason(char text[PEM_REASON_MAX]);

/* How many blocks the text begins, whole or not. */
size_t pem_count(const char *pem, size_t len);

/* All certificates of the text, at least one, at most `max`. Anything between blocks is skipped, a
 * block that is damaged, cut off or of another kind is an error: ERR_TLS_BAD_CERTIFICATE,
 * ERR_TOO_LARGE, ERR_NO_MEMORY. The stack is the caller's. */
enum err_code pem_read_certificates(STACK_OF(X509) * *out, const char *pem, size_t len, size_t max,
                                    struct err *err);

/* One certificate as text, malloc'd; NULL: out of memory. */
char *pem_write_certificate(X509 *certificate);

/* What was written to a memory BIO as a malloc'd, null-terminated text; NULL: out of memory. */
char *pem_take(BIO *bio, size_t *len);

#endif
