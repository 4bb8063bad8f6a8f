/* Whether a certificate chain proves what it must: the one place where trust is decided. src/tls
 * only; any thread. */
#ifndef TLS_VERIFY_H
#define TLS_VERIFY_H

#include <openssl/pool.h>
#include <openssl/x509.h>

#include "base/err.h"
#include "tls/bundle.h"
#include "tls/spiffe.h"

enum { VERIFY_DEPTH_MAX = 6, VERIFY_CHAIN_MAX = 10 };

/* All borrowed. */
struct verify_request {
    const char *whose; /* starts sentences: "the peer's", "our own" */
    const struct tls_bundle *bundle;
    const struct spiffe_id *expected; /* the leaf must be one of these; count 0: any of the mesh */
    size_t expected_count;
    const char *server_name; /* when not NULL: a server known by this name, not by a SPIFFE ID */
    bool outside;            /* which is none of ours: see server_name.h */
};

/* Checks a chain, leaf first: the leaf's form, the path to a root of its own trust domain at
 * clock_wall_s(), who it is. *id is filled on success (empty for a server known by name).
 * ERR_TLS_*. */
enum err_code verify_chain(const struct verify_request *request, STACK_OF(X509) * chain,
                           struct spiffe_id *id, struct err *err);

/* The path alone: from the first certificate of `chain` over any others of it to a root in `store`,
 * which the sentence calls `roots`. ERR_TLS_UNKNOWN_ROOT, _SIGNATURE, _EXPIRED, _NOT_YET_VALID,
 * _BAD_CERTIFICATE. */
enum err_code verify_path(X509_STORE *store, const char *roots, STACK_OF(X509) * chain,
                          const char *whose, struct err *err);

/* A peer's chain as parsed certificates; the caller frees the stack. ERR_TLS_NO_CERTIFICATE,
 * ERR_TLS_BAD_CERTIFICATE. */
enum err_code verify_parse(STACK_OF(X509) * *out, const STACK_OF(CRYPTO_BUFFER) * buffers,
                           struct err *err);

#endif
