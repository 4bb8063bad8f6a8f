/* The inside of struct ca, for ca.c (making and opening) and ca_issue.c (issuing) only. */
#ifndef TLS_CA_IMPL_H
#define TLS_CA_IMPL_H

#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdbool.h>

#include "base/ref.h"
#include "tls/ca.h"
#include "tls/key.h"

struct ca {
    struct ref ref;
    struct tls_key *key;
    X509 *issuer, *root;
    char *issuer_pem, *root_pem;
    X509_STORE *store; /* the root, to check our own output */
    bool issuer_is_root;
};

/* Checks that a certificate may sign others, belongs to `key` (when not NULL) and has not expired;
 * `what` starts the sentence. ERR_CA_STATE. */
enum err_code ca_check_authority(X509 *certificate, const struct tls_key *key, const char *what,
                                 struct err *err);

/* Takes `certificate` (NULL: it could not be made) and gives its text, malloc'd. ERR_NO_MEMORY. */
enum err_code ca_finish_pem(X509 *certificate, char **pem, struct err *err);

#endif
