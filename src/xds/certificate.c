#include "xds/certificate.h"

#include <stdlib.h>
#include <string.h>

#include "istio/v1/auth/ca.pb-c.h"
#include "xds/wire.h"

enum err_code xds_certificate_request_encode(const char *csr, int64_t ttl_s, void **out,
                                             size_t *out_len, struct err *err)
{
    Istio__V1__Auth__IstioCertificateRequest message =
        ISTIO__V1__AUTH__ISTIO_CERTIFICATE_REQUEST__INIT;
    message.csr = (char *)(uintptr_t)csr;
    message.validity_duration = ttl_s;
    if (!xds_pack(&message.base, out, out_len))
        return err_set(err, ERR_NO_MEMORY, "out of memory for a certificate request");
    return ERR_OK;
}

static enum err_code take_request(const Istio__V1__Auth__IstioCertificateRequest *message,
                                  char **csr, int64_t *ttl_s, struct err *err)
{
    size_t len = strlen(message->csr);
    if (len == 0)
        return err_set(err, ERR_CSR_MALFORMED, "the request holds no signing request");
    if (len > XDS_CSR_MAX)
        return err_set(err, ERR_TOO_LARGE,
                       "the signing request has %zu bytes, at most %d are allowed", len,
                       XDS_CSR_MAX);
    char *copy = strdup(message->csr);
    if (!copy)
        return err_set(err, ERR_NO_MEMORY, "out of memory for a signing request");
    *csr = copy;
    *ttl_s = message->validity_duration;
    return ERR_OK;
}

enum err_code xds_certificate_request_decode(const void *data, size_t len, char **csr,
                                             int64_t *ttl_s, struct err *err)
{
    struct err local;
    err = err ? err : &local;
    struct xds_arena arena;
    xds_arena_init(&arena);
    const Istio__V1__Auth__IstioCertificateRequest *message =
        xds_unpack(&arena, &istio__v1__auth__istio_certificate_request__descriptor, data, len,
                   XDS_GROWTH_REQUEST, err);
    enum err_code code = message ? take_request(message, csr, ttl_s, err) : err->code;
    xds_arena_deinit(&arena);
    return code;
}

enum err_code xds_certificate_response_encode(const char *const *chain, unsigned count, void **out,
                                              size_t *out_len, struct err *err)
{
    Istio__V1__Auth__IstioCertificateResponse message =
        ISTIO__V1__AUTH__ISTIO_CERTIFICATE_RESPONSE__INIT;
    message.cert_chain = (char **)(uintptr_t)chain;
    message.n_cert_chain = count;
    if (!xds_pack(&message.base, out, out_len))
        return err_set(err, ERR_NO_MEMORY, "out of memory for a certificate");
    return ERR_OK;
}

/* All texts one after the other, each ended by a newline; malloc'd. NULL: out of memory. */
static char *join(char *const *texts, size_t count)
{
    size_t size = 1;
    for (size_t i = 0; i < count; i++)
        size += strlen(texts[i]) + 1;
    char *out = malloc(size), *at = out;
    if (!out)
        return NULL;
    for (size_t i = 0; i < count; i++) {
        size_t len = strlen(texts[i]);
        memcpy(at, texts[i], len);
        at += len;
        if (len > 0 && at[-1] != '\n')
            *at++ = '\n';
    }
    *at = 0;
    return out;
}

static enum err_code take_response(const Istio__V1__Auth__IstioCertificateResponse *message,
                                   char **chain, char **root, struct err *err)
{
    size_t total = 0, count = message->n_cert_chain;
    for (size_t i = 0; i < count; i++)
        total += strlen(message->cert_chain[i]);
    if (total == 0)
        return err_set(err, ERR_CERT_REJECTED, "the answer holds no certificate");
    if (total > XDS_CHAIN_MAX)
        return err_set(err, ERR_TOO_LARGE,
                       "the certificate chain has %zu bytes, at most %d are allowed", total,
                       XDS_CHAIN_MAX);
    size_t roots = count > 1 ? 1 : 0;
    char *first = join(message->cert_chain, count - roots);
    char *last = join(message->cert_chain + count - roots, roots);
    if (!first || !last) {
        free(first);
        free(last);
        return err_set(err, ERR_NO_MEMORY, "out of memory for a certificate chain");
    }
    *chain = first;
    *root = last;
    return ERR_OK;
}

enum err_code xds_certificate_response_decode(const void *data, size_t len, char **chain,
                                              char **root, struct err *err)
{
    struct err local;
    err = err ? err : &local;
    struct xds_arena arena;
    xds_arena_init(&arena);
    const Istio__V1__Auth__IstioCertificateResponse *message =
        xds_unpack(&arena, &istio__v1__auth__istio_certificate_response__descriptor, data, len,
                   XDS_GROWTH_REQUEST, err);
    enum err_code code = message ? take_response(message, chain, root, err) : err->code;
    xds_arena_deinit(&arena);
    return code;
}
