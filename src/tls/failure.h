/* What a failed call into BoringSSL means. src/tls only. */
#ifndef TLS_FAILURE_H
#define TLS_FAILURE_H

#include "tls/conn_impl.h"

/* Turns the thread's error queue after SSL_get_error() gave `ssl_error` into a code and a sentence
 * in *conn->err, remembers both a received alert and the code, and empties the queue. */
enum tls_status failure_record(struct tls_conn *conn, int ssl_error);

/* As above for a refusal of our own that is already in *conn->err. */
enum tls_status failure_refuse(struct tls_conn *conn, enum err_code code);

#endif
