/* The inside of struct tls_context, for src/tls only; the public half is tls/context.h. */
#ifndef TLS_CONTEXT_IMPL_H
#define TLS_CONTEXT_IMPL_H

#include <openssl/ssl.h>

#include "base/ref.h"
#include "tls/context.h"

enum {
    /* What we send as our chain must fit TLS_HANDSHAKE_OUT_MAX together with the rest of a flight,
     * and what a peer may send is bounded alike: RFC 8446 would allow 16 MB. */
    CONTEXT_CHAIN_DER_MAX = 16 * 1024,
    CONTEXT_PEER_CHAIN_MAX = 32 * 1024,
    CONTEXT_ALPN_MAX = 128, /* names with their length bytes, as on the wire */
};

struct tls_context {
    struct ref ref;
    SSL_CTX *ssl_ctx;          /* shared by all workers: BoringSSL reads it only */
    struct tls_bundle *bundle; /* NULL for plain server TLS */
    uint8_t alpn[CONTEXT_ALPN_MAX];
    unsigned alpn_len;
    bool alpn_optional; /* the peer need not know ALPN */
    bool unverified;    /* a client that believes every server */
    struct tls_identity_info identity;
};

#endif
