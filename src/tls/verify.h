/* Who is the peer? The rules of an X.509 SVID (SPIFFE X509-SVID sections 2 to 5) on top of chain
 * validation (RFC 5280 section 6). For src/tls only. */
#ifndef TLS_VERIFY_H
#define TLS_VERIFY_H

#include "tls/conn.h"
#include "tls/impl.h"

/* Verifies `chain` (leaf first) against the roots that `bundle` has for the leaf's own trust
 * domain, and fills `peer` (all but alpn). Each failure has its own ERR_TLS_ code. Any thread. */
enum err_code verify_svid(const struct tls_bundle *bundle, STACK_OF(X509) * chain,
                          struct tls_peer *peer, struct err *err);
/* Verifies a server's chain against every root of `bundle`, and that its leaf names `dns_name`. */
enum err_code verify_server(const struct tls_bundle *bundle, STACK_OF(X509) * chain,
                            const char *dns_name, struct tls_peer *peer, struct err *err);
/* The alert that tells the peer, RFC 8446 section 6.2. */
uint8_t verify_alert(enum err_code code);
/* Serial number in lower-case hex, and notAfter in seconds since 1970. */
void verify_describe(X509 *leaf, char serial[48], int64_t *not_before_s, int64_t *not_after_s);

#endif
