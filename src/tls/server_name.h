/* Whether a certificate is for the name that a server is known by (RFC 9525 section 6). src/tls
 * only; any thread. */
#ifndef TLS_SERVER_NAME_H
#define TLS_SERVER_NAME_H

#include <openssl/x509v3.h>
#include <stdbool.h>
#include <stddef.h>

/* True when one of `names` is `name`: a DNS name, case ignored. One of our own servers has exactly
 * this name in its certificate. With `outside` the certificate was issued by somebody else's rules:
 * "*" may then be the whole first label, and a `name` that is an IP address is looked for among the
 * addresses, and only there. What was there instead goes to `found` for a sentence, cut to `size`;
 * it stays as it is when there was nothing. */
bool server_name_in(const GENERAL_NAMES *names, const char *name, bool outside, char *found,
                    size_t size);

#endif
