/* Building and signing one certificate, for src/tls only; who may have one is decided in ca.c. Any
 * thread. */
#ifndef TLS_ISSUE_H
#define TLS_ISSUE_H

#include <openssl/evp.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdint.h>

#include "base/err.h"

/* All borrowed. */
struct issue_request {
    EVP_PKEY *subject_key;
    const char *common_name; /* NULL: an empty subject */
    GENERAL_NAMES *names;    /* subject alternative names, critical when the subject is empty; NULL
                                for a CA */
    X509 *issuer;            /* NULL: self-signed */
    EVP_PKEY *issuer_key;
    int64_t not_before_s, not_after_s; /* cut to the issuer's */
    const char *basic_constraints;     /* as BoringSSL's configuration writes extensions */
    const char *key_usage;
    const char *extended_key_usage; /* NULL: none */
};

/* A certificate with a random serial number of 128 bits, subject and authority key identifiers. The
 * caller frees it. NULL: out of memory. */
X509 *issue_certificate(const struct issue_request *request);

#endif
