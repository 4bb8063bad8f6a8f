/* The handshake and the questions that BoringSSL asks during it. src/tls only; tls_conn_handshake
 * is its public entry. */
#ifndef TLS_HANDSHAKE_H
#define TLS_HANDSHAKE_H

#include <openssl/ssl.h>

/* SSL_CTX_set_custom_verify: is the peer who it must be? */
enum ssl_verify_result_t handshake_on_verify(SSL *ssl, uint8_t *alert);

/* SSL_CTX_set_alpn_select_cb: `arg` is the struct tls_context. */
int handshake_on_alpn(SSL *ssl, const uint8_t **out, uint8_t *out_len, const uint8_t *in,
                      unsigned in_len, void *arg);

#endif
