/* Bearer tokens: JWTs (RFC 7519) signed with ES256 whose subject is a service account. Made by the
 * standalone control plane and `handfast token`, checked by the control plane at every call. The
 * token itself is never in an error's sentence. Any thread. */
#ifndef TOKEN_H
#define TOKEN_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "tls/context.h"
#include "tls/signature.h"

enum {
    TOKEN_MAX = 8 * 1024, /* bytes of a token that is looked at at all */
    TOKEN_LEEWAY_S = 60,  /* clocks differ: exp and nbf are read this generously */
    TOKEN_NAME_MAX = 254, /* namespace or service account, with the null */
};

#define TOKEN_ISSUER "handfast-control"

/* What is put in: all borrowed. */
struct token_claims {
    const char *issuer; /* NULL: TOKEN_ISSUER */
    const char *audience;
    const char *ns;
    const char *service_account;
    int64_t ttl_s; /* 1 to 10 years */
};

/* Makes a token with iss, sub, aud, iat, nbf, exp (now + ttl_s) and a random jti. *token is
 * malloc'd and a secret: the caller frees it. ERR_INVALID (a name that is not a Kubernetes name, a
 * lifetime out of range), ERR_NO_MEMORY. */
enum err_code token_mint(const struct tls_key *key, const struct token_claims *claims, char **token,
                         struct err *err);

/* What a token must be. */
struct token_rules {
    const struct signature_key *key;
    const char *issuer; /* NULL: TOKEN_ISSUER */
    const char *audience;
};

/* Whom a good token speaks for. */
struct token_subject {
    char ns[TOKEN_NAME_MAX];
    char service_account[TOKEN_NAME_MAX];
    int64_t expires_s; /* wall clock, exp as it is in the token: without the leeway */
};

/* Checks form, algorithm, signature, issuer, audience, times and subject, in this order; `out` is
 * filled on success only. `token` NULL or `len` 0 is ERR_TOKEN_MISSING. Else ERR_TOKEN_MALFORMED,
 * _ALG, _SIGNATURE, _ISSUER, _AUDIENCE, _EXPIRED, _NOT_YET_VALID, _SUBJECT. */
enum err_code token_check(const struct token_rules *rules, const char *token, size_t len,
                          struct token_subject *out, struct err *err);

/* As token_check for the value of an `authorization` header: "Bearer <token>", the scheme in any
 * case (RFC 6750 section 2.1). `header` NULL is ERR_TOKEN_MISSING, another scheme too. */
enum err_code token_check_bearer(const struct token_rules *rules, const char *header, size_t len,
                                 struct token_subject *out, struct err *err);

#endif
