/* The messages of istio.v1.auth.IstioCertificateService, both directions. Pure; any thread. */
#ifndef XDS_CERTIFICATE_H
#define XDS_CERTIFICATE_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum {
    XDS_CSR_MAX = 64 << 10,   /* PEM bytes of a signing request */
    XDS_CHAIN_MAX = 256 << 10 /* PEM bytes of a chain */
};

/* The request for a certificate over `csr` (PEM) that lives ttl_s seconds (0: the server's
 * default). *out is malloc'd, the caller frees it. ERR_NO_MEMORY. */
enum err_code xds_certificate_request_encode(const char *csr, int64_t ttl_s, void **out,
                                             size_t *out_len, struct err *err);
/* *csr is malloc'd, null-terminated, the caller frees it. ERR_XDS_MALFORMED, ERR_TOO_LARGE,
 * ERR_CSR_MALFORMED when there is none. */
enum err_code xds_certificate_request_decode(const void *data, size_t len, char **csr,
                                             int64_t *ttl_s, struct err *err);

/* `chain` is `count` PEM texts, leaf first, root last. */
enum err_code xds_certificate_response_encode(const char *const *chain, unsigned count, void **out,
                                              size_t *out_len, struct err *err);
/* *chain gets all certificates but the last, *root the last one (the trust anchor to use where the
 * server sends no bundle); with a single certificate *chain is that one and *root "". Both
 * malloc'd, null-terminated. ERR_XDS_MALFORMED, ERR_TOO_LARGE, ERR_CERT_REJECTED when it is empty.
 */
enum err_code xds_certificate_response_decode(const void *data, size_t len, char **chain,
                                              char **root, struct err *err);

#endif
