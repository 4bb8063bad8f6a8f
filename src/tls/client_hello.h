/* What the first bytes of a connection are: a mesh peer's ClientHello, somebody else's TLS, or no
 * TLS at all. A pure function over peeked bytes: nothing is consumed, allocated or kept. Any
 * thread. */
#ifndef CLIENT_HELLO_H
#define CLIENT_HELLO_H

#include <stddef.h>
#include <stdint.h>

enum client_hello_kind {
    CLIENT_HELLO_NOT_TLS,   /* cannot become a TLS handshake record that starts a ClientHello */
    CLIENT_HELLO_NEED_MORE, /* fits so far: peek again when there are more bytes */
    CLIENT_HELLO_MESH,      /* complete, and offers one of the mesh's ALPN names */
    CLIENT_HELLO_OTHER_TLS, /* a ClientHello of somebody else, damaged, or over the ceiling */
};

/* More bytes than this are never asked for: a longer ClientHello is CLIENT_HELLO_OTHER_TLS. */
enum { CLIENT_HELLO_MAX = 16 * 1024 + 5 };

/* Looks at the first `len` bytes of a connection (0 is allowed: NEED_MORE) for a ClientHello (RFC
 * 8446 section 4.1.2), in one record or fragmented over several (section 5.1), whose ALPN extension
 * (RFC 7301) lists one of `mesh_alpn`, a null-terminated list of names of 1 to 255 bytes. The
 * answer is final unless it is NEED_MORE, which is never the answer once len >= CLIENT_HELLO_MAX.
 * The first byte alone tells NOT_TLS from the rest for every text protocol. */
enum client_hello_kind client_hello_sniff(const uint8_t *bytes, size_t len,
                                          const char *const *mesh_alpn);

#endif
