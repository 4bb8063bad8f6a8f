/* What a SPIFFE leaf certificate must look like (SPIFFE X509-SVID sections 2 to 4), apart from who
 * signed it. src/tls only; any thread. */
#ifndef TLS_PROFILE_H
#define TLS_PROFILE_H

#include <openssl/x509.h>

#include "base/err.h"
#include "tls/spiffe.h"

/* Checks that exactly one URI SAN is there and a well-formed SPIFFE ID with a path, which goes to
 * *id, and that cA, key usage and extended key usage are a leaf's. `whose` starts the sentence:
 * "the peer's". ERR_TLS_BAD_CERTIFICATE, _URI_SAN_COUNT, _SPIFFE_ID, _CA_LEAF, _KEY_USAGE, _EKU. */
enum err_code profile_check_svid(X509 *leaf, const char *whose, struct spiffe_id *id,
                                 struct err *err);

/* The same for a server that is known by `name`: a SAN for this name (server_name.h has `outside`),
 * serverAuth if there are extended key usages. ERR_TLS_NAME and as above. */
enum err_code profile_check_server(X509 *leaf, const char *whose, const char *name, bool outside,
                                   struct err *err);

#endif
